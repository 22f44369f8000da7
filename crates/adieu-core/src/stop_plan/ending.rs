//! How a stop begins, is cut short, and is over.

use std::time::Duration;

use super::budget::{JOIN, share};
use super::progress::{Start, State, Step, StepState};
use super::{Action, ComponentId, Phase, StopPlan, Verdict, Why};
use crate::Timestamp;

impl StopPlan {
    pub(super) fn stop(&mut self, now: Timestamp) {
        match self.state {
            State::Idle => self.finish(now),
            State::Starting | State::Serving => {
                let deadline = now + self.plan.policy().grace;
                self.deadline = Some(deadline);
                self.state = State::Cancelling;
                self.actions.push_back(Action::Stopping { deadline });
                let until = now + self.cancel_time(now);
                for (index, progress) in self.components.iter_mut().enumerate() {
                    if let Start::Running { .. } = progress.start {
                        progress.start = Start::Cancelled { until };
                        self.actions.push_back(Action::CancelStart(ComponentId(index)));
                    }
                }
            }
            State::Cancelling | State::Stopping(_) | State::Ended => {}
        }
    }

    /// How long cancelled starts are awaited.
    fn cancel_time(&self, now: Timestamp) -> Duration {
        let left = self.deadline.unwrap_or(now).since(now);
        share(left, self.chain(Phase::WORK)).min(JOIN)
    }

    pub(super) fn force(&mut self, now: Timestamp) {
        self.stop(now);
        if self.forced || self.state == State::Ended {
            return;
        }
        self.forced = true;
        let nearer = now + self.plan.policy().reserve;
        let deadline = self.deadline.map_or(nearer, |deadline| deadline.min(nearer));
        self.deadline = Some(deadline);
        if let State::Stopping(phase) = self.state {
            self.actions.push_back(Action::Leave(phase, Why::Forced));
        }
        self.actions.push_back(Action::Enter(Phase::Force));
        for step in self.components.iter_mut().flat_map(|progress| &mut progress.steps) {
            if step.state == StepState::Waiting && !step.phase.survives_force() {
                step.state = StepState::Over(Verdict::Skipped);
            }
        }
        let left = deadline.since(now);
        let latest = now + share(left, self.chain(Phase::WORK));
        for (index, progress) in self.components.iter_mut().enumerate() {
            if let Start::Cancelled { until } = &mut progress.start {
                *until = latest.min(*until);
            }
            for step in &mut progress.steps {
                match step.state {
                    StepState::Running { leaked, .. } => {
                        let (component, phase) = (ComponentId(index), step.phase);
                        step.state = StepState::Cutting { leaked: latest.min(leaked) };
                        self.actions.push_back(Action::Cut { component, phase });
                    }
                    StepState::Cutting { leaked } => {
                        step.state = StepState::Cutting { leaked: latest.min(leaked) };
                    }
                    StepState::Waiting | StepState::Over(_) => {}
                }
            }
        }
    }

    pub(super) fn why(&self, phase: Phase) -> Why {
        let mut why = Why::Empty;
        for step in self.components.iter().filter_map(|progress| progress.step(phase)) {
            why = match step.state {
                StepState::Over(verdict) if verdict.was_forced() => return Why::Cut,
                StepState::Over(_) => Why::Done,
                StepState::Waiting | StepState::Running { .. } | StepState::Cutting { .. } => why,
            };
        }
        why
    }

    /// Everything is over, or the deadline is here: what has not ended is leaked.
    pub(super) fn finish(&mut self, now: Timestamp) {
        if let State::Stopping(phase) = self.state
            && !self.forced
            && self.components.iter().filter_map(|progress| progress.step(phase)).any(Step::is_open)
        {
            self.actions.push_back(Action::Leave(phase, Why::Forced));
        }
        let mut left = false;
        for (index, progress) in self.components.iter_mut().enumerate() {
            if let Start::Running { .. } | Start::Cancelled { .. } = progress.start {
                progress.start = Start::Leaked;
                left = true;
            }
            let started = progress.start == Start::Started;
            for step in progress.steps.iter_mut().filter(|_| started) {
                match step.state {
                    StepState::Waiting => step.state = StepState::Over(Verdict::NotRun),
                    StepState::Running { .. } => {
                        let (component, phase) = (ComponentId(index), step.phase);
                        self.actions.push_back(Action::Cut { component, phase });
                        step.end(now, Verdict::Leaked);
                    }
                    StepState::Cutting { .. } => step.end(now, Verdict::Leaked),
                    StepState::Over(_) => {}
                }
                left |= matches!(step.state, StepState::Over(Verdict::Leaked | Verdict::NotRun));
            }
        }
        if left && !self.forced {
            self.forced = true;
            self.actions.push_back(Action::Enter(Phase::Force));
        }
        self.state = State::Ended;
        self.actions.push_back(Action::Finish);
    }
}
