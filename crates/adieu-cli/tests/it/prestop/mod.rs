//! `adieu prestop` beside real servers, with clients at the other end of a wire: on loopback they would be ignored.

mod kinds;
mod load;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use adieu_linux::clock;
use serde_json::Value;

use crate::harness::network::{HOST, Network};
use crate::harness::{ADIEU, PYTHON, Process, Pulse, Scene, code_of, tool, until};

/// The server's side of the wire, IPv6.
const HOST6: &str = "fd00:211::1";
/// Where clients of different kinds come from.
const LOAD: [&str; 2] = ["10.211.55.2", "fd00:211::2"];
const PROBER: &str = "10.211.55.3";
const SLOW: &str = "10.211.55.4";

/// As a container has it: no user of its own, no capability, nothing to be gained by exec.
const UNPRIVILEGED: [&str; 10] = [
    "setpriv",
    "--reuid",
    "65534",
    "--regid",
    "65534",
    "--clear-groups",
    "--bounding-set",
    "-all",
    "--inh-caps",
    "-all",
];

fn program(name: &str) -> String {
    format!("{}/tests/it/prestop/programs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server at one end of a wire.
struct Wire {
    network: Network,
    scene: Scene,
    #[expect(dead_code, reason = "serves until it is dropped")]
    server: Process,
}

impl Wire {
    fn new() -> Self {
        let (network, scene) = (Network::new(), Scene::new());
        let address = |side: [&str; 4], address: &str| {
            let words = ["ip", "address", "add", address, "dev", "wire", "nodad"];
            let words = if address.contains(':') { &words[..] } else { &words[..6] };
            tool(Command::new(side[0]).args(&side[1..]).args(words));
        };
        address(network.server(), &format!("{HOST6}/64"));
        for client in [&format!("{}/64", LOAD[1]), &format!("{PROBER}/24"), &format!("{SLOW}/24")] {
            address(network.client(), client);
        }
        let mut command = within(&network.server(), &[PYTHON, &program("server.py")]);
        command.env("PORT", scene.port().to_string());
        let server = Process::start("server", &command, scene.directory());
        let wire = Self { network, scene, server };
        until("it serves", || !wire.ask(HOST, LOAD[0], "/").output().contains("Error"));
        wire
    }

    fn start(&self, name: &str, words: &[&str]) -> Process {
        let mut command = within(&self.network.client(), &[&[PYTHON, &program("clients.py")], words].concat());
        command.current_dir(self.scene.directory());
        Process::start(name, &command, self.scene.directory())
    }

    fn clients(&self, name: &str, to: &str, from: &str, kind: &str, what: &str) -> Process {
        let port = self.scene.port().to_string();
        self.start(name, &[to, &port, from, kind, what])
    }

    /// One request, to its end.
    fn ask(&self, to: &str, from: &str, path: &str) -> Process {
        let mut asked = self.clients("ask", to, from, "ask", path);
        asked.wait();
        asked
    }

    /// Runs `FRONT adieu prestop --json OPTIONS` on the server's side.
    fn prestop(&self, front: &[&str], options: &[&str]) -> Waited {
        self.begin(front, options).wait()
    }

    fn begin(&self, front: &[&str], options: &[&str]) -> Waiting {
        let port = self.scene.port().to_string();
        let words = [front, &[ADIEU, "prestop", "--json", "--port", &port], options].concat();
        let command = within(&self.network.server(), &words);
        let (began, pulse) = (now(), Pulse::start());
        Waiting { began, pulse, process: Process::start("prestop", &command, self.scene.directory()) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scene.path(name)
    }
}

/// A wait that goes on.
struct Waiting {
    began: f64,
    /// Of this machine, meanwhile.
    pulse: Pulse,
    process: Process,
}

impl Waiting {
    fn wait(mut self) -> Waited {
        let code = code_of(self.process.wait());
        let (began, ended, output) = (self.began, now(), self.process.output());
        let machine_late = self.pulse.latest();
        let lines = output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{output}")));
        Waited { began, ended, machine_late, code, events: lines.collect() }
    }
}

/// A wait that is over; times as [`now`] gives them.
#[derive(Debug)]
struct Waited {
    began: f64,
    ended: f64,
    /// How late this machine was meanwhile with whatever had to be done.
    machine_late: f64,
    code: i32,
    events: Vec<Value>,
}

impl Waited {
    /// How long it waited, by its own clock: how long it took to start and to be noticed is not counted.
    fn at(&self) -> f64 {
        self.summary()["at"].as_f64().unwrap_or_else(|| panic!("{self:?}"))
    }

    fn summary(&self) -> &Value {
        &self.events.last().unwrap_or_else(|| panic!("{self:?}"))["summary"]
    }

    /// How long nobody had sent when it ended, by its own clock; nothing when nobody ever had.
    fn quiet(&self) -> Option<f64> {
        self.summary()["last_traffic"].as_f64()
    }

    /// How much later it ended than it might have, by its own clock.
    fn late(&self, quiet_for: f64, min: f64) -> f64 {
        (self.at() - min).min(self.quiet().map_or(f64::INFINITY, |quiet| quiet - quiet_for))
    }

    /// Traffic went on to the end of the budget. Where a machine keeps everybody from running for long enough, clients pause,
    /// and the quiet is a true one.
    fn is_spent(&self) -> bool {
        self.code == 4 || self.machine_late > 0.2
    }

    fn sight(&self) -> &str {
        self.events[0]["sight"].as_str().unwrap_or_else(|| panic!("{self:?}"))
    }

    fn saw_traffic_of(&self, peer: &str) -> bool {
        let peer: IpAddr = peer.parse().expect("an address");
        self.events.iter().any(|event| event["event"] == "traffic" && event["peer"] == peer.to_string())
    }
}

/// Seconds of CLOCK_MONOTONIC, which is also Python's `time.monotonic()`.
fn now() -> f64 {
    clock::now().since_origin().as_secs_f64()
}

/// The times that a client printed after this word.
fn times(process: &Process, word: &str) -> Vec<f64> {
    let output = process.output();
    let times = output.lines().filter_map(|line| line.strip_prefix(word)).map(|time| time.trim().parse());
    times.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// The longest time without a request of this client during a wait. On a busy machine clients are late, too.
fn longest_pause(client: &Process, waited: &Waited) -> f64 {
    let inside = |time: &f64| (waited.began..waited.ended).contains(time);
    let requests = times(client, "request ").into_iter().filter(inside);
    let all: Vec<f64> = [waited.began].into_iter().chain(requests).chain([waited.ended]).collect();
    all.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
}

fn within(side: &[&str], words: &[&str]) -> Command {
    let mut command = Command::new(side[0]);
    command.args(&side[1..]).args(words);
    command
}
