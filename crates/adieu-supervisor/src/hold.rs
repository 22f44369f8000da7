//! Listeners that are held while nobody serves: clients wait in the queue for the next generation, but not for ever.

use adieu_core::duration;
use adieu_core::switch::Phase;
use adieu_linux::clock;

use crate::groups::HELD;
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
        if now >= until && self.groups.of(HELD).next().is_some() {
            self.note(format!(
                "nobody has served for {}: new connections are refused until a generation listens again",
                duration::format(self.options.ready_timeout * 2)
            ));
            self.close_held();
            self.answer_failed(false);
        }
    }
}
