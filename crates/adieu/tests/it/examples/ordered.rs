//! Example 02 with a real Redis and a real PostgreSQL.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Process, program};
use crate::scene::PATIENCE;

/// Redis and PostgreSQL of this test's own, over Unix sockets.
struct Servers {
    // Before the directory, so that they end before their files go.
    redis: Process,
    postgres: Process,
    directory: TempDir,
    programs: PathBuf,
}

/// A command that dies with this test.
fn bound(user: Option<(u32, u32)>, program: &Path, directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).current_dir(directory);
    if let Some((user, group)) = user {
        command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".into()]);
    }
    command.arg("--").arg(program);
    command
}

fn done(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// PostgreSQL refuses to run as root: then it runs as its own user.
fn unprivileged() -> Option<(u32, u32)> {
    rustix::process::geteuid().is_root().then(|| {
        let id = |what: &str| done(Command::new("id").args([what, "postgres"])).parse().expect("an id");
        (id("-u"), id("-g"))
    })
}

impl Servers {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        let owner = unprivileged();
        if let Some((user, group)) = owner {
            chown(at, Some(user), Some(group)).expect("root can give a directory away");
        }
        let versions = fs::read_dir("/usr/lib/postgresql").map(|entries| entries.flatten().collect::<Vec<_>>());
        let newest = versions.unwrap_or_default().iter().map(|entry| entry.path().join("bin")).max();
        let programs = newest.expect("PostgreSQL is not in /usr/lib/postgresql: `cargo xtask test` installs it");
        let data = at.join("data");
        let options = ["--auth=trust", "--username=postgres", "--no-sync", "--no-locale", "--encoding=UTF8"];
        done(bound(owner, &programs.join("initdb"), at).args(options).arg("--pgdata").arg(&data));
        let mut postgres = bound(owner, &programs.join("postgres"), at);
        postgres.arg("-D").arg(&data).arg("-k").arg(at).args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        let postgres = Process::start(&mut postgres);
        let mut redis = bound(None, Path::new("redis-server"), at);
        redis.args(["--port", "0", "--save", "", "--unixsocket"]).arg(at.join("redis"));
        let redis = Process::start(&mut redis);
        let servers = Self { redis, postgres, directory, programs };
        servers.wait_for(|| servers.psql("SELECT 1").output().is_ok_and(|output| output.status.success()));
        servers.wait_for(|| servers.redis_cli(&["PING"]).output().is_ok_and(|output| output.status.success()));
        servers
    }

    fn wait_for(&self, answers: impl Fn() -> bool) {
        let by = Instant::now() + PATIENCE;
        while !answers() {
            assert!(Instant::now() < by, "a server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn psql(&self, sql: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--username=postgres", "--host"]);
        command.arg(self.directory.path()).args(["--command", sql, "postgres"]);
        command
    }

    fn redis_cli(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("redis-cli");
        command.arg("-s").arg(self.directory.path().join("redis")).args(arguments);
        command
    }

    /// The instances that clients are told of.
    fn routes(&self) -> String {
        done(&mut self.redis_cli(&["SMEMBERS", "instances"]))
    }

    fn numbers(&self, sql: &str) -> Vec<i64> {
        done(&mut self.psql(sql)).lines().map(|line| line.parse().expect("a number")).collect()
    }

    fn service(&self, grace: u64) -> (Process, String) {
        let at = self.directory.path().display();
        let mut command = Command::new(program("02_ordered"));
        command.env("REDIS_URL", format!("redis+unix://{at}/redis")).env("GRACE_SECONDS", grace.to_string());
        command.env("POSTGRES_URL", format!("host={at} user=postgres dbname=postgres"));
        let mut service = Process::start(&mut command);
        let address = service.says("serving on ");
        assert_eq!(self.routes(), address);
        (service, address)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // Fast shutdown: a killed one would leave its shared memory behind.
        self.postgres.signal(Signal::INT);
        let by = Instant::now() + Duration::from_secs(10);
        while self.postgres.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < by {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.redis.signal(Signal::TERM);
    }
}

/// Sends an order; the answer, or `None` if it never came.
fn order(address: &str, id: i64, seconds: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    writeln!(stream, "{id} {seconds}").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok().filter(|length| *length > 0)?;
    Some(line.trim().to_owned())
}

#[test]
fn every_order_that_was_begun_under_load_is_answered_and_whole_and_the_route_is_gone() {
    let servers = Servers::start();
    let (mut service, address) = servers.service(30);
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let address = address.clone();
            std::thread::spawn(move || {
                let ids = (0..).map(|number| client * 1_000_000 + number);
                // Until nobody listens any more.
                let answered = ids.map_while(|id| order(&address, id, "0.05")).collect::<Vec<_>>();
                answered.len()
            })
        })
        .collect();
    servers.wait_for(|| servers.numbers("SELECT count(*) FROM orders")[0] >= 40);
    service.signal(Signal::TERM);
    let (status, stderr) = service.ends();
    assert_eq!(status.code(), Some(0), "{stderr}");
    let answered: usize = clients.into_iter().map(|client| client.join().expect("a client")).sum();
    let orders = servers.numbers("SELECT id FROM orders ORDER BY id");
    let items = servers.numbers("SELECT order_id FROM items ORDER BY order_id");
    assert_eq!(orders, items, "half an order");
    assert_eq!(orders.len(), answered, "each order that is in the database was answered: {stderr}");
    assert!(answered >= 40);
    assert_eq!(servers.routes(), "", "the route is gone: Redis was up when it had to be removed");
}

#[test]
fn an_order_that_takes_too_long_is_rolled_back_and_named_and_the_route_is_gone_all_the_same() {
    let servers = Servers::start();
    let (mut service, address) = servers.service(2);
    let slow = std::thread::spawn(move || order(&address, 42, "600"));
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep($1)%' AND state = 'active' AND pid <> pg_backend_pid()";
    servers.wait_for(|| servers.numbers(waits)[0] == 1);
    service.signal(Signal::TERM);
    let (status, stderr) = service.ends();
    assert_eq!(status.code(), Some(124), "{stderr}");
    assert!(stderr.contains("in flight: 1 × order 42 at "), "{stderr}");
    assert_eq!(slow.join().expect("the client"), None);
    assert_eq!(servers.numbers("SELECT count(*) FROM orders")[0], 0, "rolled back");
    assert_eq!(servers.routes(), "");
}

#[test]
fn a_kill_leaves_the_route_behind() {
    // The negative control, and why `adieu run --post-stop` and leases exist.
    let servers = Servers::start();
    let (mut service, address) = servers.service(30);
    service.signal(Signal::KILL);
    let (_status, _stderr) = service.ends();
    assert_eq!(servers.routes(), address);
}
