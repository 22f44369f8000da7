use std::collections::VecDeque;
use std::sync::Arc;

use super::progress::{Progress, Start, State, Step, StepState};
use super::requests::{Request, Requests};
use super::{Action, ComponentId, End, Event, Phase, Plan, Verdict};
use crate::Timestamp;

/// The machine; see the module's table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StopPlan {
    pub(super) plan: Arc<Plan>,
    pub(super) state: State,
    pub(super) components: Vec<Progress>,
    pub(super) requests: Requests,
    pub(super) forced: bool,
    pub(super) deadline: Option<Timestamp>,
    pub(super) phase_end: Option<Timestamp>,
    pub(super) actions: VecDeque<Action>,
}

impl StopPlan {
    /// Nothing started yet.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let progress = |component: &super::Component| {
            let mut steps: Vec<Step> = Vec::new();
            for hook in &component.hooks {
                steps.push(Step { phase: hook.phase, state: StepState::Waiting, begun: None, over: None });
            }
            Progress { start: Start::Waiting, steps }
        };
        let components = plan.components().map(|(_, component)| progress(component)).collect();
        Self {
            plan,
            state: State::Idle,
            components,
            requests: Requests::default(),
            forced: false,
            deadline: None,
            phase_end: None,
            actions: VecDeque::new(),
        }
    }

    /// Where everything stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// When the stop is over at the latest; `None` before it has begun.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// Whether force was asked for, or the deadline came with work left.
    #[must_use]
    pub fn was_forced(&self) -> bool {
        self.forced
    }

    /// What has become of a component's start.
    #[must_use]
    pub fn start(&self, id: ComponentId) -> Start {
        self.components.get(id.0).map_or(Start::Waiting, |progress| progress.start)
    }

    /// The hooks of a component, if it has started.
    #[must_use]
    pub fn steps(&self, id: ComponentId) -> &[Step] {
        let started = self.components.get(id.0).filter(|progress| progress.start == Start::Started);
        started.map_or(&[], |progress| &progress.steps)
    }

    /// The stop signals that it has counted.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.requests
    }

    /// Takes an event.
    pub fn handle(&mut self, now: Timestamp, event: Event) {
        if self.state == State::Ended {
            return;
        }
        match event {
            Event::Launch => {
                if self.state == State::Idle {
                    self.state = State::Starting;
                }
            }
            Event::Started(id) => self.start_ended(now, id, None),
            Event::StartFailed(id, end) => self.start_ended(now, id, Some(end)),
            Event::Close => self.stop(now),
            Event::Signal => match self.requests.count(now) {
                Request::First => self.stop(now),
                Request::Second => self.force(now),
                Request::Third => self.finish(now),
                Request::Duplicate => {}
            },
            Event::Force => self.force(now),
            Event::HookEnded(id, phase, end) => self.hook_ended(now, id, phase, end),
        }
        self.advance(now);
    }

    /// Tells the machine that time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.finish(now);
            return;
        }
        let mut failed = false;
        for (index, progress) in self.components.iter_mut().enumerate() {
            match progress.start {
                Start::Running { until: Some(until) } if now >= until => {
                    self.actions.push_back(Action::OutOfTime(ComponentId(index)));
                    failed = true;
                }
                Start::Cancelled { until } if now >= until => progress.start = Start::Leaked,
                Start::Running { .. }
                | Start::Cancelled { .. }
                | Start::Waiting
                | Start::Started
                | Start::Failed(_)
                | Start::Leaked => {}
            }
            for step in &mut progress.steps {
                match step.state {
                    StepState::Running { until, leaked } if now >= until => {
                        let (component, phase) = (ComponentId(index), step.phase);
                        step.state = StepState::Cutting { leaked };
                        self.actions.push_back(Action::Cut { component, phase });
                        if now >= leaked {
                            step.end(now, Verdict::Leaked);
                        }
                    }
                    StepState::Cutting { leaked } if now >= leaked => step.end(now, Verdict::Leaked),
                    StepState::Running { .. } | StepState::Cutting { .. } | StepState::Waiting | StepState::Over(_) => {
                    }
                }
            }
        }
        if failed {
            self.stop(now);
        }
        self.advance(now);
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.state == State::Ended {
            return None;
        }
        let start = |start: Start| match start {
            Start::Running { until } => until,
            Start::Cancelled { until } => Some(until),
            Start::Waiting | Start::Started | Start::Failed(_) | Start::Leaked => None,
        };
        let step = |step: &Step| match step.state {
            StepState::Running { until, .. } => Some(until),
            StepState::Cutting { leaked } => Some(leaked),
            StepState::Waiting | StepState::Over(_) => None,
        };
        let starts = self.components.iter().filter_map(|progress| start(progress.start));
        let steps = self.components.iter().flat_map(|progress| &progress.steps).filter_map(step);
        starts.chain(steps).chain(self.deadline).min()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn start_ended(&mut self, now: Timestamp, id: ComponentId, end: Option<End>) {
        let Some(progress) = self.components.get_mut(id.0) else { return };
        match (progress.start, end) {
            (Start::Running { .. } | Start::Cancelled { .. }, None) => progress.start = Start::Started,
            (Start::Running { .. }, Some(end)) => {
                progress.start = Start::Failed(end);
                self.stop(now);
            }
            (Start::Cancelled { .. }, Some(end)) => progress.start = Start::Failed(end),
            (Start::Waiting | Start::Started | Start::Failed(_) | Start::Leaked, _) => {}
        }
    }

    fn hook_ended(&mut self, now: Timestamp, id: ComponentId, phase: Phase, end: End) {
        let Some(step) = self.components.get_mut(id.0).and_then(|progress| progress.step_mut(phase)) else { return };
        match (step.state, end) {
            (StepState::Running { .. }, End::Done) => step.end(now, Verdict::Done),
            (StepState::Running { .. }, End::Failed) => step.end(now, Verdict::Failed),
            (StepState::Running { .. } | StepState::Cutting { .. }, End::Panicked) => step.end(now, Verdict::Panicked),
            (StepState::Cutting { .. }, End::Done | End::Failed) => step.end(now, Verdict::Cut),
            (StepState::Waiting | StepState::Over(_), _) => {}
        }
    }
}
