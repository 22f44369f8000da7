//! Tests in a process of their own: what waits for any child, looks at all processes below this one, writes to standard error
//! or reads the environment would meet what other tests of the same process do. So would what is to see a descriptor closed: a
//! process that another test is just starting has a copy of it for a moment.

use std::any::type_name;
use std::io::{Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;

use adieu_core::signal::Signal;
use adieu_linux::{pidfd::Pidfd, process, wait};

use super::start_alone;

/// Tells the process that runs one test that it is that process.
const ALONE: &str = "ADIEU_TEST_ALONE";

/// As [`alone_with`], with nothing of its own in the environment.
pub(crate) fn alone<F: FnOnce()>(test: F) -> Option<String> {
    alone_with(&[], test)
}

/// As [`alone`], by a shell that leads the session of a terminal of its own (`script(1)`) and does this: `"$@"` is the test.
pub(crate) fn alone_on_terminal<F: FnOnce()>(shell: &str, test: F) -> Option<String> {
    let script = format!("set -- \"$ADIEU_TEST_PROGRAM\" --exact \"$ADIEU_TEST_NAME\" --nocapture; {shell}");
    run(&["script", "-qec", &script, "/dev/null"], &[("SHELL", "/bin/sh")], test)
}

/// Runs `test`, the body of the test that calls this, in a process of its own: the reaper of its orphans, in an empty working
/// directory, with `variables` in its environment (`{}` stands for the directory). What is left of its processes is killed.
///
/// One to a test: that process runs the test from its beginning.
///
/// Returns what that process has written to its outputs; in the process itself `None`.
pub(crate) fn alone_with<F: FnOnce()>(variables: &[(&str, &str)], test: F) -> Option<String> {
    run(&[], variables, test)
}

/// By the command `by`, or directly.
fn run<F: FnOnce()>(by: &[&str], variables: &[(&str, &str)], test: F) -> Option<String> {
    if std::env::var_os(ALONE).is_some() {
        wait::become_subreaper().expect("orphans are ours");
        let result = catch_unwind(AssertUnwindSafe(test));
        kill_rest();
        return result.map_or_else(|panic| resume_unwind(panic), |()| None);
    }
    let path = type_name::<F>();
    let name =
        path.split_once("::").and_then(|(_, rest)| rest.strip_suffix("::{{closure}}")).expect("a test's closure");
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_str().expect("text");
    let mut output = tempfile::tempfile().expect("a file");
    let copy = || Stdio::from(output.try_clone().expect("a duplicate"));
    let own = std::env::current_exe().expect("this program");
    let mut command = match by {
        [] => Command::new(&own),
        [by, ..] => Command::new(by),
    };
    match by {
        [] => command.args(["--exact", name, "--nocapture"]),
        [_, arguments @ ..] => command.args(arguments),
    };
    command
        .envs([(ALONE, "1"), ("ADIEU_TEST_NAME", name)])
        .env("ADIEU_TEST_PROGRAM", own)
        .envs(variables.iter().map(|(key, value)| (*key, value.replace("{}", place))))
        .current_dir(place)
        .stdin(Stdio::null())
        .stdout(copy())
        .stderr(copy());
    let status = start_alone(|| command.spawn()).and_then(|mut child| child.wait()).expect("it runs");
    output.rewind().expect("a file");
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes).expect("a file");
    let said = String::from_utf8_lossy(&bytes).into_owned();
    assert!(status.success() && said.contains("1 passed"), "{name}, alone: {status}\n{said}");
    Some(said)
}

fn kill_rest() {
    loop {
        while let Ok(wait::Reaped::Child(..)) = wait::reap(false) {}
        let left = process::descendants(process::own_pid());
        if left.is_empty() {
            return;
        }
        for pid in left {
            drop(Pidfd::open(pid).and_then(|process| process.send(Signal::KILL)));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
