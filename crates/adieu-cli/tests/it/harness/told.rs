//! Commands that run to their end, and what they say.

use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use rustix::process::Pid;

use super::proc::lives;
use super::{PATIENCE, code_of, come_within};

/// What a command said in the end.
#[derive(Debug)]
pub(crate) struct Told {
    /// Its exit code, 128+n for a signal.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Told {
    /// Runs a command to its end; panics when that takes too long.
    pub(crate) fn of(command: &mut Command) -> Self {
        Begun::new(command).end()
    }

    pub(crate) fn is_fine(&self) -> bool {
        self.code == 0
    }

    /// All of it.
    pub(crate) fn said(&self) -> String {
        self.out.clone() + &self.error
    }

    /// Its standard output, which is JSON and nothing else.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: code_of(output.status), out: text(&output.stdout), error: text(&output.stderr) }
    }
}

/// A command that runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Begun(Child);

impl Begun {
    pub(crate) fn new(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self(child)
    }

    /// Waits for its end; panics when that takes too long.
    pub(crate) fn end(mut self) -> Told {
        let (out, error) = (self.0.stdout.take(), self.0.stderr.take());
        // Beside one another: a full pipe must not hold it up.
        let (out, error) = (thread::spawn(|| all_of(out)), thread::spawn(|| all_of(error)));
        let pid = Pid::from_child(&self.0);
        // A reload is a start, a switch and an end.
        come_within(2 * PATIENCE, &format!("the command {pid} ends"), || (!lives(pid)).then_some(()));
        let text = |reader: thread::JoinHandle<String>| reader.join().expect("no reader panics");
        let status = self.0.wait().expect("a child can be waited for");
        Told { code: code_of(status), out: text(out), error: text(error) }
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("a child can be waited for").is_some()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn all_of(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    drop(pipe.expect("its output was asked for").read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
