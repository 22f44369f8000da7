//! What the steps of the machine mean for the sockets of the generations.

use adieu_core::switch::{Event, Generation};

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
