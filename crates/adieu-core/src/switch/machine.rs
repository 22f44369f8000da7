//! The machine's verbs; its table is in the module above.

use super::generation::Phase;
use super::state::Switch;
use super::{Action, Event, Failure, Generation};
use crate::Timestamp;
use crate::escalation;

impl Switch {
    /// Takes an event. Events about generations that are gone are ignored.
    pub fn handle(&mut self, now: Timestamp, event: Event) {
        if self.exited {
            return;
        }
        match event {
            Event::Start if self.last.is_none() => self.begin(now, None),
            Event::Start => {}
            Event::Reload(request) => self.reload(now, request),
            Event::Stop => self.stop(now),
            Event::Force => self.force(now),
            Event::Ready(generation) => self.ready(generation),
            Event::Switched(generation) => self.switched(now, generation),
            Event::SwitchFailed(generation) => self.switch_failed(now, generation),
            Event::QueuesEmpty(generation) => {
                if let Some(entry) = self.entries.get_mut(&generation) {
                    entry.queues_empty = true;
                }
            }
            Event::Drained(generation) => {
                if self.phase(generation) == Some(Phase::Draining) {
                    self.end(now, generation);
                }
            }
            Event::Exclusive(generation) => {
                if let Some(entry) = self.entries.get_mut(&generation) {
                    entry.exclusive = true;
                }
            }
            Event::PreStopDone(generation) => self.escalate(now, generation, escalation::Event::PreStopDone),
            Event::MainExited(generation, outcome) => self.main_exited(now, generation, outcome),
            Event::TreeGone(generation) => self.tree_gone(now, generation),
            Event::Timeout => {}
        }
        self.advance(now);
    }

    /// Tells the machine that time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.handle(now, Event::Timeout);
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let of_entries = self.entries.values().flat_map(|entry| {
            let settled = entry.settle_until.filter(|_| entry.phase == Phase::Settling && entry.queues_empty);
            [entry.ready_deadline, settled, entry.phase_until, entry.escalation.poll_timeout()]
        });
        let restart = self.restart_at.filter(|_| self.serving.is_none() && self.place_is_free());
        of_entries.chain([restart]).flatten().min()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What time, and the absence of others, bring about.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let all: Vec<Generation> = self.entries.keys().copied().collect();
        for generation in all {
            let Some(entry) = self.entries.get_mut(&generation) else { continue };
            let over = entry.phase_until.is_some_and(|until| now >= until);
            let too_late = entry.ready_deadline.is_some_and(|deadline| now >= deadline);
            let settled = entry.queues_empty && entry.settle_until.is_some_and(|until| now >= until);
            match entry.phase {
                Phase::Settling if settled || over => self.drain(now, generation),
                Phase::Draining if over => self.end(now, generation),
                Phase::Starting | Phase::Switching | Phase::Serving if too_late => {
                    self.newcomer_failed(now, generation, Failure::NotReady(generation));
                }
                Phase::Starting
                | Phase::Switching
                | Phase::Serving
                | Phase::Settling
                | Phase::Draining
                | Phase::Ending => {}
            }
            if let Some(entry) = self.entries.get_mut(&generation) {
                entry.escalation.handle_timeout(now);
            }
            self.perform_escalation(generation);
        }
        if self.is_stopping() {
            if self.entries.is_empty() && !self.exited {
                self.exited = true;
                self.actions.push_back(Action::Exit(self.exit_code.unwrap_or(0)));
            }
        } else if self.serving.is_none() {
            self.fill_the_place(now);
        } else if !self.busy()
            && let Some(request) = self.waiting.pop_front()
        {
            self.start_reload(now, request);
        }
    }
}
