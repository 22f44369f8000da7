//! `adieu run` around a server, and the commands that talk to it.

use std::path::Path;
use std::process::{Command, Output};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Port, Process, Server, wait_until_it_answers};

/// A supervised server with a port and a control socket of its own. Dropped, everything of it is killed.
#[derive(Debug)]
pub(crate) struct Adieu {
    process: Process,
    port: Port,
    directory: TempDir,
    name: &'static str,
}

impl Adieu {
    /// Starts `adieu run OPTIONS -- SERVER` and waits until the server answers on `path`.
    pub(crate) fn run(server: Server, options: &[&str], environment: &[(&str, &str)], path: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let port = Port::claim();
        let mut command = bare(directory.path());
        command.args(["run", "--name", server.name]).args(options);
        if server.graceful == Signal::QUIT {
            command.args(["--stop-signal", "QUIT"]);
        }
        command.arg("--").args(server.words(port.number(), directory.path()));
        command.env("PORT", port.number().to_string()).envs(environment.iter().copied());
        let mut process = Process::start("adieu", &command, directory.path());
        wait_until_it_answers(&mut process, port.number(), path);
        Self { process, port, directory, name: server.name }
    }

    pub(crate) fn port(&self) -> &Port {
        &self.port
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

    /// Runs a client command and returns what came of it.
    pub(crate) fn client(&self, words: &[&str]) -> Output {
        bare(self.directory.path()).args(words).output().expect("adieu can be started")
    }

    /// The supervisor's own account of what happened, for a failure's message.
    pub(crate) fn timeline(&self) -> String {
        let output = self.client(&["timeline", self.name]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("{out}{err}")
    }

    /// Stops it as a user does; panics unless the supervisor says that it went well and is gone afterwards.
    pub(crate) fn stop(mut self) {
        let stopped = self.client(&["stop", self.name]);
        let words = String::from_utf8_lossy(&stopped.stderr);
        assert!(stopped.status.success(), "adieu stop: {}: {words}\n{}", stopped.status, self.output());
        self.process.wait();
    }
}

fn bare(runtime: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adieu"));
    command.env("ADIEU_RUNTIME_DIR", runtime).current_dir(runtime);
    command
}
