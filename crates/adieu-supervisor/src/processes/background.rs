//! Programs that go into the background: their first process ends at once and well, and what serves is what it has left.
//!
//! An init ends with its program, so what is left is asked to end. That surprises whoever started a daemon: it is said.

use adieu_core::outcome::Outcome;
use adieu_core::switch::{Generation, Phase};

use super::Processes;
use crate::view::{Out, View};

/// Processes that one line names.
const MOST_NAMED: usize = 3;

impl Processes {
    /// Says what a main process that nobody had asked to end has left behind.
    pub(crate) fn mention_background(&self, view: &View<'_>, generation: Generation, outcome: Outcome, out: &mut Out) {
        let unasked = matches!(view.phase(generation), Some(Phase::Starting | Phase::Switching | Phase::Serving));
        if outcome != Outcome::Exited(0) || view.switch.is_stopping() || !unasked {
            return;
        }
        let mut left = self.names_of(generation);
        if left.is_empty() {
            return;
        }
        let more = left.len().saturating_sub(MOST_NAMED);
        left.truncate(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        out.note(format!(
            "generation {generation}: the program has ended and left {}{more} in the background, to be stopped: if that is the \
             server, start it in the foreground (nginx -g 'daemon off;', apache2 -DFOREGROUND, no `&`, no setsid)",
            left.join(", ")
        ));
    }
}
