//! The way out: a newcomer fails, a main process dies, everything is stopped.

use std::collections::BTreeSet;
use std::time::Duration;

use super::generation::Phase;
use super::state::{SECOND_STOP, Switch};
use super::{Action, Failure, Generation, RequestId, Step};
use crate::Timestamp;
use crate::escalation;
use crate::outcome::Outcome;
use crate::signal::Signal;

impl Switch {
    /// Begins the stop of a generation; its deadline is the one it has, or the grace period from now.
    pub(super) fn end(&mut self, now: Timestamp, generation: Generation) {
        let grace = now + self.policy.grace;
        let pre_stop = self.policy.pre_stop;
        let Some(entry) = self.entries.get_mut(&generation) else { return };
        entry.phase = Phase::Ending;
        entry.phase_until = None;
        entry.ready_deadline = None;
        let deadline = *entry.deadline.get_or_insert(grace);
        entry.asked |= entry.main.is_none();
        if entry.main.is_some() {
            self.escalate(now, generation, escalation::Event::MainGone);
        }
        self.escalate(now, generation, escalation::Event::Request { deadline, pre_stop });
    }

    pub(super) fn escalate(&mut self, now: Timestamp, generation: Generation, event: escalation::Event) {
        if let Some(entry) = self.entries.get_mut(&generation) {
            entry.escalation.handle(now, event);
        }
        self.perform_escalation(generation);
    }

    pub(super) fn perform_escalation(&mut self, generation: Generation) {
        let Some(entry) = self.entries.get_mut(&generation) else { return };
        while let Some(action) = entry.escalation.poll_action() {
            self.actions.push_back(match action {
                escalation::Action::RunPreStop(budget) => Action::RunPreStop(generation, budget),
                escalation::Action::AskMain => Action::AskMain(generation),
                escalation::Action::AskRest => Action::AskRest(generation),
                escalation::Action::Kill => Action::Kill(generation),
            });
        }
    }

    pub(super) fn switch_failed(&mut self, now: Timestamp, generation: Generation) {
        match self.phase(generation) {
            Some(Phase::Switching) => self.newcomer_failed(now, generation, Failure::NotSwitched(generation)),
            Some(Phase::Settling | Phase::Draining) => {
                // The way back is barred: this one is no help, and whoever should have been replaced by it is dead.
                if let Some(entry) = self.entries.get_mut(&generation) {
                    entry.ready = false;
                }
                self.end(now, generation);
                let dead = self.serving.and_then(|serving| Some((serving, self.entries.get(&serving)?.main?)));
                if let Some((serving, outcome)) = dead {
                    self.serving_died(now, serving, outcome);
                }
            }
            Some(Phase::Starting | Phase::Serving | Phase::Ending) | None => {}
        }
    }

    pub(super) fn newcomer_failed(&mut self, now: Timestamp, generation: Generation, failure: Failure) {
        let Some(entry) = self.entries.get_mut(&generation) else { return };
        let request = entry.request.take();
        self.progress(request, Step::Failed(failure));
        if self.next == Some(generation) {
            self.next = None;
        } else if self.serving == Some(generation) && request.is_some() {
            // Without overlap, or after a crash: nobody is left to serve, so the command before comes back.
            self.serving = None;
            self.going_back = true;
            self.hold(generation);
        }
        self.end(now, generation);
    }

