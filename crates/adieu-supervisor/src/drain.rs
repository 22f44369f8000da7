//! Watching an old generation from outside: its accept queues, the handshakes begun before the switch, and what its
//! connections are owed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use adieu_core::owed::{Counts, Ledger, Sample};
use adieu_core::switch::{Event, Generation, Phase};
use adieu_core::{Timestamp, duration};
use adieu_linux::clock;
use adieu_linux::diag::{self, Identity, Place, state};

use crate::supervisor::Supervisor;

const QUEUE_EVERY: Duration = Duration::from_millis(2);
/// At least this lies between two samples, whatever they cost.
const SAMPLE_PAUSE: Duration = Duration::from_millis(1);
/// A program that ends its connections itself gets them when for so long none of them has been finished or parked: a busy one
/// pauses more often, and what never looks finished from outside (a WebSocket, a stream) is awaited in vain.
const STANDSTILL: Duration = Duration::from_secs(1);
/// Peers that one line names.
const MOST_NAMED: usize = 5;

/// Waiting for accept queues to be empty.
#[derive(Debug)]
pub(crate) struct QueueWatch {
    pub(crate) generation: Generation,
    pub(crate) next: Timestamp,
    /// Handshakes that were under way at the switch.
    handshakes: Vec<Identity>,
    /// Without overlap nothing has settled before the drain: it begins with the queues.
    drains: bool,
    /// Until then it still gets new connections: it could not have them back if it were to take over again.
    hide_at: Option<Timestamp>,
}

/// Waiting until no connection is owed an answer.
#[derive(Debug)]
pub(crate) struct OwedWatch {
    pub(crate) generation: Generation,
    pub(crate) next: Timestamp,
    connections: Vec<Identity>,
    ledger: Ledger,
    /// Who is at the other end of each connection.
    peers: HashMap<u64, SocketAddr>,
    /// The fewest that were neither finished nor parked at any look, and since when there have not been fewer.
    fewest: (usize, Timestamp),
}

impl OwedWatch {
    /// The connections as they were last seen.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Some of the peers of these connections, for people.
    fn names(&self, cookies: impl Iterator<Item = u64>) -> String {
        let mut names: Vec<String> =
            cookies.map(|cookie| self.peers.get(&cookie).map_or("?".to_owned(), ToString::to_string)).collect();
        let all = names.len();
        names.truncate(MOST_NAMED);
        let more = if all > MOST_NAMED { format!(" and {} more", all - MOST_NAMED) } else { String::new() };
        format!("{}{more}", names.join(", "))
    }
}

