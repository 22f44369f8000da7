//! Listeners that are held while nobody serves: clients wait in the queue for the next generation, but not for ever.

use adieu_core::duration;
use adieu_core::switch::{Generation, Phase};
use adieu_linux::clock;

use crate::groups::HELD;
use crate::running::Running;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Clients wait in a held queue, but not for ever: refused, they can go elsewhere.
    pub(crate) fn bound_the_wait(&mut self) {
        let served = self.switch.statuses().any(|status| status.ready && status.phase != Phase::Ending);
        if served || self.exit.is_some() {
            self.unserved_until = None;
            return;
        }
        let now = clock::now();
        // A newcomer may take as long as that, and then the command before it.
        let until = *self.unserved_until.get_or_insert(now + self.options.ready_timeout * 2);
        let holds = self.groups.of(HELD).next().is_some() || self.paths.of(HELD).next().is_some();
        if now >= until && holds {
            self.note(format!(
                "nobody has served for {}: new connections are refused until a generation listens again",
                duration::format(self.options.ready_timeout * 2)
            ));
            self.close_held();
            self.answer_failed(false);
        }
    }

    pub(crate) fn close_held(&mut self) {
        for error in self.groups.retire(HELD) {
            self.note(format!("closing a held socket: {error}"));
        }
        self.paths.retire(HELD);
    }

    pub(crate) fn hold(&mut self, generation: Generation) {
        let alive = self.running.get(&generation).is_some_and(Running::is_alive);
        if alive && self.switch.serving() == Some(generation) {
            for error in self.groups.hold_in_advance(generation) {
                self.note_once(format!(
                    "cannot open a socket to hold new connections in ({error}): the program's own is held after its end"
                ));
            }
            self.secure_paths();
            self.inherited_from = Some(generation);
        } else if let Some(heir) = self.switch.serving().filter(|heir| *heir != generation) {
            // The newcomer may listen already: then it gets what comes from now on.
            drop(self.groups.target(heir).and_then(|()| self.paths.publish(heir)));
            self.keep_listeners(generation);
        } else {
            self.keep_listeners(generation);
        }
    }

    /// Keeps the listeners of `generation` for the next one, which is given them at its `bind`.
    pub(crate) fn keep_listeners(&mut self, generation: Generation) {
        self.groups.hold(generation);
        for error in self.paths.hold(generation) {
            self.note(format!("generation {generation}: its Unix sockets cannot be given second names: {error}"));
        }
    }
}
