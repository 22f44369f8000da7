//! The way in: a reload is asked for, the newcomer gets ready, the connections are switched, the old one drains.

use super::generation::{Entry, Phase};
use super::machine::{LIVE_GENERATIONS, Switch, WAITING_RELOADS};
use super::{Action, Failure, Generation, Request, Step};
use crate::Timestamp;

impl Switch {
    pub(super) fn reload(&mut self, now: Timestamp, request: Request) {
        if self.is_stopping() {
            self.progress(Some(request), Step::Failed(Failure::Stopping));
        } else if self.busy() {
            if self.waiting.len() >= WAITING_RELOADS {
                self.progress(Some(request), Step::Failed(Failure::TooMany));
            } else {
                self.waiting.push_back(request);
                self.progress(Some(request), Step::Queued);
            }
        } else {
            self.start_reload(now, request);
        }
    }

    /// Whether a reload has to wait.
    pub(super) fn busy(&self) -> bool {
        let newcomer = |g| self.entries.get(&g).is_some_and(|entry: &Entry| entry.request.is_some());
        self.next.is_some()
            || self.replacing.is_some()
            || self.going_back
            || self.fallen.is_some()
            || self.entries.len() >= LIVE_GENERATIONS
            || self.serving.is_some_and(newcomer)
    }

    pub(super) fn start_reload(&mut self, now: Timestamp, request: Request) {
        match self.serving {
            Some(old) if !self.policy.overlap => {
                self.replacing = Some(request);
                self.hold(old);
                self.drain(now, old);
            }
            Some(_) => self.begin(now, Some(request)),
            None => self.replacing = Some(request),
        }
    }

    pub(super) fn ready(&mut self, generation: Generation) {
        if !self.awaits_ready(generation) {
            return;
        }
        let Some(entry) = self.entries.get_mut(&generation) else { return };
        entry.ready = true;
        entry.ready_deadline = None;
        match entry.phase {
            Phase::Serving => {
                let request = entry.request.take();
                self.fallen = None;
                self.actions.push_back(Action::Serving(generation));
                for step in [Step::Switched(generation), Step::Settled(generation), Step::Drained(generation)] {
                    self.progress(request, step);
                }
            }
            // A newcomer is switched to when no other switch is under way. One that was replaced before it was ready can take
            // over from now on; when its listeners are held, they are held for the next one.
            Phase::Starting | Phase::Switching | Phase::Settling | Phase::Draining | Phase::Ending => {}
        }
    }

    pub(super) fn newcomer_is_ready(&self) -> bool {
        let starting = |entry: &&Entry| entry.ready && entry.phase == Phase::Starting;
        self.next.and_then(|next| self.entries.get(&next)).filter(starting).is_some()
    }

    /// Whether the answer to a switch is still to come that decides who serves.
    pub(super) fn is_switching(&self) -> bool {
        self.entries.values().any(|entry| entry.phase == Phase::Switching)
    }

    pub(super) fn ask_for_the_switch(&mut self) {
        if self.newcomer_is_ready()
            && !self.is_switching()
            && let Some(next) = self.next
            && let Some(entry) = self.entries.get_mut(&next)
        {
            entry.phase = Phase::Switching;
            self.actions.push_back(Action::Switch(next));
        }
    }

    pub(super) fn switched(&mut self, now: Timestamp, generation: Generation) {
        let Some(entry) = self.entries.get_mut(&generation) else { return };
        let before = self.target.replace(generation);
        if entry.phase != Phase::Switching {
            if self.serving != Some(generation) {
                // It was given up while the answer was under way.
                let held = entry.held;
                if !self.switch_back() && !held && !self.is_switching() && !self.is_stopping() {
                    self.hold(generation);
                }
            } else if entry.phase == Phase::Serving && entry.ready && before != Some(generation) {
                self.actions.push_back(Action::Serving(generation));
            }
            return;
        }
        entry.phase = Phase::Serving;
        let request = entry.request.take();
        self.actions.push_back(Action::Serving(generation));
        self.fallen = None;
        let old = self.serving.replace(generation);
        if self.next != Some(generation) {
            return;
        }
        self.next = None;
        self.progress(request, Step::Switched(generation));
        let settle = now + self.policy.settle;
        match old.and_then(|old| Some((old, self.entries.get_mut(&old)?))) {
            Some((old, entry)) if entry.phase == Phase::Serving => {
                entry.phase = Phase::Settling;
                entry.settle_until = Some(settle);
                // A queue that nobody empties must not hold the stop for ever.
                entry.phase_until = Some(settle + self.policy.drain_timeout);
                entry.queues_empty = false;
                entry.replaced_by = request.map(|request| (request, generation));
                self.actions.push_back(Action::WatchQueues(old));
            }
            _ => {
                // The old one died before the switch: nothing to settle, nothing to wait for.
                self.progress(request, Step::Settled(generation));
                self.progress(request, Step::Drained(generation));
            }
        }
    }

    /// The old generation takes nothing new any more: wait until nobody is owed an answer, then stop it.
    pub(super) fn drain(&mut self, now: Timestamp, generation: Generation) {
        let Some(entry) = self.entries.get_mut(&generation) else { return };
        entry.leave(Phase::Draining);
        // Draining is a part of the grace period.
        entry.phase_until = Some(now + self.policy.drain_timeout.min(self.policy.grace));
        entry.deadline = Some(now + self.policy.grace);
        self.actions.push_back(Action::WatchOwed(generation));
        if let Some((request, by)) = entry.replaced_by {
            self.progress(Some(request), Step::Settled(by));
        }
    }
}
