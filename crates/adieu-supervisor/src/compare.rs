//! Comparing what is held with what the kernel lists: listeners that the filter has not seen, and others' listeners in our
//! groups.
//!
//! Calls that do not pass the filter (io_uring, 32-bit programs, a filter that was refused) leave listeners of which no
//! duplicate is held. A generation that has one cannot share its address with the next, so it ends before that starts.

use std::collections::HashSet;
use std::time::Duration;

use adieu_core::address::Endpoint;
use adieu_core::switch::{Event, Generation};
use adieu_linux::clock;
use adieu_linux::diag::{self, Place, state};

use crate::options::Sockets;
use crate::supervisor::Supervisor;

/// How often a starting generation is looked at that listens unseen as far as is known, and one that does not, at first.
const UNSEEN_EVERY: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_secs(1);
/// The longest pause between two looks at a generation that has not been seen to listen at all.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Where a generation listened that is to be replaced, without our having seen it.
#[derive(Debug, Default)]
pub(crate) struct Unseen {
    pub(crate) generation: Generation,
    pub(crate) endpoints: Vec<Endpoint>,
}

const EVERYWHERE: [Place; 2] = [Place { port: 0, v6: false }, Place { port: 0, v6: true }];

impl Supervisor {
    /// Where `generation` listens without our having seen it; `None` where that cannot be known.
    pub(crate) fn unseen_listeners(&self, generation: Generation) -> Option<Vec<Endpoint>> {
        let running = self.running.get(&generation)?;
        let mut listeners = diag::tcp_sockets(&EVERYWHERE, &[state::LISTEN]).ok()?;
        listeners.retain(|listener| {
            let inode = listener.inode;
            !self.groups.has(inode) && !running.loose.contains(&inode) && !self.inherited.has(inode)
        });
        if listeners.is_empty() {
            // Nobody's are unknown: whose they would be need not be asked.
            return Some(Vec::new());
        }
        let own = self.own_inodes(generation)?;
        let own = |listener: &&diag::Socket| own.contains(&listener.inode);
        let mut found: Vec<Endpoint> = listeners.iter().filter(own).map(diag::Socket::endpoint).collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    /// Before a reload: can the serving generation run beside the next one?
    pub(crate) fn compare_serving(&mut self) {
        self.drop_all_unheld();
        self.mind_foreign();
        let Some(serving) = self.switch.serving().filter(|_| self.options.sockets == Sockets::Auto) else { return };
        let listeners = self.unseen_listeners(serving);
        let unwatched = self.running.get(&serving).is_some_and(|running| running.unseen);
        let exclusive = listeners.as_ref().map_or(unwatched, |found| !found.is_empty());
        if let Some(found) = listeners.as_ref().filter(|found| !found.is_empty()) {
            self.note_unseen(serving, found);
        }
        self.unseen_wanted = Unseen { generation: serving, endpoints: listeners.unwrap_or_default() };
        if exclusive {
            self.note_once("without its sockets in sight the old generation ends before the new one starts".to_owned());
            self.tell(Event::Exclusive(serving));
        }
    }

    fn note_unseen(&mut self, generation: Generation, found: &[Endpoint]) {
        if self.running.get(&generation).is_some_and(|running| running.unseen) {
            // It has been said why.
            return;
        }
        let list: Vec<String> = found.iter().map(ToString::to_string).collect();
        self.note_once(format!(
            "the program listens on {} without a bind that adieu could see (io_uring, or a 32-bit program): its reloads are not \
             seamless",
            list.join(", ")
        ));
    }

    /// What a generation that starts listens on unseen, as far as that is of interest.
    pub(crate) fn present_unseen(&self, generation: Generation) -> Vec<Endpoint> {
        let unseen = self.running.get(&generation).is_some_and(|running| running.unseen);
        if self.unseen_wanted.endpoints.is_empty() && !unseen {
            return Vec::new();
        }
        self.unseen_listeners(generation).unwrap_or_default()
    }

    /// Looks at a generation that starts: it may listen unseen. Ever more seldom, as most that never listen have no sockets.
    pub(crate) fn look_for_unseen(&mut self) {
        let now = clock::now();
        let Some(generation) = self.switch.starting().filter(|_| self.options.sockets == Sockets::Auto) else { return };
        let Some(running) = self.running.get_mut(&generation).filter(|running| now >= running.next_comparison) else {
            return;
        };
        let expected = running.unseen || !self.unseen_wanted.endpoints.is_empty();
        let (shortest, age) = (if expected { UNSEEN_EVERY } else { SELDOM }, now - running.started);
        running.next_comparison = now + (age / 4).clamp(shortest, LONGEST_PAUSE);
        if let Some(found) = self.unseen_listeners(generation).filter(|found| !found.is_empty()) {
            self.note_unseen(generation, &found);
            if let Some(running) = self.running.get_mut(&generation) {
                running.unseen = true;
            }
        }
        self.check_ready(generation);
    }

    /// Whether a look is due before the next regular one.
    pub(crate) fn next_comparison(&self) -> Option<adieu_core::Timestamp> {
        let generation = self.switch.starting().filter(|_| self.options.sockets == Sockets::Auto)?;
        self.running.get(&generation).filter(|running| running.is_alive()).map(|running| running.next_comparison)
    }

    /// Takes note of others in our groups. They came by asking for SO_REUSEPORT themselves.
    pub(crate) fn mind_foreign(&mut self) {
        for endpoint in self.groups.find_foreign() {
            self.note_once(format!(
                "another program of this user listens on {endpoint} too (SO_REUSEPORT): it gets no new connections"
            ));
        }
    }

    /// The inodes of all sockets that processes of `generation` hold; `None` where they may not be read.
    pub(crate) fn own_inodes(&self, generation: Generation) -> Option<HashSet<u64>> {
        let mut own = HashSet::new();
        for pid in self.members(generation) {
            match adieu_linux::descriptors::sockets(pid) {
                Ok(found) => own.extend(found.into_iter().map(|(_, inode)| inode)),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
                Err(_) => {}
            }
        }
        Some(own)
    }
}
