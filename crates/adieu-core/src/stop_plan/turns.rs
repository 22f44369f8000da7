//! Whose turn it is, and how long it may take.

use std::sync::Arc;
use std::time::Duration;

use super::budget::{JOIN, share};
use super::progress::{Progress, Start, State, Step, StepState};
use super::{Action, ComponentId, Phase, StopPlan};
use crate::Timestamp;

impl StopPlan {
    /// Begins whatever may begin now.
    pub(super) fn advance(&mut self, now: Timestamp) {
        loop {
            match self.state {
                State::Idle | State::Serving | State::Ended => return,
                State::Starting => {
                    self.begin_starts(now);
                    if self.components.iter().all(|progress| progress.start == Start::Started) {
                        self.state = State::Serving;
                        self.actions.push_back(Action::Serving);
                    }
                    return;
                }
                State::Cancelling => {
                    let waits = |progress: &Progress| matches!(progress.start, Start::Cancelled { .. });
                    if self.components.iter().any(waits) {
                        return;
                    }
                    self.enter(now, Phase::Announce);
                }
                State::Stopping(phase) => {
                    self.begin_hooks(now, phase);
                    if self.components.iter().filter_map(|progress| progress.step(phase)).any(Step::is_open) {
                        return;
                    }
                    if !self.forced {
                        self.actions.push_back(Action::Leave(phase, self.why(phase)));
                    }
                    match phase.next() {
                        Some(next) => self.enter(now, next),
                        None => self.finish(now),
                    }
                }
            }
        }
    }

    fn enter(&mut self, now: Timestamp, phase: Phase) {
        self.state = State::Stopping(phase);
        self.phase_end = self.plan.policy().limit(phase).map(|limit| now + limit);
        if !self.forced {
            self.actions.push_back(Action::Enter(phase));
        }
    }

    fn begin_starts(&mut self, now: Timestamp) {
        let started = |id: usize, all: &[Progress]| all.get(id).is_some_and(|of| of.start == Start::Started);
        for id in self.plan.order().iter().copied() {
            let free = self.plan.after(id).all(|dep| started(dep, &self.components));
            let Some(progress) = self.components.get_mut(id) else { continue };
            if !free || progress.start != Start::Waiting {
                continue;
            }
            let own = self.plan.components().nth(id).and_then(|(_, component)| component.start_limit);
            let until = own.or(self.plan.policy().start).map(|limit| now + limit);
            progress.start = Start::Running { until };
            self.actions.push_back(Action::Start(ComponentId(id)));
        }
    }

    /// Begins the hooks of `phase` for which all that depend on their component are through with that phase.
    fn begin_hooks(&mut self, now: Timestamp, phase: Phase) {
        let plan = Arc::clone(&self.plan);
        let mut busy = vec![false; self.components.len()];
        for id in plan.order().iter().rev().copied() {
            let blocked = plan.dependents(id).any(|of| busy.get(of).copied().unwrap_or(false));
            let state = self.components.get(id).and_then(|progress| progress.step(phase)).map(|step| step.state);
            if !blocked && state == Some(StepState::Waiting) {
                self.begin_hook(now, id, phase);
            }
            let step = self.components.get(id).and_then(|progress| progress.step(phase));
            let open = blocked || step.is_some_and(Step::is_open);
            busy.get_mut(id).into_iter().for_each(|busy| *busy = open);
        }
    }

    fn begin_hook(&mut self, now: Timestamp, id: usize, phase: Phase) {
        let own = self.plan.hook(id, phase).and_then(|hook| hook.limit);
        let below = self.below(id, phase);
        let later = Phase::WORK.map(|other| if other > phase { self.longest(other) } else { 0 }).iter().sum::<u32>();
        let left = self.deadline.unwrap_or(now).since(now);
        let mut most = share(left, below + later);
        if let Some(end) = self.phase_end {
            most = most.min(share(end.since(now), below));
        }
        let join = JOIN.min(most / 4);
        let run = own.unwrap_or(Duration::MAX).min(most.saturating_sub(join));
        let (until, leaked) = (now + run, now + run + join);
        if let Some(step) = self.components.get_mut(id).and_then(|progress| progress.step_mut(phase)) {
            step.state = StepState::Running { until, leaked };
            step.begun = Some(now);
        }
        let (component, forced) = (ComponentId(id), self.forced);
        self.actions.push_back(Action::Run { component, phase, until, forced });
    }

    /// The longest chains of waiting hooks in all of `phases`, one after the other.
    pub(super) fn chain(&self, phases: impl IntoIterator<Item = Phase>) -> u32 {
        phases.into_iter().map(|phase| self.longest(phase)).sum()
    }

    /// For each component the longest chain of waiting hooks of `phase` in those that it comes after, itself included.
    fn chains(&self, phase: Phase) -> Vec<u32> {
        let mut chains = vec![0; self.components.len()];
        for id in self.plan.order().iter().copied() {
            let below = self.plan.after(id).filter_map(|dep| chains.get(dep).copied()).max().unwrap_or(0);
            // A start under way may still win the race with its cancellation, and is stopped then.
            let counted = self.components.get(id).filter(|progress| progress.may_stop());
            let mut steps = counted.into_iter().flat_map(|progress| &progress.steps);
            let waits = steps.any(|step| step.phase == phase && step.state == StepState::Waiting);
            chains.get_mut(id).into_iter().for_each(|chain| *chain = below + u32::from(waits));
        }
        chains
    }

    fn longest(&self, phase: Phase) -> u32 {
        self.chains(phase).into_iter().max().unwrap_or(0)
    }

    fn below(&self, id: usize, phase: Phase) -> u32 {
        let chains = self.chains(phase);
        self.plan.after(id).filter_map(|dep| chains.get(dep).copied()).max().unwrap_or(0)
    }
}
