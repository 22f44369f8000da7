//! `adieu run` as an init: processes, signals, terminals, hooks, containers. Each promise beside what happens without it.

mod background;
mod containers;
mod control;
mod engine;
mod hooks;
mod killing;
mod pid1;
mod restarts;
mod signals;
pub(crate) mod terminal;
mod transcripts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::harness::{PATIENCE, Process, descendants};

/// Debian's own: whatever else comes first in `PATH` may start itself through a shell script.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// With a keeper and without.
pub(crate) const MODES: [&str; 2] = ["auto", "off"];

/// The path of a program in `programs`.
pub(crate) fn program(name: &str) -> String {
    format!("{}/tests/it/init/programs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A directory of its own: working directory and runtime directory of everything that one test starts.
#[derive(Debug)]
pub(crate) struct Scene(TempDir);

impl Scene {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory can be made"))
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What is in a file; nothing when there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).expect("a test's own directory is writable");
        self.path(name).display().to_string()
    }

    /// A command that works here.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("ADIEU_RUNTIME_DIR", self.directory()).current_dir(self.directory());
        command
    }

    /// Runs `adieu WORDS` to its end.
    pub(crate) fn adieu(&self, words: &[&str]) -> Output {
        self.command(&[ADIEU]).args(words).output().expect("adieu can be started")
    }

    /// Starts `adieu run OPTIONS -- PROGRAM`.
    pub(crate) fn run(&self, options: &[&str], program: &[&str]) -> Init {
        self.start("adieu", &run_words(options, program))
    }

    /// Starts a command line with the init in front, as it is.
    pub(crate) fn start(&self, name: &str, words: &[&str]) -> Init {
        let process = Process::start(name, &self.command(words), self.directory());
        Init { pid: process.pid(), process }
    }

    /// Starts a command line as PID 1 of a namespace of its own.
    pub(crate) fn start_as_pid1(&self, name: &str, words: &[&str]) -> Init {
        let mut all = vec!["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
        all.extend(words);
        let process = Process::start(name, &self.command(&all), self.directory());
        let mut found = None;
        until("the namespace has an init", || {
            found = descendants(process.pid()).first().map(|(pid, _)| *pid);
            found.is_some()
        });
        Init { pid: found.expect("just found"), process }
    }

    /// Waits until a file has so many lines.
    pub(crate) fn wait_for(&self, name: &str, lines: usize) {
        until(&format!("{name} has {lines} lines"), || self.read(name).lines().count() >= lines);
    }
}

pub(crate) const ADIEU: &str = env!("CARGO_BIN_EXE_adieu");

pub(crate) fn run_words<'a>(options: &[&'a str], program: &[&'a str]) -> Vec<&'a str> {
    [&[ADIEU, "run"], options, &["--"], program].concat()
}

/// A running init, ours or another, below a test.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) process: Process,
    /// Of the init itself, as the test sees it.
    pub(crate) pid: Pid,
}

impl Init {
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid, signal).expect("the init is there");
    }

    /// By number: real-time signals have no name here.
    pub(crate) fn signal_number(&self, number: i32) {
        let words = [format!("-{number}"), "--".to_owned(), self.pid.to_string()];
        let status = Command::new("/bin/kill").args(words).status().expect("kill can be started");
        assert!(status.success(), "signal {number} cannot be sent");
    }

    /// Waits for its end; the exit code, 128+n for a signal.
    pub(crate) fn wait(&mut self) -> i32 {
        code_of(self.process.wait())
    }

    /// Ends it gracefully; the exit code and how long it took.
    pub(crate) fn stop(&mut self) -> (i32, Duration) {
        let began = Instant::now();
        self.signal(Signal::TERM);
        (self.wait(), began.elapsed())
    }

    /// Everybody below it that has not ended.
    pub(crate) fn tree(&self) -> Vec<Pid> {
        descendants(self.pid).into_iter().map(|(pid, _)| pid).collect()
    }

    /// The pid of the first process below it, keepers aside, with this in its command line.
    pub(crate) fn find(&self, text: &str) -> Pid {
        let mut found = None;
        until(&format!("a process {text:?} runs"), || {
            found = self.tree().into_iter().find(|pid| {
                let line = command_line(*pid);
                line.contains(text) && !line.starts_with(ADIEU)
            });
            found.is_some()
        });
        found.expect("just found")
    }
}

pub(crate) fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

pub(crate) fn command_line(pid: Pid) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Whether a process is there and has not ended.
pub(crate) fn lives(pid: Pid) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// The state letter of a process.
pub(crate) fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Waits for a condition; panics when that takes too long.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
