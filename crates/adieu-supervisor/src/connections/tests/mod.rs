//! The connections of a generation whose only process is the test: real sockets on loopback, and a machine that is where the
//! test wants it.

mod blocking;
mod deadlines;
mod descriptors;
mod drain;
mod given_up;
mod handoff;
mod lingering;
mod looks;
mod losses;
mod lot;
mod parked;
mod queues;
mod relayed;
mod taken;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use adieu_core::outcome::Outcome;
use adieu_core::switch::{Event, Generation};
use adieu_linux::diag::{self, state};
use adieu_linux::process::own_pid;
use adieu_linux::{clock, connections, sockets as calls};

use super::Connections;
use super::lot::Lot;
use crate::sockets::{Inherited, Sockets};
use crate::testing::{Entry, FakeTable, World, eventually};
use crate::view::{Note, Out, Said};

const OLD: Generation = Generation::FIRST;
const NEW: Generation = Generation::new(2);

/// What SO_RCVLOWAT is while a connection is parked.
const RAISED: i32 = 64 * 1024;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The old generation, which listens, and all that its parts ask.
struct Scene {
    world: World,
    table: FakeTable,
    sockets: Sockets,
    connections: Connections,
    listener: TcpListener,
    address: SocketAddr,
    /// How far the time of the test is ahead of the clock.
    ahead: Duration,
    events: Vec<Event>,
    notes: Vec<String>,
}

