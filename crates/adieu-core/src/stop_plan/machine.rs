use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::budget::{JOIN, share};
use super::requests::{Request, Requests};
use super::{Action, ComponentId, End, Event, Phase, Plan, Verdict, Why};
use crate::Timestamp;

/// Where everything stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing has been started.
    Idle,
    /// Components start.
    Starting,
    /// All have started.
    Serving,
    /// Starts under way are being cancelled; then the phases follow.
    Cancelling,
    /// In this phase.
    Stopping(Phase),
    /// Everything is over.
    Ended,
}

/// What has become of a component's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// Not its turn yet; when the stop comes first it never is.
    Waiting,
    /// Under way; failed at `until`.
    Running {
        /// The limit.
        until: Option<Timestamp>,
    },
    /// Cancelled; given up at `until`.
    Cancelled {
        /// When it is not waited for any longer.
        until: Timestamp,
    },
    /// Done.
    Started,
    /// It returned an error, panicked or was cancelled.
    Failed(End),
    /// It was cancelled and has not ended.
    Leaked,
}

/// What has become of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepState {
    /// Not its turn yet, or its component has not started.
    Waiting,
    /// Under way; cut at `until`.
    Running {
        /// When it is cut.
        until: Timestamp,
        /// When it is not waited for any longer.
        leaked: Timestamp,
    },
    /// Cancelled, not ended yet.
    Cutting {
        /// When it is not waited for any longer.
        leaked: Timestamp,
    },
    /// Over.
    Over(Verdict),
}

/// One hook of one component, for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// Which phase's.
    pub phase: Phase,
    /// Where it stands.
    pub state: StepState,
    /// When it was begun.
    pub begun: Option<Timestamp>,
    /// When it was over.
    pub over: Option<Timestamp>,
}

impl Step {
    /// Whether it still has to run or to end.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        match self.state {
            StepState::Waiting | StepState::Running { .. } | StepState::Cutting { .. } => true,
            StepState::Over(_) => false,
        }
    }

    fn end(&mut self, now: Timestamp, verdict: Verdict) {
        self.state = StepState::Over(verdict);
        self.over = Some(now);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Progress {
    start: Start,
    steps: Vec<Step>,
}

impl Progress {
    fn may_stop(&self) -> bool {
        match self.start {
            Start::Running { .. } | Start::Cancelled { .. } | Start::Started => true,
            Start::Waiting | Start::Failed(_) | Start::Leaked => false,
        }
    }

    fn step(&self, phase: Phase) -> Option<&Step> {
        self.steps.iter().find(|step| step.phase == phase).filter(|_| self.start == Start::Started)
    }

    fn step_mut(&mut self, phase: Phase) -> Option<&mut Step> {
        self.steps.iter_mut().find(|step| step.phase == phase).filter(|_| self.start == Start::Started)
    }
}

/// The machine; see the module's table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StopPlan {
    plan: Arc<Plan>,
    state: State,
    components: Vec<Progress>,
    requests: Requests,
    forced: bool,
    deadline: Option<Timestamp>,
    phase_end: Option<Timestamp>,
    actions: VecDeque<Action>,
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

    fn stop(&mut self, now: Timestamp) {
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

    fn force(&mut self, now: Timestamp) {
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

    /// Begins whatever may begin now.
    fn advance(&mut self, now: Timestamp) {
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
    fn chain(&self, phases: impl IntoIterator<Item = Phase>) -> u32 {
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

    fn why(&self, phase: Phase) -> Why {
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
    fn finish(&mut self, now: Timestamp) {
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
