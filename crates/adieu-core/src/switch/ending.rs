//! The way out: a generation is ended, its tree is gone, everything is stopped.

use std::collections::BTreeSet;

use super::generation::Phase;
use super::machine::{SECOND_STOP, Switch};
use super::{Action, Failure, Generation, Request, Step};
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
        let settled = entry.replaced_by.filter(|_| entry.phase == Phase::Settling);
        entry.leave(Phase::Ending);
        let deadline = *entry.deadline.get_or_insert(grace);
        entry.asked |= entry.main.is_none();
        let main_gone = entry.main.is_some();
        if let Some((request, by)) = settled {
            self.progress(Some(request), Step::Settled(by));
        }
        if main_gone {
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
                escalation::Action::Kill => {
                    entry.killed |= entry.main.is_none();
                    Action::Kill(generation)
                }
            });
        }
    }

    pub(super) fn tree_gone(&mut self, now: Timestamp, generation: Generation) {
        // Nobody saw how the main process ended: it was killed together with whoever watched it.
        self.main_exited(now, generation, Outcome::Signaled(Signal::KILL));
        let Some(entry) = self.entries.remove(&generation) else { return };
        if self.target == Some(generation) && !entry.held && !self.is_stopping() {
            // Nobody has been switched to yet: what is to come must find a listener.
            self.actions.push_back(Action::Hold(generation));
        }
        let outcome = entry.main.unwrap_or(Outcome::Signaled(Signal::KILL));
        self.actions.push_back(Action::Retire(generation, outcome, entry.cause()));
        if let Some((request, by)) = entry.replaced_by {
            self.progress(Some(request), Step::Drained(by));
        }
        if self.serving == Some(generation) {
            self.serving = None;
        }
    }

    pub(super) fn stop(&mut self, now: Timestamp) {
        match self.stop_asked {
            Some(first) if now - first >= SECOND_STOP => self.force(now),
            Some(_) => {}
            None => {
                self.stop_asked = Some(now);
                self.end_everything(now);
            }
        }
    }

    pub(super) fn force(&mut self, now: Timestamp) {
        self.stop_asked.get_or_insert(now);
        let all: Vec<Generation> = self.entries.keys().copied().collect();
        for generation in all {
            if let Some(entry) = self.entries.get_mut(&generation) {
                entry.leave(Phase::Ending);
                entry.deadline = Some(entry.deadline.map_or(now, |deadline| deadline.min(now)));
            }
            self.escalate(now, generation, escalation::Event::Force);
        }
        self.end_everything(now);
    }

    pub(super) fn end_everything(&mut self, now: Timestamp) {
        self.restart_at = None;
        self.going_back = false;
        self.next = None;
        if self.fallen.take().is_some()
            && let Some((switching, _)) = self.entries.iter().find(|(_, entry)| entry.phase == Phase::Switching)
        {
            // It is about to take the place: its end is the end of the run.
            self.serving = Some(*switching);
        }
        let mut unanswered: BTreeSet<Request> = self.waiting.drain(..).chain(self.replacing.take()).collect();
        for entry in self.entries.values_mut() {
            unanswered.extend(entry.request.take());
            unanswered.extend(entry.replaced_by.take().map(|(request, _)| request));
        }
        for request in unanswered {
            self.progress(Some(request), Step::Failed(Failure::Stopping));
        }
        let all: Vec<Generation> = self.entries.keys().copied().collect();
        for generation in all {
            let lingers = self.serving == Some(generation) && !self.policy.linger.is_zero() && self.exit_code.is_none();
            match self.entries.get_mut(&generation) {
                Some(entry) if !entry.is_untouched() => {}
                Some(entry) if lingers => {
                    entry.leave(Phase::Draining);
                    let deadline = *entry.deadline.get_or_insert(now + self.policy.grace);
                    entry.phase_until = Some(deadline.min(now + self.policy.linger));
                }
                _ => self.end(now, generation),
            }
        }
    }
}
