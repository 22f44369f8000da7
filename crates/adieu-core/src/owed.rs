//! Which established connections of an old generation are still owed an answer, judged from outside by what the kernel
//! counts.
//!
//! **Invariant.** [`Ledger::is_drained`] holds only after a sample in which no connection of the set was owed an answer and
//! none might have been: each was quiet, expired or gone at the same time.
//!
//! | a connection | counts as |
//! |---|---|
//! | not in the sample; closed by the program, all acknowledged | gone |
//! | in its handshake, or not accepted yet | owed |
//! | unread bytes, or unsent or unacknowledged ones | owed |
//! | known to be worked on by a thread of its own | owed |
//! | received later than it sent, or received and never sent | owed |
//! | nothing received, younger than `first_request` | owed |
//! | nothing received, older; received and sent at the same time | unknown, quiet after `unknown_quiet` |
//! | sent later than it received | unknown, quiet after `quiet` |
//!
//! Quiet means that its counters, bytes and segments, both ways, have not changed for that time. What is owed and has been
//! watched for `drain_quiet` without any change is expired: nobody seems to be working on it.
//!
//! **This is a heuristic.** For plain HTTP/1, one request and its answer at a time, it loses nothing, unless an answer takes
//! longer than `drain_quiet` to begin. It can't see what is said inside a connection:
//! - an answer that pauses for longer than `quiet` (server-sent events, long computations between two chunks) looks ended,
//!   and so do pipelined requests between two answers, unless the program has a thread for each connection;
//! - a request that comes within the same clock tick as the answer before it looks answered after `unknown_quiet`, if no
//!   sample fell between the two (the kernel's resolution is a jiffy, 1 to 10 ms);
//! - HTTP/2, WebSocket and TLS send frames that are no answers;
//! - a client that never pauses keeps its connection from ever being quiet: the drain time-out ends that.
//!
//! Programs with such connections drain by themselves when they get the stop signal.

mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::sample::{Sample, State};
use crate::Timestamp;

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Without change for this long, an answered connection is quiet.
    pub quiet: Duration,
    /// The same for one of which it is unknown whether it was answered.
    pub unknown_quiet: Duration,
    /// A connection this young is taken to be about to send its first request.
    pub first_request: Duration,
    /// Watched for this long without change, what is owed expires.
    pub drain_quiet: Duration,
    /// From one sample to the next.
    pub interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(50),
            unknown_quiet: Duration::from_millis(200),
            first_request: Duration::from_secs(1),
            drain_quiet: Duration::from_secs(2),
            interval: Duration::from_millis(20),
        }
    }
}

/// How the connections of the set stood at the last sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// An answer is owed.
    pub owed: usize,
    /// An answer may be owed.
    pub unknown: usize,
    /// Nothing is owed.
    pub quiet: usize,
    /// Something is owed, but for too long.
    pub expired: usize,
    /// Closed, or at least by the program, with everything delivered.
    pub gone: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Owed,
    Unknown,
    Quiet,
    Expired,
    Gone,
}

/// What the samples so far have shown of one connection.
#[derive(Debug, Clone, Copy)]
struct Record {
    sample: Sample,
    /// Since when its counters have been the same, as the kernel tells or as we have seen.
    still_since: Timestamp,
    /// Since when we have seen them the same.
    watched_since: Timestamp,
    /// Which way bytes went when they last did between two samples.
    last_way: Option<Way>,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
    Both,
}

/// Judges the connections of one set, sample by sample.
#[derive(Debug, Clone)]
pub struct Ledger {
    config: Config,
    records: BTreeMap<u64, Record>,
    /// Cookies of the set; `None` while there is no restriction.
    only: Option<Vec<u64>>,
    sampled_at: Option<Timestamp>,
    counts: Counts,
}

