//! Waiting until the traffic of a server has really gone, before the server is asked to end (lame duck).
//!
//! **Invariant.** [`Verdict::Gone`] is given only after a look that shows all connections there are, when
//! - nobody but the ignored has opened a connection or sent a byte for `quiet_for`,
//! - no answer is owed to anybody but the ignored, and
//! - at least `min` has passed;
//!
//! and a verdict is given when `budget` has passed, whatever the looks show.
//!
//! | what a look shows of a peer that is not ignored | |
//! |---|---|
//! | a connection, open or closed since the last look | traffic, when it received its last byte (or began) |
//! | a handshake | traffic, when it was first seen |
//! | short connections of one source and size, regular | a probe: no traffic (see `probes`) |
//! | a connection like that, still open, on the beat of a known probe | no traffic yet |
//! | connections that came and went unseen, from nobody knows whom | traffic, now |
//! | something was received, on a connection whose bytes the kernel does not count for us | traffic, now |
//! | an answer is owed (see [`crate::owed`]), asked for within `answer_within` | waited for |
//! | an answer is owed for longer | left to the program's own drain |
//!
//! **Limits.** A client that asks once in a second or more, on a new connection each time and as regular as clockwork, is taken
//! for a probe. A client that asks less often than `quiet_for` is not waited for. What counts as owed is a heuristic.

mod network;
mod observation;
mod probes;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

pub use self::network::{Network, ParseNetworkError};
pub use self::observation::{Observation, Summary, Verdict};
use self::probes::{Change, SHORT, Source, Sources};
use self::telling::Told;
use crate::Timestamp;
use crate::owed::{self, Ledger, Sample, State};

/// What to wait for, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// So long nobody may have sent anything.
    pub quiet_for: Duration,
    /// The shortest wait: endpoints are removed beside us.
    pub min: Duration,
    /// The longest wait.
    pub budget: Duration,
    /// A request that waits longer than this for its answer is not waited for.
    pub answer_within: Duration,
    /// From one look to the next.
    pub interval: Duration,
    /// Whose connections are nobody's.
    pub ignore: Vec<Network>,
}

/// One connection of the server at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Whose it is.
    pub peer: IpAddr,
    /// What the kernel shows of it.
    pub sample: Sample,
    /// Whether the kernel counts its bytes for us; if not, the sample's counters and times mean nothing.
    pub counted: bool,
}

/// What a look has shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Connections that are open, in their handshake or being closed.
    pub open: Vec<Connection>,
    /// Whether these are all there are; else only those that were known before.
    pub complete: bool,
    /// Those that have ended since the last look; they may be in `open` too, or never have been.
    pub closed: Vec<Connection>,
    /// Something has come and gone, and it is not known from whom.
    pub unseen: bool,
    /// Something was received since the last look, by somebody.
    pub received: bool,
}

/// What happens to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A look was taken.
    Looked(Look),
    /// A look could not be taken: whatever may be going on, nobody sees it.
    Blind,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Take a look, a complete one if asked for.
    Look {
        /// Known connections are not enough: this look may be the last one.
        complete: bool,
    },
    /// Tell people.
    Tell(Observation),
    /// Return. Nothing comes after this.
    Return(Box<Summary>),
}

/// An open connection of somebody who is not ignored.
#[derive(Debug, Clone, Copy)]
struct Open {
    peer: IpAddr,
    first_seen: Timestamp,
    /// When it received its last byte, or began.
    heard: Timestamp,
    /// Bytes received.
    received: u64,
    counted: bool,
    /// The last look did not show it, and its end was not told yet.
    missing: bool,
}

/// Waits for the end of the traffic. See the module.
#[derive(Debug, Clone)]
pub struct Prestop {
    config: Config,
    began: Timestamp,
    /// When the next look is due.
    look_at: Timestamp,
    /// A look was asked for and has not come.
    looking: bool,
    open: BTreeMap<u64, Open>,
    sources: Sources,
    /// Who sent last, of those whose connection is over and was none of a probe's, or who is not known.
    last_other: Option<(Timestamp, Option<IpAddr>)>,
    ledger: Ledger,
    owed: usize,
    given_up: usize,
    told: Told,
    totals: Totals,
    actions: VecDeque<Action>,
    over: bool,
}

