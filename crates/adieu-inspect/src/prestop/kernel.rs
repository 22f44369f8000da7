//! The server's connections as the kernel tells of them by netlink: lists, and the ends of those that come and go in between.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::prestop::{Connection, Look};
use adieu_linux::clock;
use adieu_linux::diag::{Closings, Identity, LocalPort, Socket, look_up, state, tcp_sockets};
use adieu_linux::netns::tcp_counters;
use adieu_linux::poll::{Readiness, poll};

/// Everything that is a connection of a server.
const CONNECTED: [u8; 7] = [
    state::ESTABLISHED,
    state::SYN_RECV,
    state::FIN_WAIT1,
    state::FIN_WAIT2,
    state::CLOSE_WAIT,
    state::LAST_ACK,
    state::CLOSING,
];

/// Looking up more than this costs more than a list.
const FEW: usize = 1000;

/// Under load the ends are taken so often and not more: the buffer holds some hundreds.
const BREATH: Duration = Duration::from_millis(10);
/// So many at a time: a flood of them must not keep us from looking.
const AT_ONCE: usize = 4096;

/// The time until then.
pub(super) fn left(until: Timestamp) -> Duration {
    until.since(clock::now())
}

pub(super) struct Kernel {
    places: Vec<LocalPort>,
    ports: Vec<u16>,
    closings: io::Result<Closings>,
    /// Ends that were told since the last look, and when: the times in them are counted from then.
    ended: Vec<(Timestamp, Socket)>,
    /// Some were told and lost.
    lost: bool,
    known: Vec<Identity>,
    cookies: BTreeSet<u64>,
    /// Connections that were opened to any port of this namespace, before the last list.
    opened: Option<u64>,
}

impl Kernel {
    /// Begins to watch. Beside it the ports that nobody listens on or is connected to.
    pub(super) fn open(ports: &[u16]) -> io::Result<(Self, Vec<u16>)> {
        // First, so that nothing ends unseen.
        let closings = Closings::subscribe(ports);
        let (mut places, mut unused) = (Vec::new(), Vec::new());
        for port in ports {
            let both = [false, true].map(|v6| LocalPort { port: *port, v6 });
            let used = |states: &[u8]| -> io::Result<Vec<LocalPort>> {
                let mut used = Vec::new();
                for place in both {
                    if !tcp_sockets(&[place], states)?.is_empty() {
                        used.push(place);
                    }
                }
                Ok(used)
            };
            let mut found = used(&[state::LISTEN])?;
            if found.is_empty() {
                // It may have closed its listener already, and serve what it has.
                found = used(&CONNECTED)?;
            }
            if found.is_empty() {
                unused.push(*port);
            }
            places.extend(found);
        }
        let kernel = Self {
            places,
            ports: ports.to_vec(),
            closings,
            ended: Vec::new(),
            lost: false,
            known: Vec::new(),
            cookies: BTreeSet::new(),
            opened: None,
        };
        Ok((kernel, unused))
    }

    /// Why ends are not told.
    pub(super) fn no_ends(&self) -> Option<&io::Error> {
        self.closings.as_ref().err()
    }

    pub(super) fn look(&mut self, complete: bool) -> io::Result<Look> {
        // Before the list: what is opened between the two is in the list, and makes the next look a list, too.
        let opened = tcp_counters().ok().map(|counters| counters.passive_opens);
        let listed = complete || opened.is_none() || opened != self.opened || self.known.len() > FEW;
        let mut sockets =
            if listed { tcp_sockets(&self.places, &CONNECTED)? } else { look_up(self.known.iter().copied())? };
        sockets.retain(|socket| self.ports.contains(&socket.local.port()));
        let before = std::mem::replace(&mut self.cookies, sockets.iter().map(|socket| socket.cookie).collect());
        let new = self.cookies.difference(&before).count() as u64;
        let mut unseen = std::mem::take(&mut self.lost);
        match &mut self.closings {
            // After the list: what is in neither has ended and is about to be told.
            Ok(closings) => unseen |= take(closings, &mut self.ended)?,
            // More were opened than we have seen: some came and went.
            Err(_) => unseen |= opened.zip(self.opened).is_none_or(|(now, before)| now.saturating_sub(before) > new),
        }
        if listed {
            self.opened = opened;
        }
        self.known = sockets.iter().map(|socket| socket.identity).collect();
        let now = clock::now();
        let closed = std::mem::take(&mut self.ended).into_iter();
        // A listener that is closed has no peer.
        let closed = closed.filter(|(_, socket)| socket.remote.port() != 0).map(|(told, socket)| {
            let mut connection = connection(&socket);
            let since = u32::try_from(now.since(told).as_millis()).unwrap_or(u32::MAX);
            let sample = &mut connection.sample;
            sample.last_data_recv_ms = sample.last_data_recv_ms.saturating_add(since);
            sample.last_data_sent_ms = sample.last_data_sent_ms.saturating_add(since);
            connection
        });
        let closed = closed.collect();
        let open = sockets.iter().map(connection).collect();
        Ok(Look { open, complete: listed, closed, unseen, received: false })
    }

    pub(super) fn wait(&mut self, until: Timestamp) {
        let Ok(closings) = &mut self.closings else { return thread::sleep(left(until)) };
        while !left(until).is_zero() {
            let told = poll(&[(closings.as_fd(), Readiness::READ)], Some(left(until)));
            if told.is_ok_and(|told| told.iter().any(|ready| ready.readable || ready.hung_up)) {
                // An error here is one of the next look, too.
                self.lost |= take(closings, &mut self.ended).unwrap_or(true);
                thread::sleep(left(until).min(BREATH));
            }
        }
    }
}

/// Takes what was told; true when some was lost.
fn take(closings: &mut Closings, ended: &mut Vec<(Timestamp, Socket)>) -> io::Result<bool> {
    let mut told = Vec::new();
    let lost = closings.read(&mut told, AT_ONCE);
    let now = clock::now();
    ended.extend(told.into_iter().map(|socket| (now, socket)));
    lost
}

fn connection(socket: &Socket) -> Connection {
    Connection { peer: socket.remote.ip().to_canonical(), sample: socket.sample(), counted: socket.info.is_some() }
}
