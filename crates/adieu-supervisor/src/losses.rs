//! What a generation that died unasked took with it: connections that were owed an answer, and what waited in its queues.
//!
//! The kernel closes the connections of a process before anybody hears of its end. So the connections of all generations are
//! looked at: often while more than one lives, hardly ever while one serves alone. At a death the last look is what is told.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::AsFd;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::owed::{Counts, Ledger};
use adieu_core::switch::{Generation, Phase};
use adieu_core::wire::ConnectionCounts;
use adieu_linux::{clock, diag, sockets};

use crate::drain::OPEN;
use crate::options::Sockets;
use crate::supervisor::Supervisor;

/// Looking takes at most one part in so many of the time.
const SHARE: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The same while one generation serves alone.
const SHARE_ALONE: u32 = 1000;
const ALONE: Duration = Duration::from_secs(1);

/// The connections of living generations at the last look.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    ledgers: BTreeMap<Generation, Ledger>,
    at: Timestamp,
    next: Option<Timestamp>,
}

impl Looks {
    /// When to look again.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.next
    }
}

/// What a death has cost, as far as can be told.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    owed: usize,
    unknown: usize,
    seen: Duration,
    queued: u32,
}

impl Supervisor {
    /// Looks at the connections of all that live, if it is time to.
    pub(crate) fn look_at_connections(&mut self) {
        // A newcomer that starts is not kept waiting for answers to its socket calls.
        let wanted = self.options.sockets != Sockets::Off && self.switch.starting().is_none();
        if !wanted {
            self.looks.next = None;
        } else if self.looks.next.is_none_or(|next| clock::now() >= next) {
            self.look_now();
        }
    }

    fn look_now(&mut self) {
        let living: Vec<Generation> =
            self.running.values().filter(|running| running.is_alive()).map(|running| running.generation).collect();
        let now = clock::now();
        let mut ledgers = std::mem::take(&mut self.looks.ledgers);
        ledgers.retain(|generation, _| living.contains(generation));
        for generation in &living {
            let mut ledger = ledgers.get(generation).cloned().unwrap_or_else(|| self.new_ledger());
            self.sample_own(*generation, &mut ledger);
            // What a dying one has lost already would be missing.
            if self.is_still_there(*generation) {
                ledgers.insert(*generation, ledger);
            }
        }
        let cost = clock::now() - now;
        let pause = if living.len() < 2 { ALONE.max(cost * SHARE_ALONE) } else { LOOK_EVERY.max(cost * SHARE) };
        self.looks = Looks { ledgers, at: now, next: Some(now + pause) };
    }

    /// As [`Running::is_still_there`](crate::running::Running::is_still_there).
    pub(crate) fn is_still_there(&self, generation: Generation) -> bool {
        self.running.get(&generation).is_some_and(crate::running::Running::is_still_there)
    }

    /// Connections of every generation by class as they are now, for the status.
    pub(crate) fn count_connections(&mut self) -> BTreeMap<Generation, ConnectionCounts> {
        self.look_now();
        let counts = |ledger: &Ledger| {
            let Counts { owed, unknown, quiet, expired, .. } = ledger.counts();
            ConnectionCounts { owed, unknown, quiet, expired }
        };
        self.looks.ledgers.iter().map(|(generation, ledger)| (*generation, counts(ledger))).collect()
    }

    /// What is lost with a main process that has just ended; nothing if its generation had been asked to end.
    pub(crate) fn count_losses(&self, generation: Generation) -> Losses {
        let asked =
            |status: adieu_core::switch::Status| status.generation == generation && status.phase == Phase::Ending;
        if self.switch.is_stopping() || self.switch.statuses().any(asked) {
            return Losses::default();
        }
        // What other processes of it still hold may be answered yet.
        let held = self.own_inodes(generation).unwrap_or_default();
        let queues = self.groups.of(generation).filter(|(_, socket)| !held.contains(&socket.inode));
        let queued = queues.filter_map(|(_, socket)| sockets::accept_queue(socket.fd.as_fd())).sum();
        let watch = self.owed_watches.iter().find(|watch| watch.generation == generation);
        let Some(ledger) = watch.map(|watch| watch.ledger()).or_else(|| self.looks.ledgers.get(&generation)) else {
            return Losses { queued, ..Losses::default() };
        };
        let now = if held.is_empty() {
            Vec::new()
        } else {
            diag::tcp_sockets(&self.places(generation), &OPEN).unwrap_or_default()
        };
        let alive: HashSet<u64> = now.iter().filter(|s| held.contains(&s.inode)).map(|s| s.cookie).collect();
        let mut dead = ledger.clone();
        dead.restrict(ledger.unsettled().filter(|cookie| !alive.contains(cookie)).collect::<Vec<_>>());
        let (counts, seen) = (dead.counts(), clock::now() - self.looks.at);
        Losses { owed: counts.owed, unknown: counts.unknown, seen, queued }
    }

    /// Tells what was lost, now that it is known who serves.
    pub(crate) fn tell_losses(&mut self, generation: Generation, losses: &Losses) {
        let mut parts = Vec::new();
        let Losses { owed, unknown, queued, seen } = losses;
        if owed + unknown > 0 {
            let seen = seen.as_millis();
            parts.push(format!(
                "{owed} connections were owed an answer and {unknown} may have been, lost by the program (as seen {seen} ms before)"
            ));
        }
        if *queued > 0 {
            let fate = match self.switch.serving().filter(|serving| *serving != generation) {
                _ if self.switch.is_stopping() => "are lost".to_owned(),
                None => "wait for the next generation".to_owned(),
                Some(serving) if sockets::may_migrate() => format!("go to generation {serving}"),
                Some(_) => "are lost (net.ipv4.tcp_migrate_req is 0)".to_owned(),
            };
            parts.push(format!("{queued} connections waited in its accept queues and {fate}"));
        }
        if !parts.is_empty() {
            self.note(format!("generation {generation} has died: {}", parts.join("; ")));
        }
    }
}