impl Supervisor {
    /// Where a generation has its connections.
    pub(crate) fn places(&self, generation: Generation) -> Vec<Place> {
        let endpoints = self.groups.endpoints(generation);
        let mut places: Vec<Place> = endpoints.iter().map(|endpoint| Place::of(endpoint.address)).collect();
        if self.unseen_wanted.generation == generation {
            places.extend(self.unseen_wanted.endpoints.iter().map(|endpoint| Place::of(endpoint.address)));
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    pub(crate) fn watch_queues(&mut self, generation: Generation, drains: bool) {
        let (now, serving) = (clock::now(), self.switch.serving().unwrap_or_default());
        let visible = self.groups.still_visible(serving, generation);
        let hide_at = visible.first().filter(|_| !drains).map(|endpoint| {
            self.note(format!(
                "without CAP_NET_RAW new connections to {endpoint} go to generation {generation} until it has settled"
            ));
            now + self.options.settle
        });
        let handshakes = self.handshakes(generation);
        self.queue_watches.push(QueueWatch { generation, next: hide_at.unwrap_or(now), handshakes, drains, hide_at });
    }

    fn handshakes(&self, generation: Generation) -> Vec<Identity> {
        let handshakes = diag::tcp_sockets(&self.places(generation), &[state::SYN_RECV]).unwrap_or_default();
        handshakes.iter().map(|socket| socket.identity).collect()
    }

    /// Takes the last new connections from a generation that has settled.
    fn hide(&mut self, watch: &mut QueueWatch) {
        let settles = |status: adieu_core::switch::Status| {
            status.generation == watch.generation && status.phase == Phase::Settling
        };
        if watch.hide_at.take().is_none() || !self.switch.statuses().any(settles) {
            return;
        }
        if let Some(serving) = self.switch.serving()
            && let Err(error) = self.groups.hide_covered(serving)
        {
            self.note(format!("generation {}: its listeners cannot be hidden: {error}", watch.generation));
        }
        watch.handshakes = self.handshakes(watch.generation);
    }

    pub(crate) fn advance_queue_watches(&mut self) {
        let now = clock::now();
        for mut watch in std::mem::take(&mut self.queue_watches) {
            if now < watch.next {
                self.queue_watches.push(watch);
                continue;
            }
            self.hide(&mut watch);
            let mut open = diag::look_up(watch.handshakes.drain(..)).unwrap_or_default();
            open.retain(|socket| socket.state == state::SYN_RECV);
            watch.handshakes.extend(open.iter().map(|socket| socket.identity));
            // In this order: a handshake that has just ended is in the queue by now.
            if watch.handshakes.is_empty()
                && self.groups.waiting(watch.generation) == 0
                && !self.paths.is_waited_for(watch.generation)
            {
                if watch.drains {
                    self.list_owed(watch.generation);
                } else {
                    self.tell(Event::QueuesEmpty(watch.generation));
                }
            } else if self.running.contains_key(&watch.generation) {
                watch.next = now + QUEUE_EVERY;
                self.queue_watches.push(watch);
            }
        }
    }

    pub(crate) fn watch_owed(&mut self, generation: Generation) {
        if self.options.overlap {
            self.list_owed(generation);
        } else {
            self.watch_queues(generation, true);
        }
    }

    /// The connections of a generation are those whose sockets its processes hold: its queues are empty by now, so what nobody
    /// holds waits in another generation's queue.
    fn list_owed(&mut self, generation: Generation) {
        let places = self.places(generation);
        if places.is_empty() {
            self.tell(Event::Drained(generation));
            return;
        }
        let mut sockets = diag::tcp_sockets(&places, &OWED_STATES).unwrap_or_default();
        if !self.is_still_there(generation) {
            // What it has lost already is missing here. Its end will be heard of.
            return;
        }
        if let Some(own) = self.own_inodes(generation) {
            sockets.retain(|socket| own.contains(&socket.inode));
        }
        let mut ledger = self.new_ledger();
        ledger.restrict(sockets.iter().map(|socket| socket.cookie));
        self.open_lot(generation, &sockets);
        let peers = sockets.iter().map(|socket| (socket.cookie, socket.remote)).collect();
        let connections = sockets.iter().map(|socket| socket.identity).collect();
        let (next, fewest) = (clock::now(), (usize::MAX, clock::now()));
        self.owed_watches.push(OwedWatch { generation, next, connections, ledger, peers, fewest });
    }

    pub(crate) fn advance_owed_watches(&mut self) {
        for mut watch in std::mem::take(&mut self.owed_watches) {
            let began = clock::now();
            if began < watch.next {
                self.owed_watches.push(watch);
                continue;
            }
            let sockets = diag::look_up(watch.connections.iter().copied()).unwrap_or_default();
            if !self.is_still_there(watch.generation) {
                // What it has lost already is missing here. Its end will be heard of.
                watch.next = clock::now() + SAMPLE_PAUSE;
                self.owed_watches.extend(self.is_leaving(watch.generation).then_some(watch));
                continue;
            }
            let mut samples: Vec<Sample> = sockets.iter().map(diag::Socket::sample).collect();
            if let Some(lot) = self.lots.iter_mut().find(|lot| lot.generation == watch.generation) {
                let worked_on = lot.worked_on();
                samples.iter_mut().for_each(|sample| sample.worked_on = worked_on.contains(&sample.cookie));
            }
            watch.ledger.handle_samples(began, &samples);
            if watch.ledger.is_drained() || self.is_parked(&watch) {
                self.tell_expired(&watch);
                self.tell(Event::Drained(watch.generation));
            } else if self.leaves_the_rest(&mut watch) {
                let (generation, rest) = (watch.generation, watch.fewest.0);
                self.note(format!(
                    "generation {generation}: ends the {rest} connections that are left itself, as it says"
                ));
                self.tell_expired(&watch);
                self.tell(Event::Drained(generation));
            } else if self.is_leaving(watch.generation) {
                let now = clock::now();
                let pause = SAMPLE_PAUSE.max((now - began) * 3);
                watch.next = watch.ledger.poll_timeout().unwrap_or(now).max(now + pause);
                self.owed_watches.push(watch);
            }
        }
    }

    /// Its drain is over, one way or the other: names what is cut off, and what was given up before.
    pub(crate) fn end_owed_watch(&mut self, generation: Generation) {
        let Some(at) = self.owed_watches.iter().position(|watch| watch.generation == generation) else { return };
        let watch = self.owed_watches.swap_remove(at);
        let Counts { owed, unknown, .. } = watch.ledger.counts();
        if owed + unknown > 0 {
            let names = watch.names(watch.ledger.unsettled());
            self.note(format!(
                "generation {generation}: stopped while {owed} connections are owed an answer and {unknown} may be: {names}"
            ));
        }
        self.tell_expired(&watch);
    }

    fn tell_expired(&mut self, watch: &OwedWatch) {
        let expired = watch.ledger.counts().expired;
        if expired > 0 {
            let (names, quiet) = (watch.names(watch.ledger.expired()), duration::format(self.options.drain_quiet));
            let generation = watch.generation;
            self.note(format!(
                "generation {generation}: gave up {expired} connections that are owed an answer, as nothing has moved on them for {quiet}: {names}"
            ));
        }
    }

    /// Whether every connection that may be owed an answer is parked between two requests.
    fn is_parked(&self, watch: &OwedWatch) -> bool {
        let lot = self.lots.iter().find(|lot| lot.generation == watch.generation);
        lot.is_some_and(|lot| !lot.carries() && watch.ledger.unsettled().all(|cookie| lot.is_settled(cookie)))
    }

    /// Whether what is left is the program's to end: it says that it does, and nothing more comes of waiting.
    fn leaves_the_rest(&self, watch: &mut OwedWatch) -> bool {
        let lot = self.lots.iter().find(|lot| lot.generation == watch.generation);
        let parked = |cookie: u64| lot.is_some_and(|lot| lot.is_settled(cookie));
        let (left, now) = (watch.ledger.unsettled().filter(|cookie| !parked(*cookie)).count(), clock::now());
        if left < watch.fewest.0 {
            watch.fewest = (left, now);
        }
        let says = self.running.get(&watch.generation).is_some_and(|running| running.drains_itself);
        says && !lot.is_some_and(|lot| lot.carries()) && now.since(watch.fewest.1) >= STANDSTILL
    }

    /// An empty ledger that judges as this run was told.
    pub(crate) fn new_ledger(&self) -> Ledger {
        Ledger::new(adieu_core::owed::Config { drain_quiet: self.options.drain_quiet, ..Default::default() })
    }

    /// Shows the ledger the connections that processes of `generation` hold now, and no others.
    pub(crate) fn sample_own(&self, generation: Generation, ledger: &mut Ledger) {
        let places = self.places(generation);
        if places.is_empty() {
            return;
        }
        let mut sockets = diag::tcp_sockets(&places, &OPEN).unwrap_or_default();
        let Some(own) = self.own_inodes(generation) else { return };
        sockets.retain(|socket| own.contains(&socket.inode));
        let own: Vec<Sample> = sockets.iter().map(diag::Socket::sample).collect();
        ledger.restrict(own.iter().map(|sample| sample.cookie));
        ledger.handle_samples(clock::now(), &own);
    }
}

/// The states of connections that a program has accepted and not closed.
pub(crate) const OPEN: [u8; 2] = [state::ESTABLISHED, state::CLOSE_WAIT];
const OWED_STATES: [u8; 3] = [state::ESTABLISHED, state::CLOSE_WAIT, state::SYN_RECV];
