//! `adieu drill` and `adieu demo` as their users run them.

mod demo;
mod guide;
mod screen;

use std::time::Duration;

use adieu_linux::diag::{LocalPort, state, tcp_sockets};
use rustix::process::{Pid, Signal};

use crate::harness::proc::lives;
use crate::harness::servers::PYTHON_PLAIN;
use crate::harness::{ADIEU, Instance, PYTHON, Process, Scene, Told, root, the_machine, until, wait_until_it_answers};

/// A server that knows nothing of anybody, on a port of its own.
struct Victim {
    scene: Scene,
    server: Process,
    url: String,
}

impl Victim {
    fn start() -> Self {
        let scene = Scene::new();
        let command = PYTHON_PLAIN.command(scene.port(), scene.directory());
        let mut server = Process::start("server", &command, scene.directory());
        wait_until_it_answers(&mut server, scene.port(), "/");
        let url = format!("http://127.0.0.1:{}/", scene.port());
        Self { scene, server, url }
    }

    /// The words of a small drill of it.
    fn words<'a>(&'a self, restart: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let small = ["--url", &self.url, "--calm", "300ms", "--count", "2", "--connections", "4"];
        [&["drill", "--restart", restart], &small[..], more].concat()
    }

    /// Two restarts in about a second.
    fn drill(&self, restart: &str, more: &[&str]) -> Told {
        self.scene.adieu(&self.words(restart, &[&["--pause", "300ms"], more].concat()))
    }

    /// A drill that goes on until something is done about it.
    fn start_drill(&self, restart: &str) -> Instance {
        self.scene.start("drill", &[&[ADIEU], &self.words(restart, &["--pause", "60s"])[..]].concat())
    }
}

#[test]
fn a_drill_that_loses_nothing_ends_with_0() {
    let _alone = the_machine();
    let victim = Victim::start();
    let calm = victim.drill("true", &["--expect", "hello from python"]);
    let text = &calm.out;
    assert_eq!(calm.code, 0, "{text}");
    assert!(text.contains("2 restarts: 0 lost") && calm.error.is_empty(), "no bar without a terminal: {calm:?}");
    assert!(text.contains("does the command restart this server?"), "{text}");
    let report = victim.drill("true", &["--json"]).json();
    assert_eq!(
        (&report["restarts"][1]["replaced"], &report["total"]["lost"]),
        (&false.into(), &0.into()),
        "{report:#}"
    );
    assert!(report["calm"]["latency"]["p99_ms"].is_f64(), "{report:#}");
    assert!(report["restarts"][1]["reused"]["ok"].as_u64() > Some(0), "{report:#}");
}

#[test]
fn a_drill_that_loses_something_ends_with_1() {
    let _alone = the_machine();
    let victim = Victim::start();
    let failed = victim.drill("exit 3", &[]);
    assert_eq!(failed.code, 1);
    assert!(failed.out.contains("`exit 3` failed: exit code 3"), "{failed:?}");
    // The second restart ends the server for good.
    let kill = format!("echo >>n; [ $(wc -l <n) -lt 2 ] || kill -9 {}", victim.server.pid());
    let lost = victim.drill(&kill, &["--timeout", "1s"]);
    assert_eq!(lost.code, 1);
    assert!(lost.out.contains("refused"), "{lost:?}");
    // And then there is nothing to drill.
    let gone = victim.drill("true", &[]);
    assert_eq!(gone.code, 6);
    assert!(gone.error.contains("start the server before the drill"), "{gone:?}");
}

#[test]
fn a_drill_does_not_begin_where_something_else_answers() {
    let victim = Victim::start();
    let other = victim.drill("echo >>restarted", &["--expect", "hello from node"]);
    assert_eq!(other.code, 2);
    assert!(other.error.contains("is not the server that is meant (wrong body)"), "{other:?}");
    assert_eq!(victim.scene.read("restarted"), "", "it was not restarted");
}

