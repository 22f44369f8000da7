//! The corpus of programs that do not end: the doctor's first finding is the true cause, and `adieu stop` ends as it should.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;

use super::case::{self, Case, Running};
use crate::harness::proc::lives;
use crate::harness::{NEVER, until};

/// So many at once: they wait more than they work.
const AT_ONCE: usize = 4;

#[test]
fn the_first_finding_is_the_true_cause_and_stop_ends_as_it_should() {
    let all = case::all("stubborn");
    assert!(all.len() >= 24, "{} cases", all.len());
    check_all(all, stubborn);
}

/// Checks all cases and names all that fail.
pub(super) fn check_all(cases: Vec<Case>, check: fn(&Case)) {
    let only = std::env::var("ADIEU_CASE").ok();
    let cases: Vec<Case> =
        cases.into_iter().filter(|case| only.as_ref().is_none_or(|only| case.name == *only)).collect();
    assert!(!cases.is_empty(), "no case is called {only:?}");
    let (queue, failed) = (Mutex::new(cases), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().expect("no panic under it").pop() else { break };
                    if catch_unwind(AssertUnwindSafe(|| check(&case))).is_err() {
                        failed.lock().expect("no panic under it").push(format!("{}: {}", case.name, case.what));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic under it");
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

fn stubborn(case: &Case) {
    let running = case.start();
    if let Some(first) = &case.first {
        let kill = Command::new("/bin/kill").args([&format!("-{first}"), "--", &running.target.to_string()]).status();
        assert!(kill.expect("kill can be started").success());
    }
    if let Some(cause) = &case.doctor {
        // A program that says that it is ready may still have a step to go; from then on the answer must stay.
        let mut last = Vec::new();
        let found = || {
            last = running.doctor(running.target).0;
            last[0]["cause"] == **cause
        };
        let came = catch_unwind(AssertUnwindSafe(|| until_soon(found)));
        assert!(came.is_ok_and(|came| came), "{}: not {cause}: {last:#?}\n{}", case.name, running.output());
        for _ in 0..2 {
            let findings = running.doctor(running.target).0;
            assert_eq!(findings[0]["cause"], **cause, "{}: changed its mind: {findings:#?}", case.name);
        }
    }
    // What outlives the target is nobody's child any more.
    let below = running.below_target();
    let stopped = catch_unwind(AssertUnwindSafe(|| stop(case, &running)));
    for (_, held) in &below {
        // An error means that it has ended with the target.
        let _ = rustix::process::pidfd_send_signal(held, rustix::process::Signal::KILL);
    }
    if let Err(panic) = stopped {
        std::panic::resume_unwind(panic);
    }
}

fn until_soon(mut holds: impl FnMut() -> bool) -> bool {
    (0..40).any(|_| holds())
}

/// Stops it, gracefully and then by force.
fn stop(case: &Case, running: &Running<'_>) {
    let target = running.target.to_string();
    // What is to end has all the time it needs, and what is not to end none that it could need.
    let grace = if case.stop == 0 { NEVER } else { "3s" };
    let words = ["stop", &target, "--signal", &case.signal, "--grace", grace, "--json"];
    let output = running.adieu(&words);
    assert_eq!(output.code, case.stop, "{}: {output:?}", case.name);
    if matches!(case.stop, 0 | 3 | 4) {
        let told = output.json();
        let reason = &told["targets"][0]["findings"][0]["cause"];
        let expected = case.why.as_ref().or(case.doctor.as_ref().filter(|_| case.stop == 4));
        assert_eq!(reason.as_str(), expected.map(String::as_str), "{}: {told:#}", case.name);
        let entries = told["timeline"].as_array().expect("a timeline");
        let left = entries.iter().filter(|entry| entry["what"] == "left-behind").count();
        assert_eq!(left, case.left, "{}: {told:#}", case.name);
    }
    if case.stop == 0 {
        assert!(!lives(running.target), "{} is said to have ended", case.name);
        return;
    }
    assert!(lives(running.target), "{} is said to be there: {output:?}", case.name);
    let output = running.adieu(&[&words[..4], &["--grace", "100ms", "--force", "--json"]].concat());
    let forced = case.forced.unwrap_or(3);
    assert_eq!(output.code, forced, "{}: {output:?}", case.name);
    if forced == 3 {
        until("what was killed is gone", || !lives(running.target));
    }
}
