//! What a commit must pass.

use std::process::Command;
use std::time::Instant;

use crate::command::{Failure, Outcome, cargo, step};
use crate::{needs, pypi};

/// Installs what the tests need, and nothing else.
pub(crate) fn tools() -> Outcome {
    needs::ensure()?;
    [pypi::GO, pypi::DENY, pypi::NEXTEST].iter().try_for_each(pypi::Tool::ensure)
}

/// Everything, in the order in which a mistake is found soonest.
pub(crate) fn test() -> Outcome {
    let began = Instant::now();
    tools()?;
    step(&mut cargo(&["fmt", "--all", "--check"]))?;
    let example = "examples/servers/rust-axum/Cargo.toml";
    step(&mut cargo(&["fmt", "--check", "--manifest-path", example]))?;
    let lints = ["--workspace", "--all-targets", "--all-features", "--", "--deny", "warnings"];
    step(cargo(&["clippy", "--quiet"]).args(lints))?;
    let profile = if std::env::var_os("CI").is_some() { "ci" } else { "default" };
    tests(profile, &[])?;
    step(&mut cargo(&["test", "--quiet", "--workspace", "--doc"]))?;
    let mut doc = cargo(&["doc", "--quiet", "--workspace", "--no-deps"]);
    step(doc.env("RUSTDOCFLAGS", "--deny warnings"))?;
    licences()?;
    println!("\nall of it passed, in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// The same tests, each with the counts that its author calls a proof: tests read `ADIEU_PROVE`, proptest reads
/// `PROPTEST_CASES`.
pub(crate) fn prove() -> Outcome {
    tools()?;
    tests("prove", &[("ADIEU_PROVE", "1"), ("PROPTEST_CASES", "10000")])
}

/// All tests but the ones in documentation.
fn tests(profile: &str, variables: &[(&str, &str)]) -> Outcome {
    let words = ["nextest", "run", "--workspace", "--no-fail-fast", "--profile", profile];
    step(with(&pypi::NEXTEST, &mut cargo(&words))?.envs(variables.iter().copied()))
}

/// Licences, sources and duplicate versions. Advisories need a database from elsewhere and are left to whoever
/// has it.
fn licences() -> Outcome {
    step(with(&pypi::DENY, &mut cargo(&["deny", "check", "licenses", "bans", "sources"]))?)
}

/// Lets cargo find a subcommand of ours.
fn with<'a>(tool: &pypi::Tool, cargo: &'a mut Command) -> Outcome<&'a mut Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(tool.directory()).chain(std::env::split_paths(&path));
    let joined = std::env::join_paths(all).map_err(|error| Failure(format!("PATH: {error}")))?;
    Ok(cargo.env("PATH", joined))
}
