//! Sockets: the listeners of all generations, seen at `bind` and `listen`, held in duplicate, switched, and closed with care.
//!
//! Invariant: what a serving generation listens on is held, or it is known that it is not; of what is held no connection is
//! lost by our closing it.
//!
//! A socket call goes `calls` (received) → `bind`, `path_bind`, `listen` or `connect` (decided, as a value of `answer`) →
//! `groups` or `paths` (kept) → `calls` (answered).

mod abandoned;
mod activation;
mod answer;
mod bind;
mod calls;
mod connect;
mod expected;
mod groups;
mod hold;
mod inherited;
mod listen;
mod path_bind;
mod paths;
mod second_try;
mod state;
#[cfg(test)]
mod tests;
mod unseen;
mod watched;

use std::os::fd::AsFd;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::switch::Generation;

pub(crate) use self::inherited::Inherited;
pub(crate) use self::state::Sockets;
use crate::interests::{Interests, Source};
use crate::options;
use crate::process_table::ProcessTable;
use crate::view::{Out, View};

/// How often it is looked for abandoned sockets without any other reason.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon it is looked again whether a `listen` of a Unix socket has succeeded.
const PATH_LOOK_EVERY: Duration = Duration::from_millis(1);

/// What [`Sockets::advance`] has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// These may be ready now.
    pub(crate) may_be_ready: Vec<Generation>,
    /// Nobody has served for too long: new connections are refused.
    pub(crate) refuses: bool,
}

impl Sockets {
    pub(crate) fn interests<'a>(&'a self, interests: &mut Interests<'a>) {
        for (generation, watched) in &self.watched {
            if let Some(notifier) = &watched.notifier {
                interests.read(Source::Call(*generation), notifier.as_fd());
            }
        }
        for (id, holder) in self.holders() {
            interests.read(Source::Holder(id), holder);
        }
        if let Some(watch) = &self.paths.watch {
            interests.read(Source::Other, watch.as_fd());
        }
    }

    /// When [`Self::advance`] has something to do.
    pub(crate) fn next(&self, view: &View<'_>, table: &dyn ProcessTable) -> Option<Timestamp> {
        let unserved = self.unserved_until.filter(|_| self.holds_something());
        let look = self.needs_looks(view, table).then_some(self.next_look);
        let paths = self.paths.is_awaiting().then(|| view.now + PATH_LOOK_EVERY);
        [unserved, look, paths, self.next_comparison(view, table)].into_iter().flatten().min()
    }

    /// Goes on with what takes time: Unix sockets that are about to listen, what is abandoned or unseen, how long clients wait.
    pub(crate) fn advance(&mut self, view: &View<'_>, table: &dyn ProcessTable, out: &mut Out) -> Found {
        let mut may_be_ready = self.advance_paths(view, out);
        self.look_around(view, table, out);
        may_be_ready.extend(self.look_for_unseen(view, table, out));
        Found { may_be_ready, refuses: self.bound_the_wait(view, out) }
    }

    /// The main process of `generation` has ended: whoever waited for an answer to a `listen` has gone with it. Returns the
    /// generations that may be ready now: a Unix socket may listen since the last look, and its clients are not to be lost.
    pub(crate) fn main_ended(&mut self, view: &View<'_>, generation: Generation, out: &mut Out) -> Vec<Generation> {
        if let Some(watched) = self.watched.get_mut(&generation) {
            watched.waiting_listens.clear();
        }
        self.advance_paths(view, out)
    }

    /// Goes on with those that are about to listen, and puts back paths that have been unlinked.
    fn advance_paths(&mut self, view: &View<'_>, out: &mut Out) -> Vec<Generation> {
        if self.paths.watch.as_ref().is_some_and(|watch| !watch.take().is_empty()) {
            self.paths.restore();
        }
        if !self.paths.is_awaiting() {
            return Vec::new();
        }
        let listening = self.paths.look(view.now);
        for generation in &listening {
            if view.switch.serving() == Some(*generation)
                && let Err(error) = self.paths.publish(*generation)
            {
                out.note(format!("generation {generation}: its Unix sockets cannot be put in place: {error}"));
            }
        }
        listening
    }

    fn needs_looks(&self, view: &View<'_>, table: &dyn ProcessTable) -> bool {
        let alive = |generation: Generation| table.is_alive(generation);
        view.options.sockets != options::Sockets::Off && table.generations().into_iter().any(alive)
    }

    /// Now and then: duplicates that nobody holds any more.
    fn look_around(&mut self, view: &View<'_>, table: &dyn ProcessTable, out: &mut Out) {
        if view.now < self.next_look || !self.needs_looks(view, table) {
            return;
        }
        self.next_look = view.now + LOOK_EVERY;
        for generation in table.generations().into_iter().filter(|generation| table.is_alive(*generation)) {
            if !self.queues_are_empty(generation) {
                self.look_for_abandoned(table, generation, view.now, out);
            }
        }
    }
}
