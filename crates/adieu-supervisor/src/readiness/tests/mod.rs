//! Readiness of a generation whose only process is the test: real sockets and commands, and a machine that is where the test
//! wants it.

mod accepted;
mod answered;
mod commands;
mod notify;
mod probes;
mod ready;
mod silence;
mod ways;
mod why;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use adieu_core::switch::{Event, Generation};
use adieu_linux::{clock, sockets as calls};

use super::probe::{Need, ProbeStart};
use super::{NotifyState, Readiness};
use crate::options::ReadyWhen;
use crate::processes::Processes;
use crate::sockets::{Inherited, Sockets};
use crate::testing::{Entry, FakeTable, World, eventually, start_alone};
use crate::view::Out;

const OLD: Generation = Generation::FIRST;
const NEW: Generation = Generation::new(2);

/// How often it is probed, and how long one probe may take.
const EVERY: Duration = Duration::from_millis(50);
const PROBE_TIME: Duration = Duration::from_secs(2);

struct Scene {
    world: World,
    table: FakeTable,
    sockets: Sockets,
    readiness: Readiness,
    processes: Processes,
    events: Vec<Event>,
    notes: Vec<String>,
}

impl Scene {
    /// Both generations are the test, and say so by nothing yet.
    fn new(world: World, ready: ReadyWhen) -> Self {
        let mut world = world;
        (world.options.ready, world.now) = (ready, clock::now());
        let mut table = FakeTable::with_us(OLD);
        let entry = Entry { command: vec!["program".into()], ..table.entries[&OLD].clone() };
        table.entries.extend([(OLD, entry.clone()), (NEW, entry)]);
        let mut sockets = Sockets::new(Inherited::default(), world.now);
        let mut readiness = Readiness::default();
        for generation in [OLD, NEW] {
            sockets.begin(generation, world.now);
            // Without sockets: their names are those of a whole process, and tests share one.
            readiness.told.insert(generation, NotifyState::default());
        }
        let processes = Processes::new("it", &["program".into()], false, world.now);
        Self { world, table, sockets, readiness, processes, events: Vec::new(), notes: Vec::new() }
    }

    /// `generation` is given a listener here.
    fn listens(&mut self, generation: Generation, address: &str) -> TcpListener {
        self.world.options.listen = vec![address.parse().expect("an address")];
        let mut out = Out::default();
        let (mut passed, _) = self.sockets.pass(&self.world.view(), generation, &mut out).expect("it listens");
        TcpListener::from(passed.remove(0))
    }

    fn entry(&mut self, generation: Generation) -> &mut Entry {
        self.table.entries.entry(generation).or_default()
    }

    fn says_ready(&mut self, generation: Generation) {
        let command = self.table.entries[&generation].command.clone();
        self.readiness.said_ready(generation, Some(&command));
    }

    fn is_ready(&self, generation: Generation) -> bool {
        self.readiness.is_ready(&self.world.view(), &self.table, &self.sockets, generation)
    }

    fn why_unready(&self, generation: Generation) -> String {
        self.readiness.why_unready(&self.world.view(), &self.table, &self.sockets, generation)
    }

    fn begin_probing(&mut self, generation: Generation) {
        self.readiness.begin_probing(&self.world.view(), &self.sockets, generation);
    }

    /// When there is something to do, from now on.
    fn next(&self) -> Option<Duration> {
        self.readiness.next(&self.world.view(), &self.table).map(|at| at - self.world.now)
    }

    fn advance(&mut self) -> Need {
        let mut out = Out::default();
        let need = self.readiness.advance(&self.world.view(), &self.table, &self.sockets, &mut out);
        self.hear(out);
        need
    }

    fn say_unready(&mut self) {
        let mut out = Out::default();
        self.readiness.say_unready(&self.world.view(), &self.table, &self.sockets, &mut out);
        self.hear(out);
    }

    fn hear(&mut self, out: Out) {
        self.events.extend(out.events());
        self.notes.extend(out.texts().into_iter().map(str::to_owned));
    }

    fn pass(&mut self, time: Duration) {
        self.world.now = self.world.now + time;
    }

    /// The probe that is due is asked for.
    fn due(&mut self) -> ProbeStart {
        match self.advance() {
            Need::Start(start) => start,
            need => panic!("{need:?}: {:?}", self.failure()),
        }
    }

    /// Makes the probe, as its port is steered.
    fn make(&mut self, start: ProbeStart, steered: std::io::Result<()>) {
        let view = self.world.view();
        let mut shell = self.processes.shell(&view, start.generation());
        start_alone(|| self.readiness.start_probe(view.now, start, steered, &mut shell));
    }

    /// Makes the probe that is due, as the supervisor does.
    fn probe(&mut self) {
        let start = self.due();
        let steered = self.sockets.steer_probe(start.steering());
        self.make(start, steered);
    }

    /// Goes on until the probe under way has come to something.
    fn until_concluded(&mut self) {
        eventually("the probe comes to something", || match self.advance() {
            Need::Nothing => None,
            Need::Release => Some(()),
            Need::Start(_) => panic!("it has come to nothing"),
        });
    }

    /// What the last probe has come to.
    fn failure(&self) -> Option<&str> {
        self.readiness.probe.as_ref().and_then(|probe| probe.failure.as_deref())
    }

    fn is_pausing(&self) -> bool {
        self.readiness.probe.as_ref().is_some_and(super::probe::Probe::is_pausing)
    }
}

/// A listener that is no socket of the generations'.
fn stranger() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// An address where nobody listens, and that nobody else gets meanwhile.
fn nobody() -> (OwnedFd, SocketAddr) {
    let socket = calls::tcp_socket(calls::AF_INET).expect("a socket");
    calls::bind(socket.as_fd(), "127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = calls::local_address(socket.as_fd()).expect("it is bound").expect("an address");
    (socket, address)
}

fn inode(listener: &TcpListener) -> u64 {
    calls::inode_and_owner(listener.as_fd()).expect("ours").0
}