/// Another program has got hold of the same port: every second connection goes to it.
#[test]
fn a_drill_does_not_begin_where_two_programs_answer() {
    const SHARES: &str = "import http.server, socket, sys
class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()
Server(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
";
    let scene = Scene::new();
    let number = scene.port().to_string();
    let place = LocalPort { port: scene.port(), v6: false };
    let start = |name: &str, program: &str, listening: usize| {
        let process = Process::start(name, &scene.command(&[program, "-c", SHARES, &number]), scene.directory());
        let count = || tcp_sockets(&[place], &[state::LISTEN]).expect("they can be listed").len();
        until(&format!("{name} listens"), || count() == listening);
        process
    };
    let url = format!("http://127.0.0.1:{number}/");
    let drill = || scene.adieu(&["drill", "--url", &url, "--restart", "true", "--count", "1", "--calm", "100ms"]);
    let server = start("server", PYTHON, 1);
    let _twin = start("twin", PYTHON, 2);
    let one = drill();
    assert!(one.out.contains("1 restarts"), "two of one program are one server: {one:?}");
    // Differs in nothing but the file that is executed.
    let copy = scene.path("impostor");
    std::fs::copy(PYTHON, &copy).expect("python can be copied");
    let impostor = start("impostor", &copy.display().to_string(), 3);
    let two = drill();
    assert_eq!((two.code, two.out.as_str()), (2, ""));
    let words = &two.error;
    let named = |name: &str| words.contains(name);
    assert!(named("two programs answer") && named(&format!("impostor (pid {})", impostor.pid())), "{words}");
    assert!(!named(&format!("impostor (pid {})", server.pid())), "{words}");
}

/// A machine with eleven ports for 32 clients is no fault of the server.
#[test]
fn a_machine_that_cannot_load_the_server_is_not_counted_as_its_loss() {
    let scene = Scene::new();
    let script = format!(
        "ip link set lo up; echo 40000 40010 >/proc/sys/net/ipv4/ip_local_port_range; \
         PORT=80 {PYTHON} {}/examples/servers/python/plain.py & \
         until {ADIEU} drill --restart true --count 1 --url http://127.0.0.1/ --connections 1 --calm 50ms --pause 0ms >once; \
         do sleep 0.1; done; {ADIEU} drill --restart true --url http://127.0.0.1/; code=$?; kill $!; exit $code",
        root().display()
    );
    let mut all = scene.start("all", &["unshare", "--net", "sh", "-c", &script]);
    let (code, text) = (all.wait(), all.output());
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("0 lost") && text.contains("given up: this machine cannot open more connections"), "{text}");
    assert!(scene.read("once").contains("1 restarts: 0 lost"), "one client has ports enough");
}

#[test]
fn a_drill_that_is_interrupted_between_restarts_reports_what_it_has_seen() {
    let victim = Victim::start();
    let mut drill = victim.start_drill("echo >>n");
    victim.scene.wait_for("n", 1);
    drill.signal(Signal::INT);
    assert_eq!(drill.wait(), 130);
    let output = drill.output();
    assert!(output.contains("1 restarts: 0 lost") && output.contains("interrupted"), "{output}");
}

#[test]
fn a_restart_that_is_interrupted_may_finish_and_else_is_killed_and_named() {
    let victim = Victim::start();
    let mut drill = victim.start_drill("echo >>n; sleep 0.5; echo >>n");
    victim.scene.wait_for("n", 1);
    drill.signal(Signal::INT);
    assert_eq!((drill.wait(), victim.scene.read("n").as_str()), (130, "\n\n"));
    let mut drill = victim.start_drill("echo >>n; sleep 60");
    victim.scene.wait_for("n", 3);
    drill.signal(Signal::TERM);
    assert_eq!(drill.wait(), 1);
    let output = drill.output();
    assert!(output.contains("see whether the server runs"), "{output}");
}

#[test]
fn a_second_interrupt_ends_a_drill_at_once_and_its_restart_with_it() {
    let victim = Victim::start();
    let mut drill = victim.start_drill("echo $$ >n; exec sleep 60");
    victim.scene.wait_for("n", 1);
    let restart = Pid::from_raw(victim.scene.read("n").trim().parse().expect("a number")).expect("a pid");
    drill.signal(Signal::INT);
    // Within a second it would be the same wish; the drill itself has five until it kills.
    std::thread::sleep(Duration::from_millis(1500));
    drill.signal(Signal::INT);
    assert_eq!(drill.wait(), 130);
    assert_eq!(drill.output(), "", "no report");
    until("the restart command has ended", || !lives(restart));
}
