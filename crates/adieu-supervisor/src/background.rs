//! Programs that go into the background: their first process ends at once and well, and what serves is what it has left.
//!
//! An init ends with its program, so what is left is asked to end. That surprises whoever started a daemon: it is said.

use adieu_core::outcome::Outcome;
use adieu_core::switch::{Generation, Phase};
use adieu_linux::process;

use crate::supervisor::Supervisor;

/// Processes that one line names.
const MOST_NAMED: usize = 3;

impl Supervisor {
    /// Says what a main process that nobody had asked to end has left behind.
    pub(crate) fn mention_background(&mut self, generation: Generation, outcome: Outcome) {
        let unasked = |status: adieu_core::switch::Status| {
            status.generation == generation
                && matches!(status.phase, Phase::Starting | Phase::Switching | Phase::Serving)
        };
        if outcome != Outcome::Exited(0) || self.switch.is_stopping() || !self.switch.statuses().any(unasked) {
            return;
        }
        let left = self.members(generation).into_iter().filter_map(|pid| process::stat(pid).ok());
        let mut left: Vec<String> =
            left.filter(|stat| stat.state != 'Z').map(|stat| format!("{} ({})", stat.pid, stat.comm)).collect();
        if left.is_empty() {
            return;
        }
        let more = left.len().saturating_sub(MOST_NAMED);
        left.truncate(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.note(format!(
            "generation {generation}: the program has ended and left {}{more} in the background, to be stopped: if that is the \
             server, start it in the foreground (nginx -g 'daemon off;', apache2 -DFOREGROUND, no `&`, no setsid)",
            left.join(", ")
        ));
    }
}
