//! Connections: what the connections of old generations are owed is waited for, busy ones are taken over between two
//! requests, and what a death has cost is counted.
//!
//! Invariant: nothing is closed or cut here that the kernel's counters do not show to be finished, and whatever is given up
//! is named.

mod handoff;
mod looks;
mod losses;
mod lot;
mod owed;
mod park;
mod queues;
mod state;
#[cfg(test)]
mod tests;
mod watches;

use std::time::Duration;

use adieu_core::Timestamp;

pub(crate) use self::losses::Losses;
pub(crate) use self::state::Connections;
use crate::interests::{Interests, Source};
use crate::process_table::ProcessTable;
use crate::sockets::Sockets;
use crate::view::{Out, View};

/// How often requests under way, and connections that are about to be closed, are looked at.
const HANDOFF_EVERY: Duration = Duration::from_millis(20);

impl Connections {
    pub(crate) fn interests<'a>(&'a self, interests: &mut Interests<'a>) {
        for (fd, readiness) in self.handoffs.iter().flat_map(handoff::Handoff::interests) {
            interests.add(Source::Other, fd, readiness);
        }
    }

    /// When [`Self::advance`] has something to do.
    pub(crate) fn next(&self, view: &View<'_>) -> Option<Timestamp> {
        let queues = self.queue_watches.iter().map(|watch| watch.next);
        let owed = self.owed_watches.iter().map(|watch| watch.next);
        let lots = self.lots.iter().map(|lot| lot.next);
        let under_way = !self.lingering.is_empty() || !self.handoffs.is_empty();
        let handoffs = under_way.then(|| view.now + HANDOFF_EVERY);
        queues.chain(owed).chain(lots).chain(handoffs).chain(self.looks.next).min()
    }

    /// Goes on with everything whose time has come.
    pub(crate) fn advance(&mut self, view: &View<'_>, table: &dyn ProcessTable, sockets: &Sockets, out: &mut Out) {
        self.advance_queue_watches(view, table, sockets, out);
        self.advance_handoffs(view, out);
        self.advance_lots(view, table, out);
        self.advance_owed_watches(view, table, out);
        self.advance_looks(view, table, sockets);
    }
}
