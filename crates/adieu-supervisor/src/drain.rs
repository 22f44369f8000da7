//! Watching an old generation from outside: its accept queues, the handshakes begun before the switch, and what its
//! connections are owed.

use std::collections::HashSet;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::owed::{Ledger, Sample, State};
use adieu_core::switch::{Event, Generation};
use adieu_core::wire::ConnectionCounts;
use adieu_linux::diag::{self, state};
use adieu_linux::{clock, descriptors};

use crate::supervisor::Supervisor;

const QUEUE_EVERY: Duration = Duration::from_millis(2);

/// Waiting for accept queues to be empty.
#[derive(Debug)]
pub(crate) struct QueueWatch {
    pub(crate) generation: Generation,
    pub(crate) next: Timestamp,
    /// Handshakes that were under way at the switch, by cookie.
    handshakes: HashSet<u64>,
}

/// Waiting until no connection is owed an answer.
#[derive(Debug)]
pub(crate) struct OwedWatch {
    pub(crate) generation: Generation,
    pub(crate) next: Timestamp,
    ports: Vec<u16>,
    ledger: Ledger,
}

impl Supervisor {
    fn ports(&self, generation: Generation) -> Vec<u16> {
        let mut ports: Vec<u16> =
            self.groups.endpoints(generation).iter().map(|endpoint| endpoint.address.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    pub(crate) fn watch_queues(&mut self, generation: Generation) {
        let mut handshakes = HashSet::new();
        for port in self.ports(generation) {
            handshakes.extend(diag::tcp_sockets(port, &[state::SYN_RECV]).unwrap_or_default().iter().map(|s| s.cookie));
        }
        self.queue_watches.push(QueueWatch { generation, next: clock::now(), handshakes });
    }

    pub(crate) fn advance_queue_watches(&mut self) {
        let now = clock::now();
        for mut watch in std::mem::take(&mut self.queue_watches) {
            if now < watch.next {
                self.queue_watches.push(watch);
                continue;
            }
            if !watch.handshakes.is_empty() {
                let mut present = HashSet::new();
                for port in self.ports(watch.generation) {
                    present.extend(
                        diag::tcp_sockets(port, &[state::SYN_RECV]).unwrap_or_default().iter().map(|s| s.cookie),
                    );
                }
                watch.handshakes.retain(|cookie| present.contains(cookie));
            }
            // In this order: a handshake that has just ended is in the queue by now.
            if watch.handshakes.is_empty() && self.groups.waiting(watch.generation) == 0 {
                self.tell(Event::QueuesEmpty(watch.generation));
            } else if self.running.contains_key(&watch.generation) {
                watch.next = now + QUEUE_EVERY;
                self.queue_watches.push(watch);
            }
        }
    }

    /// The connections of a generation are those whose sockets its processes hold: its queues are empty by now, so what nobody
    /// holds waits in another generation's queue.
    pub(crate) fn watch_owed(&mut self, generation: Generation) {
        let ports = self.ports(generation);
        if ports.is_empty() {
            self.tell(Event::Drained(generation));
            return;
        }
        let own = self.own_inodes(generation);
        let mut all: Vec<diag::Socket> =
            ports.iter().flat_map(|port| diag::tcp_sockets(*port, &OWED_STATES).unwrap_or_default()).collect();
        all.retain(|socket| own.as_ref().is_none_or(|own| own.contains(&socket.inode)));
        let mut ledger =
            Ledger::new(adieu_core::owed::Config { drain_quiet: self.options.drain_quiet, ..Default::default() });
        ledger.restrict(all.iter().map(|socket| socket.cookie));
        self.open_lot(generation, &all);
        self.owed_watches.push(OwedWatch { generation, next: clock::now(), ports, ledger });
    }

    /// The inodes of all sockets that processes of `generation` hold; `None` where they may not be read.
    fn own_inodes(&self, generation: Generation) -> Option<HashSet<u64>> {
        let mut own = HashSet::new();
        for pid in self.members(generation) {
            match descriptors::sockets(pid) {
                Ok(found) => own.extend(found.into_iter().map(|(_, inode)| inode)),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
                Err(_) => {}
            }
        }
        Some(own)
    }

    pub(crate) fn advance_owed_watches(&mut self) {
        let now = clock::now();
        for mut watch in std::mem::take(&mut self.owed_watches) {
            if now < watch.next {
                self.owed_watches.push(watch);
                continue;
            }
            let samples: Vec<Sample> = watch.ports.iter().flat_map(|port| samples(*port)).collect();
            watch.ledger.handle_samples(now, &samples);
            let counts = watch.ledger.counts();
            if watch.ledger.is_drained() || self.is_parked(&watch) {
                self.tell(Event::Drained(watch.generation));
            } else if self.running.get(&watch.generation).is_some_and(|r| r.is_alive())
                && self.is_draining(watch.generation)
            {
                watch.next = watch
                    .ledger
                    .poll_timeout()
                    .unwrap_or(now + Duration::from_millis(10))
                    .max(now + Duration::from_millis(1));
                self.owed_watches.push(watch);
            } else if counts.owed + counts.unknown > 0 {
                let (generation, owed, unknown) = (watch.generation, counts.owed, counts.unknown);
                self.note(format!(
                    "generation {generation}: stopped with {owed} connections owed an answer and {unknown} that may be"
                ));
            }
        }
    }

    /// Whether every connection that may be owed an answer is parked between two requests.
    fn is_parked(&self, watch: &OwedWatch) -> bool {
        let lot = self.lots.iter().find(|lot| lot.generation == watch.generation);
        lot.is_some_and(|lot| !lot.carries() && watch.ledger.unsettled().all(|cookie| lot.is_settled(cookie)))
    }

    /// Connections of one generation by class, for the status.
    pub(crate) fn count_connections(&self, generation: Generation) -> ConnectionCounts {
        let Some(own) = self.own_inodes(generation) else { return ConnectionCounts::default() };
        let mut ledger =
            Ledger::new(adieu_core::owed::Config { drain_quiet: self.options.drain_quiet, ..Default::default() });
        let mut cookies = HashSet::new();
        let mut all = Vec::new();
        for port in self.ports(generation) {
            for socket in diag::tcp_sockets(port, &OWED_STATES).unwrap_or_default() {
                if own.contains(&socket.inode) {
                    cookies.insert(socket.cookie);
                    all.push(sample(&socket));
                }
            }
        }
        ledger.restrict(cookies);
        ledger.handle_samples(clock::now(), &all);
        let counts = ledger.counts();
        ConnectionCounts { owed: counts.owed, unknown: counts.unknown, quiet: counts.quiet, expired: counts.expired }
    }
}

const OWED_STATES: [u8; 3] = [state::ESTABLISHED, state::CLOSE_WAIT, state::SYN_RECV];
/// Also those that the program has closed while data is still on its way.
const ALL_STATES: [u8; 7] = [state::ESTABLISHED, state::SYN_RECV, 4, 5, state::CLOSE_WAIT, 9, 11];

fn samples(port: u16) -> Vec<Sample> {
    diag::tcp_sockets(port, &ALL_STATES).unwrap_or_default().iter().map(sample).collect()
}

fn sample(socket: &diag::Socket) -> Sample {
    let info = socket.info.unwrap_or_default();
    Sample {
        cookie: socket.cookie,
        state: State::from_kernel(socket.state),
        unread: socket.receive_queue,
        unsent_or_unacked: socket.send_queue,
        last_data_sent_ms: info.last_data_sent_ms,
        last_data_recv_ms: info.last_data_received_ms,
        bytes_received: info.bytes_received,
        bytes_acked: info.bytes_acked,
        bytes_sent: info.bytes_sent,
        segs_in: info.segments_in,
        segs_out: info.segments_out,
        has_owner: socket.inode != 0,
    }
}
