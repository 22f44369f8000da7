//! Processes that do not outlive their test.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, pidfd_send_signal};

use super::PATIENCE;
use super::proc::descendants;

/// A started process, its output in a file. Dropped, it is killed with everything below it, each by its own pidfd.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the command with its output going to `<name>.log` in `directory`.
    ///
    /// It dies with the thread that started it, so a test that is killed leaves nobody behind either.
    pub(crate) fn start(name: &str, command: &Command, directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log).expect("a test's own directory is writable");
        let errors = output.try_clone().expect("a file can be shared");
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => tied.env(key, value),
                None => tied.env_remove(key),
            };
        }
        if let Some(working) = command.get_current_dir() {
            tied.current_dir(working);
        }
        let child = tied.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        Self { name: name.to_owned(), child, log }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its pid, which stays its own until it is waited for.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has written to its standard output and error so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Sends it a signal; a child that was not waited for keeps its pid, so it reaches nobody else.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let pid = Pid::from_child(&self.child);
            rustix::process::kill_process(pid, signal).expect("one's own child can be signalled");
        }
    }

    /// Waits for its end; panics with its output when that takes too long.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{} does not end:\n{}", self.name, self.output());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- output of {} ---\n{}", self.name, self.output());
        }
        // Waited for already: its number may be another's by now, and its descendants have other parents.
        if self.ended().is_some() {
            return;
        }
        // Stopped top down, until a look finds nobody new: then nobody can start anybody while they are killed.
        // The root is waited for last, so its pid stays its own.
        let root = Pid::from_child(&self.child);
        let mut tree: Vec<(Pid, OwnedFd)> = Vec::new();
        // Not by `signal`, which would wait for it.
        let _ = rustix::process::kill_process(root, Signal::STOP);
        loop {
            let known: HashSet<Pid> = tree.iter().map(|(pid, _)| *pid).collect();
            let new: Vec<_> = descendants(root).into_iter().filter(|(pid, _)| !known.contains(pid)).collect();
            if new.is_empty() {
                break;
            }
            signal_all(&new, Signal::STOP);
            tree.extend(new);
        }
        signal_all(&tree, Signal::KILL);
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn signal_all(processes: &[(Pid, OwnedFd)], signal: Signal) {
    for (_, fd) in processes {
        // An error means that it has ended by itself.
        let _ = pidfd_send_signal(fd, signal);
    }
}
