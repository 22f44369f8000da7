//! Which peers behave like probes: short connections from one source, of one size, at regular times.
//!
//! **Invariant.** A source is taken for a probe only by what it has done: all of its last short connections of the same size, and
//! three at least, came one period after the one before them (or after the one two or three before them, where several probes
//! come from one node: then four or five at least), and the period is a second or more. One connection off the beat, and it is
//! traffic again, from that connection on.
//!
//! The size is part of the source because behind address translation clients come from the same node as its probes.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::Timestamp;

/// Where connections come from, as far as they are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Source {
    pub(super) peer: IpAddr,
    /// Bytes received on each connection.
    pub(super) size: u64,
}

/// So often the period must have come round.
const CYCLES: usize = 2;
/// So many probes of one source and size are told apart.
const INTERLEAVED: usize = 3;
/// Arrivals that are kept.
const KEPT: usize = (CYCLES + 1) * INTERLEAVED;
/// No probe comes more often: a second is the shortest period of Kubernetes.
const SHORTEST_PERIOD: Duration = Duration::from_millis(900);
/// Sources that are kept; those that have been silent for longest are forgotten first.
const SOURCES: usize = 4096;
/// A connection this old is no probe any more.
pub(super) const SHORT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default)]
struct Arrivals {
    /// The last ones, in order.
    times: VecDeque<Timestamp>,
    /// The beat was found at the last arrival.
    period: Option<Duration>,
    /// How many fell on the beat.
    on_beat: usize,
}

/// What is known of all sources of short connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    known: BTreeMap<Source, Arrivals>,
    /// The last arrival of a source that is forgotten and was no probe.
    forgotten: Option<(Timestamp, Source)>,
}

/// What an arrival has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The source is a probe from now on, of this period.
    Found(Duration),
    /// It is none any more.
    Lost,
}

impl Sources {
    /// A short connection from this source was opened at `at` and is over.
    ///
    /// Sizes that differ by one are one: the kernel counts a FIN as a byte, and has or has not seen it when it tells.
    pub(super) fn arrive(&mut self, source: Source, at: Timestamp) -> Option<Change> {
        let like = [source.size.saturating_sub(1), source.size.saturating_add(1)].map(|size| Source { size, ..source });
        let known = |source: &Source| self.known.contains_key(source);
        let source = if known(&source) { source } else { like.into_iter().find(known).unwrap_or(source) };
        let arrivals = self.known.entry(source).or_default();
        let was = arrivals.period.is_some();
        // They are told when they end, which need not be in the order in which they began.
        let behind = arrivals.times.iter().rev().take_while(|time| **time > at).count();
        arrivals.times.insert(arrivals.times.len() - behind, at);
        if arrivals.times.len() > KEPT {
            arrivals.times.pop_front();
        }
        arrivals.period = beat(arrivals.times.make_contiguous());
        arrivals.on_beat = if arrivals.period.is_some() { arrivals.on_beat + 1 } else { 0 };
        let now = arrivals.period;
        self.forget_some();
        match (was, now) {
            (false, Some(period)) => Some(Change::Found(period)),
            (true, None) => Some(Change::Lost),
            (true, Some(_)) | (false, None) => None,
        }
    }

    /// The last arrival of all that are no probes.
    pub(super) fn last_traffic(&self) -> Option<(Timestamp, Source)> {
        let last = |(source, arrivals): (&Source, &Arrivals)| Some((*arrivals.times.back()?, *source));
        let traffic = self.known.iter().filter(|(_, arrivals)| arrivals.period.is_none()).filter_map(last);
        traffic.chain(self.forgotten).max()
    }

    /// Whether a connection that began at `at` and is still open may be the next one of a probe of this peer.
    pub(super) fn expects(&self, peer: IpAddr, at: Timestamp) -> bool {
        let first = Source { peer, size: 0 };
        let of_peer = self.known.range(first..).take_while(|(source, _)| source.peer == peer);
        of_peer.filter(|(_, arrivals)| arrivals.period.is_some()).any(|(_, arrivals)| {
            let mut times: Vec<Timestamp> = arrivals.times.iter().copied().filter(|time| *time < at).collect();
            times.push(at);
            beat(&times).is_some()
        })
    }

    /// All probes: source, period, and how many connections they have made since they were found.
    pub(super) fn probes(&self) -> impl Iterator<Item = (Source, Duration, usize)> {
        self.known.iter().filter_map(|(source, arrivals)| Some((*source, arrivals.period?, arrivals.on_beat)))
    }

    fn forget_some(&mut self) {
        if self.known.len() <= SOURCES {
            return;
        }
        let mut by_age: Vec<(Timestamp, Source)> =
            self.known.iter().filter_map(|(source, arrivals)| Some((*arrivals.times.back()?, *source))).collect();
        by_age.sort_unstable();
        for (at, source) in by_age.into_iter().take(SOURCES / 2) {
            let gone = self.known.remove(&source);
            if gone.is_some_and(|arrivals| arrivals.period.is_none()) {
                self.forgotten = self.forgotten.max(Some((at, source)));
            }
        }
    }
}

/// The period of times that are all regular, of up to [`INTERLEAVED`] beats in one another.
fn beat(times: &[Timestamp]) -> Option<Duration> {
    let regular = |interleaved: usize| {
        let periods = || times.iter().zip(times.iter().skip(interleaved)).map(|(early, late)| late.since(*early));
        let (shortest, longest) = (periods().min()?, periods().max()?);
        // A prober on a busy node is late now and then.
        let slack = Duration::from_millis(100).max(longest / 20);
        (periods().count() >= CYCLES && longest - shortest <= slack).then(|| (shortest + longest) / 2)
    };
    let found = (1..=INTERLEAVED).find_map(regular);
    // Looked at as several, any regular client would be slow enough.
    found.filter(|period| *period >= SHORTEST_PERIOD)
}