impl Scene {
    /// In this world the old generation listens, and its descriptors can be duplicated.
    fn new(mut world: World) -> Self {
        world.now = clock::now();
        world.options.listen = vec!["127.0.0.1:0".parse().expect("an address")];
        let mut sockets = Sockets::new(Inherited::default(), world.now);
        let mut out = Out::default();
        let (mut passed, _) = sockets.pass(&world.view(), OLD, &mut out).expect("it listens");
        let listener = TcpListener::from(passed.remove(0));
        let address = listener.local_addr().expect("it is bound");
        let mut table = FakeTable::with_us(OLD);
        table.may_duplicate = Some(true);
        Self {
            world,
            table,
            sockets,
            connections: Connections::default(),
            listener,
            address,
            ahead: Duration::ZERO,
            events: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The old generation drains, and its descriptors cannot be duplicated: nothing is parked.
    fn without_parking() -> Self {
        let mut scene = Self::new(World::draining());
        scene.table.may_duplicate = Some(false);
        scene
    }

    /// The new generation listens here.
    fn listens_too(&mut self, address: SocketAddr) -> TcpListener {
        self.world.options.listen = vec![address];
        let mut out = Out::default();
        let (mut passed, _) = self.sockets.pass(&self.world.view(), NEW, &mut out).expect("it listens");
        TcpListener::from(passed.remove(0))
    }

    /// A client, and the connection as the program has it: non-blocking, as most have it.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.address).expect("it listens");
        let (program, peer) = self.listener.accept().expect("one waits");
        assert_eq!(Ok(peer), client.local_addr().map_err(|error| error.to_string()), "somebody else's connection");
        program.set_nonblocking(true).expect("ours");
        (client, program)
    }

    /// As [`Self::connect`]; the program has read a request and owes the answer.
    fn unanswered(&self) -> (TcpStream, TcpStream) {
        let (client, program) = self.connect();
        ask(&client, &program);
        (client, program)
    }

    /// As [`Self::unanswered`], for the entry of the other generation.
    fn entry(&mut self, generation: Generation) -> &mut Entry {
        self.table.entries.entry(generation).or_default()
    }

    fn watch_owed(&mut self) {
        let mut out = Out::default();
        self.connections.watch_owed(&self.world.view(), &self.table, &self.sockets, OLD, &mut out);
        self.hear(out);
    }

    fn watch_queues(&mut self, drains: bool) {
        let mut out = Out::default();
        self.connections.watch_queues(&self.world.view(), &self.sockets, OLD, drains, &mut out);
        self.hear(out);
    }

    fn end_owed_watch(&mut self) {
        let mut out = Out::default();
        self.connections.end_owed_watch(&self.world.view(), OLD, &mut out);
        self.hear(out);
    }

    /// One turn of the loop, now.
    fn turn(&mut self) {
        self.world.now = clock::now() + self.ahead;
        let mut out = Out::default();
        self.connections.advance(&self.world.view(), &self.table, &self.sockets, &mut out);
        self.hear(out);
    }

    /// One turn of the loop, so much later.
    fn turn_after(&mut self, time: Duration) {
        self.ahead += time;
        self.turn();
    }

    fn hear(&mut self, out: Out) {
        for said in out.into_said() {
            match said {
                Said::Event(event) => self.events.push(event),
                Said::Note(Note::Plain(text) | Note::Once(text) | Note::Quiet(text) | Note::Log(text)) => {
                    self.notes.push(text);
                }
            }
        }
    }

    /// Goes on until this is so.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        eventually(what, || {
            self.turn();
            is_so(self).then_some(())
        });
    }

    /// Goes on for so long, for what must not happen meanwhile.
    fn go_on_for(&mut self, time: Duration) {
        let until = clock::now() + time;
        self.until("time passes", |_| clock::now() >= until);
    }

    fn until_drained(&mut self) {
        self.until("it is drained", |scene| !scene.events.is_empty());
        assert_eq!(self.events, [Event::Drained(OLD)]);
    }

    fn until_parked(&mut self, program: &TcpStream) {
        self.until("it is parked", |_| low_water(program) == RAISED);
    }

    /// The old generation ends like this, whole.
    fn end_program(&mut self, outcome: Outcome) {
        self.entry(OLD).outcome = Some(outcome);
        self.world.tell(Event::MainExited(OLD, outcome));
        self.world.tell(Event::TreeGone(OLD));
        assert_eq!(self.world.view().phase(OLD), None, "it is gone");
        self.connections.retire(OLD, outcome);
    }

    /// The new generation dies, and the old one serves again.
    fn roll_back(&mut self) {
        self.world.tell(Event::MainExited(NEW, Outcome::Exited(1)));
        self.world.tell(Event::Switched(OLD));
        assert_eq!(self.world.view().switch.serving(), Some(OLD));
    }

    /// All connections of the old generation, as the kernel lists them.
    fn listed(&self) -> Vec<diag::Socket> {
        let open = [state::ESTABLISHED, state::CLOSE_WAIT];
        diag::tcp_sockets(&self.sockets.places(OLD), &open).expect("they can be listed")
    }

    /// The lot of all connections that there are.
    fn lot(&self) -> Lot {
        Lot::new(OLD, Duration::from_secs(2), &[own_pid()], &self.listed(), clock::now())
    }
}

/// The client asks, and the program reads.
fn ask(mut client: &TcpStream, program: &TcpStream) {
    client.write_all(REQUEST).expect("it is read");
    assert_eq!(take(program, REQUEST.len()), REQUEST);
}

/// The program answers, and the client reads.
fn answer(client: &TcpStream, mut program: &TcpStream) {
    program.write_all(ANSWER).expect("there is room");
    assert_eq!(take(client, ANSWER.len()), ANSWER);
}

/// Reads so many bytes, however long they take.
fn take(mut from: &TcpStream, length: usize) -> Vec<u8> {
    let mut all = vec![0; length];
    let mut got = 0;
    eventually("the bytes come", || {
        match from.read(&mut all[got..]) {
            Ok(0) => panic!("closed after {got} bytes"),
            Ok(more) => got += more,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        (got == length).then_some(())
    });
    all
}

/// What SO_RCVLOWAT (18 of SOL_SOCKET, which is 1) is.
fn low_water(socket: &TcpStream) -> i32 {
    calls::option(socket.as_fd(), 1, 18).expect("a socket")
}

fn cookie(socket: &TcpStream) -> u64 {
    connections::cookie(socket.as_fd()).expect("a socket")
}
