//! Who takes the place: a newcomer fails, the serving generation dies, a switch is answered with a failure.

use super::generation::{Entry, Phase};
use super::machine::{Fallen, Switch};
use super::{Action, Failure, Generation, Request, Step};
use crate::Timestamp;
use crate::escalation;
use crate::outcome::Outcome;

impl Switch {
    pub(super) fn main_exited(&mut self, now: Timestamp, generation: Generation, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(&generation).filter(|entry| entry.main.is_none()) else { return };
        entry.main = Some(outcome);
        let (phase, unready_reload) = (entry.phase, entry.request.is_some());
        if phase == Phase::Ending {
            if self.serving == Some(generation) && self.stop_asked.is_some() {
                self.exit_code = Some(outcome.exit_code());
            }
            self.escalate(now, generation, escalation::Event::MainGone);
        } else if self.next == Some(generation) || (self.serving == Some(generation) && unready_reload) {
            self.newcomer_failed(now, generation, Failure::Exited(generation, outcome));
        } else if self.serving == Some(generation) && self.replacing.is_none() {
            self.serving_died(now, generation, outcome);
        } else {
            self.end(now, generation);
        }
    }

    pub(super) fn newcomer_failed(&mut self, now: Timestamp, generation: Generation, failure: Failure) {
        let request = self.entries.get_mut(&generation).and_then(|entry| entry.request.take());
        self.progress(request, Step::Failed(failure));
        if self.next == Some(generation) {
            self.next = None;
        } else if self.serving == Some(generation) {
            // Without overlap, or after a death: nobody serves. The command before comes back, unless its own end was not ours.
            self.serving = None;
            self.going_back = self.fallen.is_none();
            self.hold(generation);
        }
        self.end(now, generation);
    }

    pub(super) fn switch_failed(&mut self, now: Timestamp, generation: Generation) {
        if self.phase(generation) != Some(Phase::Switching) {
            return;
        }
        if self.next == Some(generation) {
            // It may have been given some of its addresses: all go back before it is stopped.
            self.switch_back();
            self.newcomer_failed(now, generation, Failure::NotSwitched(generation));
        } else {
            // The way back is barred: this one is no help.
            self.end(now, generation);
        }
    }

    /// Sends new connections to the serving generation again; false if there is none that can take them.
    pub(super) fn switch_back(&mut self) -> bool {
        let takes = |entry: &Entry| entry.phase == Phase::Serving && entry.ready;
        let serving = self.serving.filter(|serving| self.entries.get(serving).is_some_and(takes));
        self.actions.extend(serving.map(Action::Switch));
        serving.is_some()
    }

    fn serving_died(&mut self, now: Timestamp, generation: Generation, outcome: Outcome) {
        if self.stop_asked.is_some() {
            self.exit_code = Some(outcome.exit_code());
        } else if let Some(entry) = self.entries.get(&generation) {
            self.fallen = Some(Fallen { generation, outcome, life: now - entry.started });
            self.succeed(now);
        }
        self.end(now, generation);
    }

    /// Finds somebody for the place of a serving generation that has died: whoever is being switched to already, a newcomer
    /// that is ready, one that can take over again, a newcomer that is not ready yet; else the policy decides.
    pub(super) fn succeed(&mut self, now: Timestamp) {
        let Some(fallen) = self.fallen else { return };
        let Fallen { generation, outcome, .. } = fallen;
        let heir_gets_ready = self.serving.is_some_and(|serving| serving != generation);
        if heir_gets_ready || self.is_switching() || self.newcomer_is_ready() {
            return;
        }
        let fallback = self.entries.iter().rev().find(|(_, entry)| entry.can_take_over()).map(|(id, _)| *id);
        if let Some(fallback) = fallback {
            if let Some(entry) = self.entries.get_mut(&fallback) {
                // It stays: nothing of its end may come while the answer is under way.
                entry.leave(Phase::Switching);
                entry.deadline = None;
            }
            self.actions.push_back(Action::Switch(fallback));
            self.undo_reloads(Failure::DiedSettling(generation, outcome), |replaced, _| replaced >= fallback);
            return;
        }
        self.undo_reloads(Failure::Died(generation, outcome), |_, by| by == generation);
        if let Some(next) = self.next.take() {
            // The newcomer is all there is: it takes the place as soon as it can.
            (self.serving, self.target) = (Some(next), Some(next));
            if let Some(heir) = self.entries.get_mut(&next) {
                heir.phase = Phase::Serving;
            }
            self.hold(generation);
        } else {
            self.leave_to_the_policy(now, fallen);
        }
    }

    /// Nobody is left that could take new connections.
    fn leave_to_the_policy(&mut self, now: Timestamp, fallen: Fallen) {
        let Fallen { generation, outcome, life } = fallen;
        self.fallen = None;
        if self.policy.restart.applies_to(outcome) {
            self.restart_at = Some(now + self.backoff.after_life_of(life));
            if let Some(entry) = self.entries.get_mut(&generation) {
                entry.crash_loop = self.backoff.is_crash_loop();
            }
            self.serving = None;
            self.hold(generation);
        } else {
            self.exit_code = Some(outcome.exit_code());
            self.end_everything(now);
        }
    }

    /// Reloads that are not answered for good have come to nothing after all: those that replaced a generation by another
    /// one of which `undone` is true.
    fn undo_reloads(&mut self, failure: Failure, undone: impl Fn(Generation, Generation) -> bool) {
        let undone: Vec<Request> = self
            .entries
            .iter_mut()
            .filter_map(|(replaced, entry)| entry.replaced_by.take_if(|(_, by)| undone(*replaced, *by)))
            .map(|(request, _)| request)
            .collect();
        for request in undone {
            self.progress(Some(request), Step::Failed(failure));
        }
    }
}
