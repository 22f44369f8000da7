//! What a generation that died unasked took with it: connections that were owed an answer, and what waited in its queues.
//!
//! The kernel closes the connections of a process before anybody hears of its end. So the connections of all generations are
//! looked at: often while more than one lives, hardly ever while one serves alone. At a death the last look is what is told.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use adieu_core::owed::{Counts, Ledger};
use adieu_core::switch::{Generation, Phase};
use adieu_core::wire::ConnectionCounts;
use adieu_linux::{clock, diag, reuseport};

use super::Connections;
use super::looks::Looks;
use super::state::{OPEN, new_ledger, sample_own};
use crate::options;
use crate::process_table::ProcessTable;
use crate::sockets::Sockets;
use crate::view::{Out, View};

/// Looking takes at most one part in so many of the time.
const SHARE: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The same while one generation serves and no other lives.
const SINGLE_SHARE: u32 = 1000;
const SINGLE_LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a death has cost, as far as can be told.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    owed: usize,
    unknown: usize,
    seen: Duration,
    queued: u32,
}

impl Connections {
    /// Looks at the connections of all that live, if it is time to.
    pub(super) fn advance_looks(&mut self, view: &View<'_>, table: &dyn ProcessTable, sockets: &Sockets) {
        // A newcomer that starts is not kept waiting for answers to its socket calls.
        let wanted = view.options.sockets != options::Sockets::Off && view.switch.starting().is_none();
        if !wanted {
            self.looks.next = None;
        } else if self.looks.next.is_none_or(|next| view.now >= next) {
            self.look(view, table, sockets);
        }
    }

    fn look(&mut self, view: &View<'_>, table: &dyn ProcessTable, sockets: &Sockets) {
        let mut living = table.generations();
        living.retain(|generation| table.is_alive(*generation));
        let now = clock::now();
        let mut ledgers = std::mem::take(&mut self.looks.ledgers);
        ledgers.retain(|generation, _| living.contains(generation));
        for generation in &living {
            let mut ledger = ledgers.get(generation).cloned().unwrap_or_else(|| new_ledger(view));
            sample_own(table, sockets, *generation, &mut ledger);
            // What a dying one has lost already would be missing.
            if table.is_still_there(*generation) {
                ledgers.insert(*generation, ledger);
            }
        }
        let cost = clock::now() - now;
        let single = living.len() < 2;
        let pause = if single { SINGLE_LOOK_EVERY.max(cost * SINGLE_SHARE) } else { LOOK_EVERY.max(cost * SHARE) };
        self.looks = Looks { ledgers, at: now, next: Some(now + pause) };
    }

    /// Connections of every generation by class as they are now, for the status.
    pub(crate) fn counts(
        &mut self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        sockets: &Sockets,
    ) -> BTreeMap<Generation, ConnectionCounts> {
        self.look(view, table, sockets);
        let counts = |ledger: &Ledger| {
            let Counts { owed, unknown, quiet, expired, .. } = ledger.counts();
            ConnectionCounts { owed, unknown, quiet, expired }
        };
        self.looks.ledgers.iter().map(|(generation, ledger)| (*generation, counts(ledger))).collect()
    }

    /// What is lost with a main process that has just ended; nothing if its generation had been asked to end.
    pub(crate) fn losses_of(
        &self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        sockets: &Sockets,
        generation: Generation,
    ) -> Losses {
        if view.switch.is_stopping() || view.phase(generation) == Some(Phase::Ending) {
            return Losses::default();
        }
        // What other processes of it still hold may be answered yet.
        let held = table.own_inodes(generation).unwrap_or_default();
        let queued = sockets.waiting_beside(generation, &held);
        let watch = self.owed_watches.iter().find(|watch| watch.generation == generation);
        let ledger = watch.map(|watch| &watch.ledger).or_else(|| self.looks.ledgers.get(&generation));
        let Some(ledger) = ledger else { return Losses { queued, ..Losses::default() } };
        let now = if held.is_empty() {
            Vec::new()
        } else {
            diag::tcp_sockets(&sockets.places(generation), &OPEN).unwrap_or_default()
        };
        let alive: HashSet<u64> = now.iter().filter(|s| held.contains(&s.inode)).map(|s| s.cookie).collect();
        let mut dead = ledger.clone();
        dead.restrict(ledger.unsettled().filter(|cookie| !alive.contains(cookie)).collect::<Vec<_>>());
        let (counts, seen) = (dead.counts(), clock::now() - self.looks.at);
        Losses { owed: counts.owed, unknown: counts.unknown, seen, queued }
    }
}

impl Losses {
    /// Tells what was lost with `generation`, now that it is known who serves.
    pub(crate) fn tell(&self, view: &View<'_>, generation: Generation, out: &mut Out) {
        let mut parts = Vec::new();
        let Self { owed, unknown, queued, seen } = self;
        if owed + unknown > 0 {
            let seen = seen.as_millis();
            parts.push(format!(
                "{owed} connections were owed an answer and {unknown} may have been, lost by the program (as seen {seen} ms before)"
            ));
        }
        if *queued > 0 {
            let fate = match view.serving_before(generation) {
                _ if view.switch.is_stopping() => "are lost".to_owned(),
                None => "wait for the next generation".to_owned(),
                Some(serving) if reuseport::may_migrate() => format!("go to generation {serving}"),
                Some(_) => "are lost (net.ipv4.tcp_migrate_req is 0)".to_owned(),
            };
            parts.push(format!("{queued} connections waited in its accept queues and {fate}"));
        }
        if !parts.is_empty() {
            out.note(format!("generation {generation} has died: {}", parts.join("; ")));
        }
    }
}
