//! What programs do with their sockets, and what the first design broke on.

mod alone;
mod bypassed;
mod dying;
mod handshakes;
mod interrupted;
mod mixtures;
mod names;
mod nested;
pub(crate) mod network;
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
use std::process::Output;

use adieu_core::wire::{GenerationStatus, Status};

use crate::harness::{Adieu, Place, Setup, build};
use crate::init::PYTHON;

/// Short, so that a reload is over soon; the defaults only wait longer for the same.
const SHORT: &[&str] = &["--settle", "300ms", "--drain-timeout", "3s", "--drain-quiet", "1s"];

/// The interpreter and a program of `programs`: a command line to which arguments may be added.
fn python(name: &str) -> [String; 3] {
    // No compiled files beside the sources.
    [PYTHON.to_owned(), "-B".to_owned(), programs().join(name).display().to_string()]
}

/// A program of `programs` that is written in C.
fn c(name: &str) -> String {
    build::c(&programs(), name).display().to_string()
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sockets/programs")
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

/// Starts `adieu run OPTIONS -- PROGRAM ARGUMENTS` and waits until the program answers.
fn serving(place: Place, options: &[&str], program: &str, arguments: &[&str]) -> Adieu {
    let command = python(program);
    let command = [&words(&command), arguments].concat();
    let mut adieu = place.run(Setup {
        name: "it",
        front: &[],
        options: &[SHORT, options].concat(),
        environment: &[],
        program: &command,
    });
    adieu.wait_until_it_answers("/");
    adieu
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

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
