//! The examples are what they say they are: real processes, real servers, real signals, under load.

mod ordered;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::scene::PATIENCE;

/// The program of an example: cargo builds them all before it runs tests.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this program");
    let build = tests.parent().and_then(std::path::Path::parent).expect("target/debug/deps");
    let program = build.join("examples").join(name);
    assert!(program.exists(), "{} is not built: `cargo build -p adieu --examples`", program.display());
    program
}

/// A process that ends, at the latest, with its test.
struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, stdout }
    }

    /// The rest of the first line that begins so.
    fn says(&mut self, beginning: &str) -> String {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).expect("its output") > 0 {
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("it never said {beginning:?}: {}", self.stderr());
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    /// How it ended and what it said on standard error.
    fn ends(&mut self) -> (ExitStatus, String) {
        let by = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return (status, self.stderr());
            }
            assert!(Instant::now() < by, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// For a process that has ended or is about to.
    fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().into_iter().for_each(|mut pipe| drop(pipe.read_to_string(&mut text)));
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, unless the test has failed.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
