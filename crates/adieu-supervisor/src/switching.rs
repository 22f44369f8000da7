//! What the steps of the machine mean for the sockets of the generations.

use adieu_core::switch::{Event, Generation};

use crate::groups::HELD;
use crate::running::Running;
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(crate) fn switch_to(&mut self, generation: Generation) {
        // A rollback may have been decided while the newcomer's last `listen` was held back.
        let waiting = self.running.get_mut(&generation).map(|running| std::mem::take(&mut running.waiting_listens));
        for waiting in waiting.into_iter().flatten() {
            self.answer_listen(generation, waiting.call, waiting.socket, waiting.backlog);
        }
        self.mind_foreign();
        let switched = self.groups.target(generation).and_then(|()| self.paths.publish(generation));
        match switched {
            Ok(()) => self.tell(Event::Switched(generation)),
            Err(error) => {
                self.note(format!("generation {generation}: cannot send connections to it: {error}"));
                self.tell(Event::SwitchFailed(generation));
            }
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
    fn keep_listeners(&mut self, generation: Generation) {
        self.groups.hold(generation);
        for error in self.paths.hold(generation) {
            self.note(format!("generation {generation}: its Unix sockets cannot be given second names: {error}"));
        }
    }

    /// Closes what is held of a generation that is gone, or keeps it where the next one is still to come.
    pub(crate) fn retire_sockets(&mut self, generation: Generation) {
        let inherits = self.inherited_from.take_if(|from| *from == generation).is_some();
        let nobody = self.switch.starting().is_none() && self.switch.serving().is_none();
        if (inherits || nobody) && !self.switch.is_stopping() {
            self.keep_listeners(generation);
        }
        self.mind_foreign();
        for error in self.groups.retire(generation) {
            self.note(format!("generation {generation}: closing its sockets: {error}"));
        }
        self.paths.retire(generation);
    }
}
