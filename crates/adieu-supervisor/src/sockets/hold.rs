//! What the machine's steps mean for the sockets: switched to, held while nobody serves, let go, closed.
//!
//! Listeners are held between two generations: clients wait in the queue for the next one, but not for ever.

use adieu_core::duration;
use adieu_core::group::Owner;
use adieu_core::switch::{Generation, Phase};

use super::Sockets;
use crate::process_table::ProcessTable;
use crate::view::{Out, View};

impl Sockets {
    /// Sends new connections to `generation`.
    ///
    /// # Errors
    /// Those of attaching a program to a group, or of putting a Unix socket in place.
    pub(crate) fn switch_to(&mut self, view: &View<'_>, generation: Generation, out: &mut Out) -> std::io::Result<()> {
        // A rollback may have been decided while the newcomer's last `listen` was held back.
        self.answer_waiting_listens(view, generation, out);
        self.find_foreign(out);
        self.groups.target(generation)?;
        self.paths.publish(generation)
    }

    /// Prepares for a generation beside the one that serves.
    pub(crate) fn secure_paths(&mut self, view: &View<'_>, out: &mut Out) {
        let Some(serving) = view.switch.serving() else { return };
        for error in self.paths.secure(serving) {
            out.note(format!("generation {serving}: its Unix sockets cannot be given second names: {error}"));
        }
    }

    /// Keeps the listeners of a generation that ends before the next one starts.
    pub(crate) fn hold(&mut self, view: &View<'_>, table: &dyn ProcessTable, generation: Generation, out: &mut Out) {
        if table.is_alive(generation) && view.switch.serving() == Some(generation) {
            for error in self.groups.hold_in_advance(generation) {
                out.note_once(format!(
                    "cannot open a socket to hold new connections in ({error}): the program's own is held after its end"
                ));
            }
            self.secure_paths(view, out);
            self.ends_first = Some(generation);
            return;
        }
        if let Some(heir) = view.serving_before(generation) {
            // The newcomer may listen already: then it gets what comes from now on. Where it cannot, what is held waits for
            // the next one.
            drop(self.groups.target(heir).and_then(|()| self.paths.publish(heir)));
        }
        self.keep_listeners(generation, out);
    }

    /// Keeps the listeners of `generation` for the next one, which is given them at its `bind`.
    pub(super) fn keep_listeners(&mut self, generation: Generation, out: &mut Out) {
        self.groups.hold(generation);
        for error in self.paths.hold(generation) {
            out.note(format!("generation {generation}: its Unix sockets cannot be given second names: {error}"));
        }
    }

    /// Closes what was kept for the next generation and not taken.
    pub(crate) fn close_held(&mut self, out: &mut Out) {
        for error in self.groups.retire(Owner::Held) {
            out.note(format!("closing a held socket: {error}"));
        }
        self.paths.retire(Owner::Held);
    }

    /// Nothing will be switched any more: what the program of `generation` closes shall be closed.
    pub(crate) fn release(&mut self, generation: Generation) {
        self.groups.release(generation);
        self.paths.release(generation);
    }

    /// Closes what is held of a generation that is gone, or keeps it where the next one is still to come.
    pub(crate) fn retire(&mut self, view: &View<'_>, generation: Generation, out: &mut Out) {
        let inherits = self.ends_first.take_if(|first| *first == generation).is_some();
        let nobody = view.switch.starting().is_none() && view.switch.serving().is_none();
        if (inherits || nobody) && !view.switch.is_stopping() {
            self.keep_listeners(generation, out);
        }
        self.find_foreign(out);
        self.close_all_of(generation, out);
        self.watched.remove(&generation);
    }

    pub(super) fn close_all_of(&mut self, generation: Generation, out: &mut Out) {
        for error in self.groups.retire(generation) {
            out.note(format!("generation {generation}: closing its sockets: {error}"));
        }
        self.paths.retire(generation);
    }

    /// Clients wait in a held queue, but not for ever: refused, they can go elsewhere. True when they are from now on.
    pub(super) fn bound_the_wait(&mut self, view: &View<'_>, out: &mut Out) -> bool {
        let served = view.switch.statuses().any(|status| status.ready && status.phase != Phase::Ending);
        if served || view.switch.is_over() {
            self.unserved_until = None;
            return false;
        }
        // A newcomer may take as long as that, and then the command before it.
        let most = view.options.ready_timeout * 2;
        let until = *self.unserved_until.get_or_insert(view.now + most);
        if view.now < until || !self.holds_something() {
            return false;
        }
        out.note(format!(
            "nobody has served for {}: new connections are refused until a generation listens again",
            duration::format(most)
        ));
        self.close_held(out);
        true
    }
}
