//! What a commit must pass.

use std::time::Instant;

use crate::command::{Outcome, cargo, step};
use crate::{circles, needs, pypi, slowest};

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
    circles::circles(&[])?;
    let lints = ["--workspace", "--all-targets", "--all-features", "--", "--deny", "warnings"];
    step(cargo(&["clippy", "--quiet"]).args(lints))?;
    // The library with as little as possible and with each feature alone: no part may need what it does not name.
    for features in ["", "http", "axum", "tls", "systemd", "testing"] {
        let words = ["clippy", "--quiet", "--package", "adieu", "--no-default-features", "--features", features];
        step(cargo(&words).args(["--", "--deny", "warnings"]))?;
    }
    let profile = if std::env::var_os("CI").is_some() { "ci" } else { "default" };
    tests(profile, &[])?;
    step(&mut cargo(&["test", "--quiet", "--workspace", "--doc"]))?;
    // The command's own comments are its help texts, whose brackets are no links.
    let mut doc = cargo(&["doc", "--quiet", "--workspace", "--exclude", "adieu-cli", "--no-deps", "--all-features"]);
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
    // What is not built by default is tested too.
    let words = ["nextest", "run", "--workspace", "--features", "adieu/tls", "--no-fail-fast", "--profile", profile];
    slowest::forget(profile)?;
    let outcome = step(pypi::NEXTEST.lend_to(&mut cargo(&words))?.envs(variables.iter().copied()));
    // Of a run that failed too, in which slow tests may be the reason.
    slowest::show(profile)?;
    outcome
}

/// Licences, sources and duplicate versions. Advisories need a database from elsewhere and are left to whoever
/// has it.
fn licences() -> Outcome {
    step(pypi::DENY.lend_to(&mut cargo(&["deny", "check", "licenses", "bans", "sources"]))?)
}
