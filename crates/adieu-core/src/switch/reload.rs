//! The way in: a reload is asked for, the newcomer gets ready, the connections are switched, the old one drains.

use super::generation::{Entry, Phase};
use super::state::{LIVE_GENERATIONS, Switch, WAITING_RELOADS};
use super::{Action, Failure, Generation, RequestId, Step};
use crate::Timestamp;

impl Switch {
    pub(super) fn reload(&mut self, now: Timestamp, request: RequestId) {
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
        let newcomer = |g| self.entries.get(&g).is_some_and(|entry: &Entry| entry.request.is_some() && !entry.ready);
        self.next.is_some()
            || self.replacing.is_some()
            || self.going_back
            || self.entries.len() >= LIVE_GENERATIONS
            || self.serving.is_some_and(newcomer)
    }

    pub(super) fn start_reload(&mut self, now: Timestamp, request: RequestId) {
        let exclusive = |g| self.entries.get(&g).is_some_and(|entry: &Entry| entry.exclusive);
        match self.serving {
            Some(old) if !self.policy.overlap || exclusive(old) => {
                self.replacing = Some(request);
                self.hold(old);
                self.drain(now, old);
            }
            Some(_) => self.begin(now, Some(request)),
            None => self.replacing = Some(request),
        }
    }

    pub(super) fn ready(&mut self, generation: Generation) {
        let Some(entry) = self.entries.get_mut(&generation) else { return };
        if entry.ready || entry.main.is_some() || entry.phase == Phase::Ending {
            return;
        }
        entry.ready = true;
        entry.ready_deadline = None;
        match entry.phase {
            Phase::Starting => {
                entry.phase = Phase::Switching;
                self.actions.push_back(Action::Switch(generation));
            }
            Phase::Serving => {
                let request = entry.request.take();
                self.actions.push_back(Action::Serving(generation));
                for step in [Step::Switched(generation), Step::Settled(generation), Step::Drained(generation)] {
                    self.progress(request, step);
                }
            }
            // Replaced before it was ready, and the one that replaced it has died: it can serve after all.
            Phase::Settling | Phase::Draining if self.serving.is_none() => {
                self.actions.push_back(Action::Switch(generation));
            }
            // Replaced before it was ready: what is held is held for the next one.
            Phase::Switching | Phase::Settling | Phase::Draining | Phase::Ending => {}
        }
    }

    pub(super) fn switched(&mut self, now: Timestamp, generation: Generation) {
        if self.serving == Some(generation) {
            return;
        }
        let Some(entry) = self.entries.get_mut(&generation) else { return };
        if !matches!(entry.phase, Phase::Switching | Phase::Settling | Phase::Draining) {
            return;
        }
        let rolled_back = entry.phase != Phase::Switching;
        entry.phase = Phase::Serving;
        (entry.phase_until, entry.settle_until, entry.deadline, entry.replaced_by) = (None, None, None, None);
        let request = entry.request;
        self.actions.push_back(Action::Serving(generation));
        (self.restart_at, self.going_back) = (None, false);
        let old = self.serving.replace(generation);
        self.next = self.next.filter(|next| *next != generation);
        if rolled_back {
            // A reload that waited for an empty place is an ordinary one now.
            self.replacing.take().into_iter().for_each(|request| self.waiting.push_front(request));
            return;
        }
        self.progress(request, Step::Switched(generation));
        let settle = now + self.policy.settle;
        match old.and_then(|old| Some((old, self.entries.get_mut(&old)?))) {
            Some((old, entry)) if entry.main.is_none() => {
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
                if let Some(entry) = self.entries.get_mut(&generation) {
                    entry.request = None;
                }
                self.progress(request, Step::Settled(generation));
                self.progress(request, Step::Drained(generation));
            }
        }
    }

    /// The old generation takes nothing new any more: wait until nobody is owed an answer, then stop it.
    pub(super) fn drain(&mut self, now: Timestamp, generation: Generation) {
        let Some(entry) = self.entries.get_mut(&generation) else { return };
        entry.phase = Phase::Draining;
        entry.phase_until = Some(now + self.policy.drain_timeout);
        entry.deadline = Some(now + self.policy.grace);
        self.actions.push_back(Action::WatchOwed(generation));
        if let Some((request, by)) = entry.replaced_by {
            self.progress(Some(request), Step::Settled(by));
        }
    }
}
