//! A driver in virtual time that checks the invariants at each step.

mod exhaustive;
mod generated;
mod plans;
mod stops;

use std::collections::BTreeSet;

use super::*;
use crate::Timestamp;
use std::sync::Arc;
use std::time::Duration;

fn component(name: &str, after: &[&str], phases: &[Phase]) -> Component {
    let hooks = phases.iter().map(|phase| Hook { phase: *phase, limit: None }).collect();
    Component { after: after.iter().map(|name| (*name).to_owned()).collect(), hooks, ..Component::new(name) }
}

fn plan(components: Vec<Component>) -> Arc<Plan> {
    Arc::new(Plan::new(components, Policy::default()).expect("a plan"))
}

/// A machine and what a driver has seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    machine: StopPlan,
    now: Timestamp,
    starting: BTreeSet<ComponentId>,
    begun: BTreeSet<ComponentId>,
    started: BTreeSet<ComponentId>,
    running: BTreeSet<(ComponentId, Phase)>,
    ran: BTreeSet<(ComponentId, Phase)>,
    entered: Vec<Phase>,
    forced: bool,
    third: bool,
    finished: bool,
}

impl World {
    fn new(plan: Arc<Plan>) -> Self {
        Self {
            machine: StopPlan::new(plan),
            now: Timestamp::ZERO,
            starting: BTreeSet::new(),
            begun: BTreeSet::new(),
            started: BTreeSet::new(),
            running: BTreeSet::new(),
            ran: BTreeSet::new(),
            entered: Vec::new(),
            forced: false,
            third: false,
            finished: false,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Started(id) => {
                // Too late: the machine has given it up; it was never part of the stop.
                if self.starting.remove(&id) && !matches!(self.machine.start(id), Start::Leaked | Start::Failed(_)) {
                    self.started.insert(id);
                }
            }
            Event::StartFailed(id, _) => {
                self.starting.remove(&id);
            }
            Event::HookEnded(id, phase, _) => {
                self.running.remove(&(id, phase));
            }
            Event::Launch | Event::Close | Event::Signal | Event::Force => {}
        }
        self.machine.handle(self.now, event);
        let _acted = self.perform();
    }

    /// Lets time pass to the next moment that the machine has named; false if there is none.
    fn wait(&mut self) -> bool {
        let Some(next) = self.machine.poll_timeout() else { return false };
        self.now = self.now.max(next);
        self.machine.handle_timeout(self.now);
        let acted = self.perform();
        // What has begun at this very moment and has no time at all is over at the same one.
        let moves = acted || self.machine.poll_timeout().is_none_or(|at| at > self.now);
        assert!(moves, "a timeout that does nothing");
        true
    }

    /// Whether there was anything to do.
    fn perform(&mut self) -> bool {
        let mut acted = false;
        while let Some(action) = self.machine.poll_action() {
            acted = true;
            assert!(!self.finished, "{action:?} after the end");
            match action {
                Action::Start(id) => self.invariant_started_in_order(id),
                Action::Run { component, phase, until, forced } => {
                    self.invariant_run_in_order(component, phase, until, forced);
                }
                Action::Cut { component, phase } => {
                    assert!(self.ran.contains(&(component, phase)), "cut what never ran")
                }
                Action::Enter(phase) => {
                    assert!(self.entered.last().is_none_or(|last| *last < phase), "{phase} after {:?}", self.entered);
                    self.entered.push(phase);
                    self.forced |= phase == Phase::Force;
                }
                Action::Finish => {
                    self.finished = true;
                    self.invariant_each_hook_once();
                }
                Action::CancelStart(id) => assert!(self.begun.contains(&id)),
                Action::OutOfTime(_) | Action::Serving | Action::Stopping { .. } | Action::Leave(..) => {}
            }
        }
        assert_eq!(self.finished, self.machine.state() == State::Ended);
        let needs_time = matches!(self.machine.state(), State::Cancelling | State::Stopping(_));
        assert!(!needs_time || self.machine.poll_timeout().is_some(), "a stop without a deadline");
        acted
    }

    fn invariant_started_in_order(&mut self, id: ComponentId) {
        assert!(self.entered.is_empty(), "started while stopping");
        assert!(self.begun.insert(id), "started twice");
        self.starting.insert(id);
        let plan = Arc::clone(self.machine.plan());
        for needed in plan.after(id.0) {
            assert!(self.started.contains(&ComponentId(needed)), "started before what it needs");
        }
    }

    fn invariant_run_in_order(&mut self, id: ComponentId, phase: Phase, until: Timestamp, forced: bool) {
        assert!(self.started.contains(&id), "stopped what has not started");
        assert!(self.ran.insert((id, phase)), "a hook ran twice");
        self.running.insert((id, phase));
        assert!(until <= self.machine.deadline().expect("a deadline"), "longer than the deadline");
        assert!(!forced || phase.survives_force(), "{phase} although forced");
        assert_eq!(forced, self.forced);
        for (other, _) in self.machine.plan().components() {
            for step in self.machine.steps(other) {
                assert!(step.phase >= phase || !step.is_open(), "{phase} while a hook of {} is open", step.phase);
            }
        }
        let plan = Arc::clone(self.machine.plan());
        let mut above: Vec<usize> = plan.dependents(id.0).collect();
        while let Some(dependent) = above.pop() {
            let open = self.machine.steps(ComponentId(dependent)).iter().any(|s| s.phase == phase && s.is_open());
            assert!(!open, "before its dependents");
            above.extend(plan.dependents(dependent));
        }
    }

    fn invariant_each_hook_once(&self) {
        let deadline = self.machine.deadline();
        assert!(deadline.is_none_or(|deadline| self.now <= deadline), "over the deadline");
        let plan = Arc::clone(self.machine.plan());
        for (id, component) in plan.components() {
            let ran = component.hooks.iter().filter(|hook| self.ran.contains(&(id, hook.phase))).count();
            if !self.started.contains(&id) {
                assert_eq!(ran, 0, "a hook of what never started");
                continue;
            }
            assert_eq!(self.machine.steps(id).len(), component.hooks.len());
            for step in self.machine.steps(id) {
                let StepState::Over(verdict) = step.state else { panic!("{step:?} at the end") };
                let ran = self.ran.contains(&(id, step.phase));
                match verdict {
                    Verdict::Skipped => assert!(!ran && self.forced && !step.phase.survives_force()),
                    Verdict::NotRun => assert!(!ran && self.third, "{step:?} had no turn"),
                    Verdict::Done | Verdict::Failed | Verdict::Panicked => assert!(ran),
                    Verdict::Cut | Verdict::Leaked => assert!(ran),
                }
            }
        }
    }

    /// Every event that can happen now.
    fn possible(&self) -> Vec<Event> {
        let mut events = vec![Event::Close, Event::Signal, Event::Force];
        if self.machine.state() == State::Idle {
            events.push(Event::Launch);
        }
        for id in &self.starting {
            events.extend([Event::Started(*id), Event::StartFailed(*id, End::Failed)]);
        }
        events.extend(self.running.iter().map(|(id, phase)| Event::HookEnded(*id, *phase, End::Done)));
        events
    }

    fn signal_is_third(&self) -> bool {
        let mut requests = self.machine.requests();
        requests.count(self.now) == Request::Third
    }

    fn step(&mut self, event: Event) {
        self.third |= event == Event::Signal && self.signal_is_third();
        self.handle(event);
    }
}
