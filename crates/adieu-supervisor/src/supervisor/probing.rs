//! What a probe needs of others: its port is steered to the generation that is asked, its command is started.

use super::state::Supervisor;
use crate::readiness::Need;

impl Supervisor {
    /// Does what the probe needs.
    pub(super) fn meet(&mut self, need: Need) {
        match need {
            Need::Nothing => {}
            // A port that nobody connects from any more may stay steered.
            Need::Release => drop(self.sockets.steer_probe(None)),
            Need::Start(start) => {
                let view = self.machine.view();
                let steering = start.steering();
                let steered = if steering.is_some() { self.sockets.steer_probe(steering) } else { Ok(()) };
                let mut shell = self.processes.shell(&view, start.generation());
                self.readiness.start_probe(view.now, start, steered, &mut shell);
            }
        }
    }
}
