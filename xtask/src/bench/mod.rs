//! Comparisons with the peers. Each rewrites its own table in `docs/benchmarks.md`.
//!
//! A number from one machine says little; a ratio says more. So every comparison runs all competitors in turns,
//! within one run, and gives medians.

mod doctor;
mod drains;
mod guards;
mod inits;
mod reloads;
mod restarts;
mod samples;
mod switching;

use crate::command::{Failure, Outcome, root};
use crate::tables;

/// The hidden chore that [`inits`] starts as the program under an init.
pub(crate) const CHILD: &str = "bench-child";

pub(crate) use inits::child;

/// A comparison: its name on the command line and in the document, and what makes its table.
type Comparison = (&'static str, fn() -> Outcome<String>);

const ALL: &[Comparison] = &[
    ("inits", inits::compare),
    ("doctor", doctor::compare),
    ("drains", drains::compare),
    ("guards", guards::compare),
    ("switching", switching::compare),
    ("reloads", reloads::compare),
    ("restarts", restarts::compare),
];

/// What the comparisons are called.
pub(crate) fn names_of_all() -> Vec<&'static str> {
    ALL.iter().map(|(name, _)| *name).collect()
}

/// Runs the named comparisons, all of them if none is named.
pub(crate) fn bench(names: &[&str]) -> Outcome {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|(known, _)| known != *name)) {
        return Err(Failure(format!("no benchmark is called {unknown}; there are: {}", names_of_all().join(" "))));
    }
    let document = root().join("docs").join("benchmarks.md");
    for (name, compare) in ALL.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        println!("\n==> comparing: {name}");
        let table = compare()?;
        println!("\n{table}");
        tables::rewrite(&document, name, &table)?;
        println!("    written to {}", document.display());
    }
    Ok(())
}
