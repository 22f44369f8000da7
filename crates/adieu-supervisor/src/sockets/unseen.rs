//! Listeners that were not seen: what is held is compared with what the kernel lists. Others' listeners in our groups are
//! found on the way.
//!
//! Calls that do not pass the filter (io_uring, 32-bit programs, a filter that was refused) leave listeners of which no
//! duplicate is held. A generation that has one cannot share its address with the next, so it ends before that starts.

use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::address::Endpoint;
use adieu_core::switch::Generation;
use adieu_linux::diag::{self, LocalPort, state};

use super::Sockets;
use super::watched::Unseen;
use crate::options;
use crate::process_table::ProcessTable;
use crate::view::{Out, View};

/// How often a starting generation is looked at that listens unseen as far as is known, and one that does not, at first.
const UNSEEN_EVERY: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_secs(1);
/// The longest pause between two looks at a generation that has not been seen to listen at all.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

const EVERYWHERE: [LocalPort; 2] = [LocalPort { port: 0, v6: false }, LocalPort { port: 0, v6: true }];

impl Sockets {
    /// Where `generation` listens without our having seen it; `None` where that cannot be known.
    pub(super) fn unseen_listeners(&self, table: &dyn ProcessTable, generation: Generation) -> Option<Vec<Endpoint>> {
        let watched = self.watched.get(&generation)?;
        let mut listeners = diag::tcp_sockets(&EVERYWHERE, &[state::LISTEN]).ok()?;
        listeners.retain(|listener| {
            let inode = listener.inode;
            !self.groups.has(inode) && !watched.loose.contains(&inode) && !self.inherited.has(inode)
        });
        if listeners.is_empty() {
            // Nobody's are unknown: whose they would be need not be asked.
            return Some(Vec::new());
        }
        let own = table.own_inodes(generation)?;
        let own = |listener: &&diag::Socket| own.contains(&listener.inode);
        let mut found: Vec<Endpoint> = listeners.iter().filter(own).map(diag::Socket::endpoint).collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    /// Before a reload: the serving generation, if it cannot run beside the next one.
    pub(crate) fn find_exclusive(
        &mut self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        out: &mut Out,
    ) -> Option<Generation> {
        self.drop_all_abandoned(table, out);
        self.find_foreign(out);
        let serving = view.switch.serving().filter(|_| view.options.sockets == options::Sockets::Auto)?;
        let listeners = self.unseen_listeners(table, serving);
        let exclusive = listeners.as_ref().map_or(self.is_unseen(serving), |found| !found.is_empty());
        if let Some(found) = listeners.as_ref().filter(|found| !found.is_empty()) {
            self.note_unseen(serving, found, out);
        }
        self.unseen_before = Unseen { generation: serving, endpoints: listeners.unwrap_or_default() };
        if exclusive {
            out.note_once("without its sockets in sight the old generation ends before the new one starts");
        }
        exclusive.then_some(serving)
    }

    fn note_unseen(&self, generation: Generation, found: &[Endpoint], out: &mut Out) {
        if self.is_unseen(generation) {
            // It has been said why.
            return;
        }
        let list: Vec<String> = found.iter().map(ToString::to_string).collect();
        out.note_once(format!(
            "the program listens on {} without a bind that adieu could see (io_uring, or a 32-bit program): its reloads are not \
             seamless",
            list.join(", ")
        ));
    }

    /// What a generation that starts listens on unseen, as far as that is of interest.
    pub(super) fn present_unseen(&self, table: &dyn ProcessTable, generation: Generation) -> Vec<Endpoint> {
        if self.unseen_before.endpoints.is_empty() && !self.is_unseen(generation) {
            return Vec::new();
        }
        self.unseen_listeners(table, generation).unwrap_or_default()
    }

    /// Looks at a generation that starts: it may listen unseen. Ever more seldom, as most that never listen have no sockets.
    /// Returns the generation that was looked at.
    pub(super) fn look_for_unseen(
        &mut self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        out: &mut Out,
    ) -> Option<Generation> {
        let now = view.now;
        let generation = view.switch.starting().filter(|_| view.options.sockets == options::Sockets::Auto)?;
        let started = table.started(generation)?;
        let watched = self.watched.get_mut(&generation).filter(|watched| now >= watched.next_comparison)?;
        let expected = watched.unseen || !self.unseen_before.endpoints.is_empty();
        let (shortest, age) = (if expected { UNSEEN_EVERY } else { SELDOM }, now - started);
        watched.next_comparison = now + (age / 4).clamp(shortest, LONGEST_PAUSE);
        if let Some(found) = self.unseen_listeners(table, generation).filter(|found| !found.is_empty()) {
            self.note_unseen(generation, &found, out);
            self.mark_unseen(generation);
        }
        Some(generation)
    }

    /// When [`Self::look_for_unseen`] is due.
    pub(super) fn next_comparison(&self, view: &View<'_>, table: &dyn ProcessTable) -> Option<Timestamp> {
        let generation = view.switch.starting().filter(|_| view.options.sockets == options::Sockets::Auto)?;
        let watched = self.watched.get(&generation).filter(|_| table.is_alive(generation));
        watched.map(|watched| watched.next_comparison)
    }

    /// Takes note of others in our groups. They came by asking for SO_REUSEPORT themselves.
    pub(crate) fn find_foreign(&mut self, out: &mut Out) {
        for endpoint in self.groups.find_foreign() {
            out.note_once(format!(
                "another program of this user listens on {endpoint} too (SO_REUSEPORT): it gets no new connections"
            ));
        }
    }
}
