//! What programs do with their sockets, and what the first design broke on.

mod alone;
mod bypassed;
mod dying;
mod handshakes;
mod interrupted;
mod mixtures;
mod names;
mod nested;
mod passed;
mod paths;
mod probes;
mod probing;
mod refused;
mod replaced;
mod several;
mod sharing;
mod users;
mod waits;

use std::path::{Path, PathBuf};

use adieu_core::wire::{GenerationStatus, Status};

use crate::harness::{PYTHON, Run, Scene, build};

/// Short, so that a reload is over soon; the defaults only wait longer for the same.
const SHORT: &[&str] = &["--settle", "300ms", "--drain-timeout", "3s", "--drain-quiet", "1s"];

/// An `adieu run` with [`SHORT`], called `it`.
fn it() -> Run {
    it_in(&Scene::new())
}

/// As [`it`], in a scene that is there already.
fn it_in(scene: &Scene) -> Run {
    scene.run().name("it").options(SHORT)
}

/// The interpreter and a program of `programs`: a command line to which arguments may be added.
fn python(name: &str) -> [String; 3] {
    // No compiled files beside the sources.
    [PYTHON.to_owned(), "-B".to_owned(), programs().join(name).display().to_string()]
}

/// As [`python`], with arguments.
fn python_with(name: &str, arguments: &[&str]) -> Vec<String> {
    python(name).into_iter().chain(arguments.iter().map(ToString::to_string)).collect()
}

/// Words of `adieu reload` with a command line behind them.
fn before_program<'a>(words: &[&'a str], program: &'a [String]) -> Vec<&'a str> {
    words.iter().copied().chain(["--"]).chain(program.iter().map(String::as_str)).collect()
}

/// A program of `programs` that is written in C.
fn c(name: &str) -> String {
    build::c(&programs(), name).display().to_string()
}

/// What makes the command behind it do without a system call, as a strict container does.
fn without(call: &str) -> [String; 3] {
    [c("without"), call.to_owned(), "--".to_owned()]
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sockets/programs")
}

/// The generation that new connections go to.
fn serving_generation(status: &Status) -> &GenerationStatus {
    let serving = |generation: &&GenerationStatus| generation.phase == adieu_core::switch::Phase::Serving;
    status.generations.iter().find(serving).unwrap_or_else(|| panic!("nobody serves: {status:#?}"))
}

/// Where it listens, as text.
fn listens(generation: &GenerationStatus) -> Vec<String> {
    generation.listeners.iter().map(|listener| listener.endpoint.to_string()).collect()
}