/// Counted since the beginning, the ignored aside.
#[derive(Debug, Clone, Default)]
struct Totals {
    connections: usize,
    received: u64,
    /// Of the first look.
    ignored: usize,
    peers: BTreeSet<IpAddr>,
}

/// So many different peers are counted; more are "at least".
const PEERS: usize = 100_000;
/// The kernel's times are whole clock ticks, of 10 ms at most.
const TICK: Duration = Duration::from_millis(10);

impl Prestop {
    /// Begins to wait.
    #[must_use]
    pub fn new(now: Timestamp, config: Config) -> Self {
        // What is owed expires here and not there: by when it was asked for, not by how long we have watched.
        let ledger = Ledger::new(owed::Config { drain_quiet: Duration::MAX, ..owed::Config::default() });
        Self {
            began: now,
            look_at: now,
            looking: false,
            open: BTreeMap::new(),
            sources: Sources::default(),
            last_other: None,
            ledger,
            owed: 0,
            given_up: 0,
            told: Told::Nothing,
            totals: Totals::default(),
            actions: VecDeque::new(),
            over: false,
            config,
        }
    }

    /// Takes what has happened.
    pub fn handle(&mut self, now: Timestamp, event: Event) {
        if self.over {
            return;
        }
        self.looking = false;
        match event {
            Event::Looked(look) => {
                let complete = look.complete;
                self.take(now, look);
                self.tell(now);
                if complete && self.may_return(now) {
                    return self.finish(now, Verdict::Gone);
                }
            }
            Event::Blind => self.last_other = Some((now, None)),
        }
        // The one that may end the wait comes when it may.
        let possible = self.possible_at(now);
        let next = now + self.config.interval;
        self.look_at = if possible > now { next.min(possible) } else { next };
        if now >= self.deadline() {
            self.finish(now, Verdict::BudgetSpent);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.over {
            return;
        }
        if now >= self.deadline() {
            self.finish(now, Verdict::BudgetSpent);
        } else if now >= self.look_at && !self.looking {
            self.looking = true;
            let complete = !self.has_looked() || now >= self.possible_at(now);
            self.actions.push_back(Action::Look { complete });
        }
    }

    /// When [`Self::handle_timeout`] is due; `None` when it is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let next = if self.looking { self.deadline() } else { self.look_at.min(self.deadline()) };
        (!self.over).then_some(next)
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Timestamp {
        self.began + self.config.budget
    }

    fn has_looked(&self) -> bool {
        self.told != Told::Nothing
    }

    fn is_ignored(&self, peer: IpAddr) -> bool {
        self.config.ignore.iter().any(|network| network.contains(peer))
    }

    /// Before this the traffic cannot have gone.
    fn possible_at(&self, now: Timestamp) -> Timestamp {
        // What was closed before we came is not known: quiet counts from then on.
        let last = self.last_traffic(now).map_or(self.began, |(at, _)| at.max(self.began));
        (last + self.config.quiet_for).max(self.began + self.config.min)
    }

    fn may_return(&self, now: Timestamp) -> bool {
        now >= self.possible_at(now) && self.owed == 0
    }

    /// When somebody who counts was last heard, and who it was if that is known.
    fn last_traffic(&self, now: Timestamp) -> Option<(Timestamp, Option<IpAddr>)> {
        let open = self.open.values().filter(|open| !self.is_a_probe_at_work(now, open));
        let open = open.map(|open| (open.heard, Some(open.peer)));
        let closed = self.sources.last_traffic().map(|(at, source)| (at, Some(source.peer)));
        open.chain(closed).chain(self.last_other).max()
    }

    fn is_a_probe_at_work(&self, now: Timestamp, open: &Open) -> bool {
        open.counted && now.since(open.first_seen) < SHORT && self.sources.expects(open.peer, open.heard)
    }

    fn take(&mut self, now: Timestamp, look: Look) {
        let mut samples = Vec::with_capacity(look.open.len());
        let mut before = std::mem::take(&mut self.open);
        for connection in &look.open {
            if connection.sample.state == State::NoConnection {
                continue;
            }
            let known = before.remove(&connection.sample.cookie);
            if self.is_ignored(connection.peer) {
                self.totals.ignored += usize::from(!self.has_looked());
                continue;
            }
            samples.push(connection.sample);
            let open = self.seen(now, connection, known, look.received);
            self.open.insert(connection.sample.cookie, open);
        }
        for connection in &look.closed {
            let cookie = connection.sample.cookie;
            // Listed after it had ended, or before.
            let known = self.open.remove(&cookie).or_else(|| before.remove(&cookie));
            samples.retain(|sample| sample.cookie != cookie);
            self.ended(now, connection, known);
        }
        for (cookie, gone) in before {
            if gone.missing {
                // Nobody will tell how it ended. Somebody sent, and then left.
                self.last_other = self.last_other.max(Some((gone.heard, Some(gone.peer))));
            } else {
                self.open.insert(cookie, Open { missing: true, ..gone });
            }
        }
        if look.unseen {
            self.last_other = self.last_other.max(Some((now, None)));
        }
        self.ledger.handle_samples(now, &samples);
        self.count_owed(now);
    }

    /// An open connection, as it is from now on.
    fn seen(&mut self, now: Timestamp, connection: &Connection, known: Option<Open>, received: bool) -> Open {
        let sample = &connection.sample;
        let handshake = sample.state == State::Handshake;
        let heard = match known {
            Some(known) if handshake || (!connection.counted && !received) => known.heard,
            None if handshake => now,
            _ if !connection.counted => now,
            _ => heard_at(now, sample),
        };
        // What came before we did is no news.
        let at_first = if self.has_looked() { 0 } else { sample.bytes_received };
        let before = known.map_or(at_first, |known| known.received);
        self.totals.received += sample.bytes_received.saturating_sub(before);
        if known.is_none() {
            self.count_peer(connection.peer);
        }
        Open {
            peer: connection.peer,
            first_seen: known.map_or(now, |known| known.first_seen),
            heard,
            received: sample.bytes_received.max(before),
            counted: connection.counted,
            missing: false,
        }
    }

    fn count_peer(&mut self, peer: IpAddr) {
        self.totals.connections += 1;
        if self.totals.peers.len() < PEERS {
            self.totals.peers.insert(peer);
        }
    }

    /// A connection is over.
    fn ended(&mut self, now: Timestamp, connection: &Connection, known: Option<Open>) {
        if self.is_ignored(connection.peer) {
            return;
        }
        let sample = &connection.sample;
        self.totals.received += sample.bytes_received.saturating_sub(known.map_or(0, |known| known.received));
        if known.is_none() {
            self.count_peer(connection.peer);
        }
        let heard = heard_at(now, sample);
        if known.is_some_and(|known| now.since(known.first_seen) >= SHORT) {
            self.last_other = self.last_other.max(Some((heard, Some(connection.peer))));
            return;
        }
        let source = Source { peer: connection.peer, size: sample.bytes_received };
        let told = match self.sources.arrive(source, heard) {
            Some(Change::Found(period)) => Observation::Probe {
                at: self.at(now),
                peer: source.peer,
                size: source.size,
                period: period.as_secs_f64(),
            },
            Some(Change::Lost) => Observation::NoProbe { at: self.at(now), peer: source.peer, size: source.size },
            None => return,
        };
        self.actions.push_back(Action::Tell(told));
    }

    /// What is owed to people who may still get it.
    fn count_owed(&mut self, now: Timestamp) {
        let (mut owed, mut given_up) = (0, 0);
        for cookie in self.ledger.unsettled() {
            let Some(open) = self.open.get(&cookie) else { continue };
            if self.is_a_probe_at_work(now, open) {
                continue;
            }
            let waits = now.since(open.heard) < self.config.answer_within;
            *if waits { &mut owed } else { &mut given_up } += 1;
        }
        (self.owed, self.given_up) = (owed, given_up);
    }
}

/// When a connection received its last byte, or began if it has received none; rather too late than too early.
fn heard_at(now: Timestamp, sample: &Sample) -> Timestamp {
    let ago = Duration::from_millis(u64::from(sample.last_data_recv_ms)).saturating_sub(TICK);
    Timestamp::from_origin(now.since_origin().saturating_sub(ago))
}
