//! The tests that a run of all spent most time in, read from the report that nextest writes.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::command::{Failure, Outcome, target_dir};

/// How many are shown.
const SHOWN: usize = 10;

/// One test of a run.
#[derive(Debug, PartialEq)]
struct Test {
    seconds: f64,
    /// The test binary and the test.
    name: String,
}

/// Removes the report of the run before, so that a run which writes none shows nothing old.
pub(crate) fn forget(profile: &str) -> Outcome {
    match fs::remove_file(report(profile)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Shows the slowest tests of the run that has just ended; nothing when it did not get as far as running tests.
pub(crate) fn show(profile: &str) -> Outcome {
    let report = report(profile);
    let text = match fs::read_to_string(&report) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|error| Failure(format!("cannot read {}: {error}", report.display())))?,
    };
    let mut tests = tests(&text);
    tests.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
    println!("\n    the slowest of {} tests:", tests.len());
    for test in tests.iter().take(SHOWN) {
        println!("    {:8.2} s  {}", test.seconds, test.name);
    }
    Ok(())
}

/// Where `.config/nextest.toml` has nextest write it.
fn report(profile: &str) -> PathBuf {
    target_dir().join("nextest").join(profile).join("junit.xml")
}

/// Every `<testcase name=".." classname=".." time="..">` of a JUnit report. What a failed test wrote stands in it with its
/// angle brackets escaped.
fn tests(report: &str) -> Vec<Test> {
    let cases = report.split("<testcase").skip(1).filter_map(|rest| {
        let (attributes, _) = rest.split_once('>')?;
        // With the space before it, `name` is not the end of `classname`.
        let attribute = |name: &str| {
            let (_, value) = attributes.split_once(&format!(" {name}=\""))?;
            value.split_once('"').map(|(value, _)| value)
        };
        let name = format!("{} {}", attribute("classname")?, attribute("name")?);
        Some(Test { seconds: attribute("time")?.parse().ok()?, name })
    });
    cases.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_and_failed_tests_are_read_with_their_times() {
        let report = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="2" time="2.004">
    <testsuite name="adieu-cli::it" tests="2">
        <testcase name="cmd::transcripts" classname="adieu-cli::it" timestamp="2026-12-01T11:39:58.502+00:00" time="0.004"/>
        <testcase classname="adieu-cli::it" name="harness::waits" time="2.000">
            <failure type="test failure">&lt;testcase name="not one" time="9"&gt;</failure>
        </testcase>
    </testsuite>
</testsuites>"#;
        let test = |seconds, name: &str| Test { seconds, name: name.to_owned() };
        assert_eq!(
            tests(report),
            [test(0.004, "adieu-cli::it cmd::transcripts"), test(2.0, "adieu-cli::it harness::waits")]
        );
    }
}