    pub(super) fn main_exited(&mut self, now: Timestamp, generation: Generation, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(&generation) else { return };
        if entry.main.is_some() {
            return;
        }
        entry.main = Some(outcome);
        let (phase, unready_reload) = (entry.phase, entry.request.is_some() && !entry.ready);
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

    pub(super) fn serving_died(&mut self, now: Timestamp, generation: Generation, outcome: Outcome) {
        let fallback = self.entries.iter().rev().find(|(_, entry)| entry.can_take_over()).map(|(id, _)| *id);
        let life = self.entries.get(&generation).map_or(Duration::ZERO, |entry| now - entry.started);
        if self.stop_asked.is_none() && fallback.is_none() {
            self.reload_undone(generation, Failure::Died(generation, outcome));
        }
        if self.stop_asked.is_some() {
            self.exit_code = Some(outcome.exit_code());
        } else if let Some(fallback) = fallback {
            self.actions.push_back(Action::Switch(fallback));
            self.reload_undone(generation, Failure::DiedSettling(generation, outcome));
        } else if let Some(next) = self.next {
            // The newcomer is all there is: it takes over as soon as it can.
            self.next = None;
            self.serving = Some(next);
            self.hold(generation);
            let heir = self.entries.get_mut(&next);
            let was_ready = heir.map(|heir| {
                heir.phase = Phase::Serving;
                heir.ready_deadline = None;
                heir.ready
            });
            if was_ready == Some(true) {
                self.actions.push_back(Action::Serving(next));
                let request = self.entries.get_mut(&next).and_then(|entry| entry.request.take());
                for step in [Step::Switched(next), Step::Settled(next), Step::Drained(next)] {
                    self.progress(request, step);
                }
            }
        } else if self.policy.restart.applies_to(outcome) {
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
        self.end(now, generation);
    }

    /// The reload that brought this generation has come to nothing after all, unless it is answered for good.
    fn reload_undone(&mut self, generation: Generation, failure: Failure) {
        let request = self.entries.get_mut(&generation).and_then(|entry| entry.request.take());
        for entry in self.entries.values_mut() {
            entry.replaced_by = entry.replaced_by.filter(|(other, _)| Some(*other) != request);
        }
        self.progress(request, Step::Failed(failure));
    }

    pub(super) fn tree_gone(&mut self, now: Timestamp, generation: Generation) {
        if self.entries.get(&generation).is_some_and(|entry| entry.main.is_none()) {
            // Nobody saw how the main process ended: it was killed together with whoever watched it.
            self.main_exited(now, generation, Outcome::Signaled(Signal::KILL));
        }
        let Some(entry) = self.entries.remove(&generation) else { return };
        let outcome = entry.main.unwrap_or(Outcome::Signaled(Signal::KILL));
        self.actions.push_back(Action::Retire(generation, outcome, entry.cause()));
        if let Some((request, by)) = entry.replaced_by {
            if matches!(entry.phase, Phase::Settling) {
                self.progress(Some(request), Step::Settled(by));
            }
            self.progress(Some(request), Step::Drained(by));
            if let Some(newer) = self.entries.get_mut(&by) {
                newer.request = None;
            }
        }
        if self.serving == Some(generation) {
            self.serving = None;
        }
        if self.next == Some(generation) {
            self.next = None;
        }
    }

    pub(super) fn stop(&mut self, now: Timestamp) {
        match self.stop_asked {
            Some(first) if now - first >= SECOND_STOP => self.force(now),
            Some(_) => {}
            None => {
                self.stop_asked = Some(now);
                if self.serving.is_none() {
                    self.exit_code.get_or_insert(0);
                }
                self.end_everything(now);
            }
        }
    }

    pub(super) fn force(&mut self, now: Timestamp) {
        self.stop_asked.get_or_insert(now);
        self.end_everything(now);
        let all: Vec<Generation> = self.entries.keys().copied().collect();
        for generation in all {
            self.escalate(now, generation, escalation::Event::Force);
            if let Some(entry) = self.entries.get_mut(&generation) {
                (entry.phase, entry.phase_until) = (Phase::Ending, None);
            }
        }
    }

    pub(super) fn end_everything(&mut self, now: Timestamp) {
        self.restart_at = None;
        self.going_back = false;
        let mut unanswered: BTreeSet<RequestId> = self.waiting.drain(..).chain(self.replacing.take()).collect();
        for entry in self.entries.values_mut() {
            unanswered.extend(entry.request.take());
            unanswered.extend(entry.replaced_by.take().map(|(request, _)| request));
        }
        for request in unanswered {
            self.progress(Some(request), Step::Failed(Failure::Stopping));
        }
        self.next = None;
        let all: Vec<Generation> = self.entries.keys().copied().collect();
        for generation in all {
            let lingers = self.serving == Some(generation) && !self.policy.linger.is_zero() && self.exit_code.is_none();
            match self.entries.get_mut(&generation) {
                Some(entry) if entry.phase == Phase::Ending || entry.main.is_some() => {}
                Some(entry) if lingers => {
                    entry.deadline = Some(now + self.policy.grace);
                    entry.phase_until = Some(now + self.policy.linger.min(self.policy.grace));
                    entry.phase = Phase::Draining;
                }
                _ => self.end(now, generation),
            }
        }
    }
}
