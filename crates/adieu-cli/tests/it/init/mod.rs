//! `adieu run` as an init: processes, signals, terminals, hooks, containers. Each promise beside what happens without it.

mod background;
mod containers;
mod control;
mod hooks;
mod killing;
mod pid1;
mod restarts;
mod signals;
mod terminal;
mod transcripts;

use crate::harness::{PYTHON, Run, Scene};

/// With a keeper and without.
const MODES: [&str; 2] = ["auto", "off"];

/// An `adieu run` in one of the [`MODES`].
fn run(scene: &Scene, mode: &str) -> Run {
    scene.run().options(&["--sockets", mode])
}

/// The command line of the recorder of signals: `heard` has a line for each.
fn hears() -> [String; 3] {
    [PYTHON.to_owned(), program("hears.py"), "heard".to_owned()]
}

/// The path of a program in `programs`.
fn program(name: &str) -> String {
    format!("{}/tests/it/init/programs/{name}", env!("CARGO_MANIFEST_DIR"))
}
