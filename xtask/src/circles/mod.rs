//! Circles: files of one crate that need each other in a ring. A crate can be read from the bottom up when there are none.
//!
//! Two graphs are drawn over the files of each crate, without its tests: who names whose items ([`imports`]) and who calls
//! whose functions ([`calls`]). Two files that know each other may be a type and its builder; of three and more one cannot
//! say any more which is below, so those fail the check.

mod calls;
mod graph;
mod imports;
mod infer;
mod library;
mod lower;
mod macros;
mod names;
mod read;
#[cfg(test)]
mod tests;
mod types;

use std::path::PathBuf;

use crate::command::{Failure, Outcome, cargo};
use graph::Arrow;
use names::Names;
use read::Source;
use types::Types;

/// How many files may make a circle.
const ALLOWED: usize = 2;
/// How many pairs of files of a circle are shown, and how many items of each.
const PAIRS: usize = 8;
const ITEMS: usize = 4;

/// What `cargo xtask circles` is asked: the crates, all if none is named, and whether circles of two are shown too.
pub(crate) fn circles(arguments: &[&str]) -> Outcome {
    let (options, wanted): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|argument| argument.starts_with('-'));
    if let Some(unknown) = options.iter().find(|option| **option != "--all") {
        return Err(Failure(format!("unknown option {unknown}; there is: --all")));
    }
    let targets = targets()?;
    if let Some(unknown) = wanted.iter().find(|name| targets.iter().all(|target| target.package != ***name)) {
        let mut known: Vec<&str> = targets.iter().map(|target| target.package.as_str()).collect();
        known.dedup();
        return Err(Failure(format!("no crate is called {unknown}; there are: {}", known.join(" "))));
    }
    println!("\n==> looking for circles of more than {ALLOWED} files");
    let mut failed = Vec::new();
    for target in targets.iter().filter(|target| wanted.is_empty() || wanted.contains(&target.package.as_str())) {
        let source = Source::of(&target.root)?;
        let [imports, calls] = graphs(&source);
        let circles = show(&target.package, &source, "imports", &imports, options.is_empty())
            + show(&target.package, &source, "calls", &calls, options.is_empty());
        if circles > 0 {
            failed.push(target.package.as_str());
        }
    }
    if failed.is_empty() {
        println!("    there are none");
        return Ok(());
    }
    Err(Failure(format!("there are circles of more than {ALLOWED} files in {}", failed.join(", "))))
}

/// A library or a program.
struct Target {
    package: String,
    root: PathBuf,
}

/// All of the workspace's.
fn targets() -> Outcome<Vec<Target>> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1", "--quiet"]).output()?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| Failure(format!("cargo metadata: {error}")))?;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let mut targets = Vec::new();
    for package in list(&metadata["packages"]) {
        for target in list(&package["targets"]) {
            let built = list(&target["kind"]).iter().any(|kind| matches!(kind.as_str(), Some("lib" | "bin")));
            if let (true, Some(name), Some(root)) = (built, package["name"].as_str(), target["src_path"].as_str()) {
                targets.push(Target { package: name.to_owned(), root: root.into() });
            }
        }
    }
    if targets.is_empty() {
        return Err(Failure("cargo metadata names no crate".to_owned()));
    }
    Ok(targets)
}

/// Imports and calls.
fn graphs(source: &Source) -> [Vec<Arrow>; 2] {
    let names = Names::of(source);
    let types = Types::of(source, &names);
    [imports::arrows(source, &names), calls::arrows(source, &types)]
}

/// Shows the circles, and returns how many are too large.
fn show(package: &str, source: &Source, kind: &str, arrows: &[Arrow], only_large: bool) -> usize {
    let circles = graph::circles(source.files.len(), arrows);
    let name = |file: usize| source.files.get(file).map_or("?", String::as_str);
    for circle in circles.iter().filter(|circle| !only_large || circle.len() > ALLOWED) {
        let files: Vec<&str> = circle.iter().map(|&file| name(file)).collect();
        println!("\n{package}: a circle of {} files by {kind}: {}", files.len(), files.join(" "));
        println!("    held together by");
        let holding = graph::holding(circle, arrows);
        for pair in holding.iter().take(PAIRS) {
            let Some(first) = pair.first() else { continue };
            println!("    {} → {}: {}", name(first.from), name(first.to), items(pair));
        }
        if let Some(more @ 1..) = holding.len().checked_sub(PAIRS) {
            println!("    and {more} more pairs of files");
        }
    }
    circles.iter().filter(|circle| circle.len() > ALLOWED).count()
}

/// `Type::function (line 7), Other (line 12) and 3 more`.
fn items(pair: &[Arrow]) -> String {
    let shown: Vec<String> =
        pair.iter().take(ITEMS).map(|arrow| format!("{} (line {})", arrow.item, arrow.line)).collect();
    match pair.len().saturating_sub(ITEMS) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
