//! A running init and its program: signals, its end, and who is below it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use rustix::process::{Pid, Signal};

use super::proc::{command_line, descendants};
use super::{ADIEU, Process, Scene, come, wait_until_it_answers};

/// A running init, ours or another, with its program. Dropped, everything of it is killed.
#[derive(Debug)]
pub(crate) struct Instance {
    // Before the scene, so that it ends before its files go.
    pub(crate) process: Process,
    /// Of the init itself, as the test sees it.
    pub(crate) pid: Pid,
    pub(super) name: Option<String>,
    pub(crate) scene: Scene,
}

impl Instance {
    pub(super) fn new(process: Process, name: Option<String>, scene: Scene) -> Self {
        Self { pid: process.pid(), process, name, scene }
    }

    /// What was started makes a namespace, and the init is what is below that.
    pub(super) fn in_namespace(mut self) -> Self {
        let first = || descendants(self.process.pid()).first().map(|(pid, _)| *pid);
        self.pid = come("the namespace has an init", first);
        self
    }

    pub(crate) fn port(&self) -> u16 {
        self.scene.port()
    }

    /// Waits until its program answers; the body of the answer.
    pub(crate) fn wait_until_it_answers(&mut self, path: &str) -> String {
        wait_until_it_answers(&mut self.process, self.scene.port(), path)
    }

    /// Everything that the init and its program have written.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid, signal).expect("the init is there");
    }

    /// By number: real-time signals have no name here.
    pub(crate) fn signal_number(&self, number: i32) {
        let words = [format!("-{number}"), "--".to_owned(), self.pid.to_string()];
        let status = Command::new("/bin/kill").args(words).status().expect("kill can be started");
        assert!(status.success(), "signal {number} cannot be sent");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Waits for its end; the exit code, 128+n for a signal.
    pub(crate) fn wait(&mut self) -> i32 {
        code_of(self.process.wait())
    }

    /// Ends it gracefully; the exit code.
    pub(crate) fn terminate(&mut self) -> i32 {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Everybody below it that has not ended.
    pub(crate) fn tree(&self) -> Vec<Pid> {
        descendants(self.pid).into_iter().map(|(pid, _)| pid).collect()
    }

    /// The pid of the first process below it, keepers aside, with this in its command line.
    pub(crate) fn find(&self, text: &str) -> Pid {
        let is_it = |pid: &Pid| {
            let line = command_line(*pid);
            line.contains(text) && !line.starts_with(ADIEU)
        };
        come(&format!("a process {text:?} runs"), || self.tree().into_iter().find(is_it))
    }
}

/// The exit code, 128+n for a signal.
pub(crate) fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