impl Ledger {
    /// A ledger for all connections that it will be shown.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, records: BTreeMap::new(), only: None, sampled_at: None, counts: Counts::default() }
    }

    /// From now on only connections with these cookies count: those that the old generation had at the switch. Those among
    /// them that a sample does not show are gone. The empty set is drained.
    pub fn restrict(&mut self, cookies: impl IntoIterator<Item = u64>) {
        let mut only: Vec<u64> = cookies.into_iter().collect();
        only.sort_unstable();
        only.dedup();
        self.records.retain(|cookie, _| only.binary_search(cookie).is_ok());
        self.only = Some(only);
        self.count();
    }

    /// Takes a sample of all connections there are. Those of other sets are passed over.
    pub fn handle_samples(&mut self, now: Timestamp, samples: &[Sample]) {
        for record in self.records.values_mut() {
            record.standing = Standing::Gone;
        }
        for sample in samples {
            if self.only.as_ref().is_some_and(|only| only.binary_search(&sample.cookie).is_err()) {
                continue;
            }
            let record = match self.records.get(&sample.cookie) {
                Some(record) => record.next(now, *sample),
                None => Record::first(now, *sample),
            };
            self.records.insert(sample.cookie, record.judged(now, &self.config));
        }
        self.sampled_at = Some(now);
        self.count();
    }

    /// When to take the next sample; `None` once drained. [`Timestamp::ZERO`], which is at once, before the first.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.is_drained() {
            return None;
        }
        Some(self.sampled_at.map_or(Timestamp::ZERO, |at| at + self.config.interval))
    }

    /// How the connections of the set stood at the last sample; all zero before the first.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether at the last sample no connection of the set was owed an answer and none might have been.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let nothing_to_wait_for = self.only.as_ref().is_some_and(Vec::is_empty);
        nothing_to_wait_for || (self.sampled_at.is_some() && self.counts.owed == 0 && self.counts.unknown == 0)
    }

    /// The connections that are owed an answer, or may be, at the last sample.
    pub fn unsettled(&self) -> impl Iterator<Item = u64> + '_ {
        self.standing([Standing::Owed, Standing::Unknown])
    }

    /// The connections that are owed an answer, but on which nothing has moved for too long.
    pub fn expired(&self) -> impl Iterator<Item = u64> + '_ {
        self.standing([Standing::Expired; 2])
    }

    fn standing(&self, wanted: [Standing; 2]) -> impl Iterator<Item = u64> + '_ {
        self.records.iter().filter(move |(_, record)| wanted.contains(&record.standing)).map(|(cookie, _)| *cookie)
    }

    fn count(&mut self) {
        let mut counts = Counts::default();
        if self.sampled_at.is_some() {
            for record in self.records.values() {
                *match record.standing {
                    Standing::Owed => &mut counts.owed,
                    Standing::Unknown => &mut counts.unknown,
                    Standing::Quiet => &mut counts.quiet,
                    Standing::Expired => &mut counts.expired,
                    Standing::Gone => &mut counts.gone,
                } += 1;
            }
            // Of the set, but gone before the first sample.
            counts.gone += self.only.as_ref().map_or(0, |only| only.len().saturating_sub(self.records.len()));
        }
        self.counts = counts;
    }
}

impl Record {
    /// The times in a sample are whole clock ticks, of 10 ms at most: so much less is believed of the past.
    const TICK: Duration = Duration::from_millis(10);

    fn first(now: Timestamp, sample: Sample) -> Self {
        let ago = Duration::from_millis(u64::from(sample.last_data_sent_ms.min(sample.last_data_recv_ms)));
        let still_since = Timestamp::from_origin(now.since_origin().saturating_sub(ago.saturating_sub(Self::TICK)));
        Self { sample, still_since, watched_since: now, last_way: None, standing: Standing::Unknown }
    }

    fn next(self, now: Timestamp, sample: Sample) -> Self {
        let before = self.sample;
        let received = sample.bytes_received != before.bytes_received;
        // Not `bytes_acked`: the next request acknowledges the answer before it.
        let sent = sample.bytes_sent != before.bytes_sent;
        let way = match (received, sent) {
            (true, true) => Some(Way::Both),
            (true, false) => Some(Way::In),
            (false, true) => Some(Way::Out),
            (false, false) => self.last_way,
        };
        if sample.has_same_counters(&before) {
            Self { sample, ..self }
        } else {
            Self { sample, still_since: now, watched_since: now, last_way: way, ..self }
        }
    }

    fn judged(self, now: Timestamp, config: &Config) -> Self {
        Self { standing: self.standing_at(now, config), ..self }
    }

    fn standing_at(&self, now: Timestamp, config: &Config) -> Standing {
        let quiet_after = |time| if now.since(self.still_since) >= time { Standing::Quiet } else { Standing::Unknown };
        match self.debt(config) {
            Debt::Over => Standing::Gone,
            Debt::Open if now.since(self.watched_since) >= config.drain_quiet => Standing::Expired,
            Debt::Open => Standing::Owed,
            Debt::Unclear => quiet_after(config.unknown_quiet),
            Debt::Paid => quiet_after(config.quiet),
        }
    }

    fn debt(&self, config: &Config) -> Debt {
        let sample = &self.sample;
        let in_transit = sample.unread > 0 || sample.unsent_or_unacked > 0;
        match sample.state {
            State::ClosedByProgram if sample.unsent_or_unacked > 0 => Debt::Open,
            State::ClosedByProgram | State::NoConnection => Debt::Over,
            State::Handshake => Debt::Open,
            State::Open if in_transit || !sample.has_owner || sample.worked_on => Debt::Open,
            State::Open if sample.bytes_received == 0 => {
                // The kernel counts the time without data from the end of the handshake.
                let age = Duration::from_millis(u64::from(sample.last_data_recv_ms));
                if age < config.first_request { Debt::Open } else { Debt::Unclear }
            }
            // Both times begin with the handshake, so a fast first request would be a tie.
            State::Open if sample.bytes_sent == 0 && sample.bytes_acked == 0 => Debt::Open,
            State::Open => self.by_order(),
        }
    }

    /// By whether the program or its client spoke last. What two samples saw happen one after the other decides a tie.
    fn by_order(&self) -> Debt {
        let (sent_ago, received_ago) = (self.sample.last_data_sent_ms, self.sample.last_data_recv_ms);
        match (sent_ago.cmp(&received_ago), self.last_way) {
            (std::cmp::Ordering::Greater, _) | (std::cmp::Ordering::Equal, Some(Way::In)) => Debt::Open,
            (std::cmp::Ordering::Less, _) | (std::cmp::Ordering::Equal, Some(Way::Out)) => Debt::Paid,
            (std::cmp::Ordering::Equal, Some(Way::Both) | None) => Debt::Unclear,
        }
    }
}

/// What one connection is owed, time aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Debt {
    Open,
    Unclear,
    Paid,
    Over,
}
