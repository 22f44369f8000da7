//! `adieu run` around a server, and the commands that talk to it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use adieu_core::wire::Status;
use rustix::process::Signal;
use tempfile::TempDir;

use super::{Port, Process, Server, wait_until_it_answers};

/// Where a supervised server is started: a directory and a port of its own.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
    port: Port,
}

/// How `adieu run` is started there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub(crate) name: &'static str,
    /// What stands before `adieu` on the command line: `setpriv` and its like.
    pub(crate) front: &'a [&'a str],
    pub(crate) options: &'a [&'a str],
    pub(crate) environment: &'a [(&'a str, &'a str)],
    pub(crate) program: &'a [&'a str],
}

/// A supervised server with a port and a control socket of its own. Dropped, everything of it is killed.
#[derive(Debug)]
pub(crate) struct Adieu {
    process: Process,
    place: Place,
    name: &'static str,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory can be made"), port: Port::claim() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What is in a file; nothing when there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a test's own directory is writable");
    }

    /// Starts `FRONT adieu run OPTIONS -- PROGRAM`, with `PORT` in its environment. Waits for nothing.
    pub(crate) fn run(self, setup: Setup<'_>) -> Adieu {
        let mut command = match setup.front {
            [] => bare(self.directory()),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(ADIEU);
                command.env("ADIEU_RUNTIME_DIR", self.directory()).current_dir(self.directory());
                command
            }
        };
        command.args(["run", "--name", setup.name]).args(setup.options).arg("--").args(setup.program);
        command.env("PORT", self.port().to_string()).envs(setup.environment.iter().copied());
        let process = Process::start("adieu", &command, self.directory());
        Adieu { process, place: self, name: setup.name }
    }
}

impl Adieu {
    /// Starts `adieu run OPTIONS -- SERVER` and waits until the server answers on `path`.
    pub(crate) fn run(server: Server, options: &[&str], environment: &[(&str, &str)], path: &str) -> Self {
        let place = Place::new();
        let words = server.words(place.port(), place.directory());
        let program: Vec<&str> = words.iter().map(String::as_str).collect();
        let quits: &[&str] = if server.graceful == Signal::QUIT { &["--stop-signal", "QUIT"] } else { &[] };
        let options = [options, quits].concat();
        let setup = Setup { name: server.name, front: &[], options: &options, environment, program: &program };
        let mut adieu = place.run(setup);
        adieu.wait_until_it_answers(path);
        adieu
    }

    /// Waits until the server answers; the body of its answer.
    pub(crate) fn wait_until_it_answers(&mut self, path: &str) -> String {
        wait_until_it_answers(&mut self.process, self.place.port(), path)
    }

    pub(crate) fn port(&self) -> &Port {
        &self.place.port
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Everything that the supervisor and its program have written.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    /// Replaces the program and waits until the old one is gone; panics when that fails.
    pub(crate) fn reload(&self, number: usize) {
        let reload = self.client(&["reload", self.name, "--wait", "drained"]);
        let words = String::from_utf8_lossy(&reload.stderr);
        assert!(reload.status.success(), "reload {number}: {}: {words}\n{}", reload.status, self.timeline());
    }

    /// Asks for a reload that must fail and leave the old generation serving; what the command said.
    pub(crate) fn reload_in_vain(&self) -> String {
        let reload = self.client(&["reload", self.name, "--wait", "drained"]);
        let words = String::from_utf8_lossy(&reload.stderr).into_owned();
        assert_eq!(reload.status.code(), Some(7), "{words}\n{}", self.timeline());
        words
    }

    /// Runs a client command and returns what came of it.
    pub(crate) fn client(&self, words: &[&str]) -> Output {
        bare(self.place.directory()).args(words).output().expect("adieu can be started")
    }

    /// What `adieu status` says.
    pub(crate) fn status(&self) -> Status {
        self.try_status().unwrap_or_else(|| panic!("no status:\n{}", self.output()))
    }

    /// As [`Self::status`], of one that may not be there yet.
    pub(crate) fn try_status(&self) -> Option<Status> {
        serde_json::from_slice(&self.client(&["status", self.name, "--json"]).stdout).ok()
    }

    /// The supervisor's own account of what happened, for a failure's message.
    pub(crate) fn timeline(&self) -> String {
        let output = self.client(&["timeline", self.name]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("{out}{err}")
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Stops it as a user does; panics unless the supervisor says that it went well and is gone afterwards.
    pub(crate) fn stop(mut self) {
        let stopped = self.client(&["stop", self.name]);
        let words = String::from_utf8_lossy(&stopped.stderr);
        assert!(stopped.status.success(), "adieu stop: {}: {words}\n{}", stopped.status, self.output());
        self.process.wait();
    }
}

const ADIEU: &str = env!("CARGO_BIN_EXE_adieu");

fn bare(runtime: &Path) -> Command {
    let mut command = Command::new(ADIEU);
    command.env("ADIEU_RUNTIME_DIR", runtime).current_dir(runtime);
    command
}
