//! A PostgreSQL of one's own: a fresh cluster, reachable over a Unix socket only.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::build::tool;
use super::{PATIENCE, Process};

/// A running server; dropped, it and its files are gone.
#[derive(Debug)]
pub(crate) struct Postgres {
    // Before the directory, so that it ends before its files go.
    process: Process,
    directory: TempDir,
    programs: PathBuf,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let programs = programs();
        let owner = unprivileged();
        if let Some((user, group)) = owner {
            chown(directory.path(), Some(user), Some(group)).expect("root can give a directory away");
        }
        let command = |program: &str| {
            // A change of the user undoes who the process dies with; so it is said again.
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL"]).current_dir(directory.path());
            if let Some((user, group)) = owner {
                command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".into()]);
            }
            command.arg("--").arg(programs.join(program));
            command
        };
        let data = directory.path().join("data");
        let options = ["--auth=trust", "--username=postgres", "--no-sync", "--no-locale", "--encoding=UTF8"];
        tool(command("initdb").args(options).arg("--pgdata").arg(&data));
        let mut server = command("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(directory.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"]);
        let process = Process::start("postgres", &server, directory.path());
        let mut postgres = Self { process, directory, programs };
        postgres.wait_until_it_answers();
        postgres
    }

    /// What clients connect with.
    pub(crate) fn url(&self) -> String {
        format!("postgresql:///postgres?user=postgres&host={}", self.directory.path().display())
    }

    /// Runs SQL and returns its rows, columns apart by `|`.
    pub(crate) fn query(&self, sql: &str) -> String {
        tool(self.psql().args(["--command", sql])).trim().to_owned()
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"])
            .arg(self.url());
        psql
    }

    fn wait_until_it_answers(&mut self) {
        let began = Instant::now();
        while !self.psql().args(["--command", "SELECT 1"]).output().is_ok_and(|output| output.status.success()) {
            assert!(self.process.ended().is_none(), "PostgreSQL ended:\n{}", self.process.output());
            assert!(began.elapsed() < PATIENCE, "PostgreSQL does not answer:\n{}", self.process.output());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Fast shutdown: a killed one would leave its shared memory behind.
        self.process.signal(Signal::INT);
        let began = Instant::now();
        while self.process.ended().is_none() && began.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The directory with the newest version's programs; Debian keeps them out of `PATH`.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").map(|entries| entries.flatten().collect::<Vec<_>>());
    let newest = versions.unwrap_or_default().iter().map(|entry| entry.path().join("bin")).max();
    newest.expect("PostgreSQL is not in /usr/lib/postgresql: `cargo xtask test` installs it")
}

/// PostgreSQL refuses to run as root: then it runs as its own user, whose ids these are.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("a system with root has users");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut ids = line.expect("the package postgresql makes a user").split(':').skip(2).map(str::parse);
    match (ids.next(), ids.next()) {
        (Some(Ok(user)), Some(Ok(group))) => Some((user, group)),
        _ => panic!("the user postgres has no ids"),
    }
}
