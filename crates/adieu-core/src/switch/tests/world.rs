//! A driver for the machine that performs its actions in a world of its own, and checks the invariants.

use std::collections::{BTreeMap, BTreeSet};

use super::super::state::LIVE_GENERATIONS;
use super::super::{Action, Event, Generation, Phase, Policy, RequestId, Step, Switch};
use crate::Timestamp;
use crate::outcome::Outcome;

/// One generation as it really is.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub(super) main_gone: bool,
    pub(super) tree_gone: bool,
    pub(super) ready: bool,
    asked_main: bool,
    asked_rest: bool,
    pub(super) killed: bool,
    pub(super) watches_queues: bool,
    pub(super) watches_owed: bool,
    pub(super) pre_stop: bool,
    pub(super) exclusive: bool,
}

/// The machine, what runs, and what clients see.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) machine: Switch,
    pub(super) now: Timestamp,
    pub(super) programs: BTreeMap<Generation, Program>,
    retired: BTreeSet<Generation>,
    /// Where new connections go: a generation that has been ready.
    target: Option<Generation>,
    /// Whose listeners are held for the next generation.
    held: bool,
    /// The switch that has to be answered next.
    pub(super) switching: Option<Generation>,
    pub(super) requests: BTreeMap<RequestId, Option<bool>>,
    stopping: bool,
    forced: bool,
    pub(super) exited: Option<i32>,
    /// What has happened, for a failure's message.
    pub(super) told: Vec<(Timestamp, Event)>,
    pub(super) performed: Vec<Action>,
}

impl World {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            machine: Switch::new(policy),
            now: Timestamp::ZERO,
            programs: BTreeMap::new(),
            retired: BTreeSet::new(),
            target: None,
            held: false,
            switching: None,
            requests: BTreeMap::new(),
            stopping: false,
            forced: false,
            exited: None,
            told: Vec::new(),
            performed: Vec::new(),
        }
    }

    /// What distinguishes this state from others: not how it came about.
    pub(super) fn key(&self) -> String {
        let Self { machine, now, programs, target, held, switching, requests, stopping, forced, exited, .. } = self;
        format!(
            "{machine:?} {now:?} {programs:?} {target:?} {held} {switching:?} {requests:?} {stopping} {forced} {exited:?}"
        )
    }

    pub(super) fn fail(&self, what: &str) -> ! {
        let told: Vec<String> = self.told.iter().map(|(at, event)| format!("{at} {event:?}")).collect();
        panic!("{what}\n{}\nactions: {:?}\n{:#?}", told.join("\n"), self.performed, self.machine);
    }

    fn check(&self, holds: bool, what: &str) {
        if !holds {
            self.fail(what);
        }
    }

    /// Tells the machine, and performs what it says.
    pub(super) fn tell(&mut self, event: Event) {
        self.told.push((self.now, event));
        self.happens(event);
        self.machine.handle(self.now, event);
        while let Some(action) = self.machine.poll_action() {
            self.performed.push(action);
            self.perform(action);
        }
        self.invariants(event);
    }

    /// What the event says about the world.
    fn happens(&mut self, event: Event) {
        match event {
            Event::Reload(request) => {
                self.check(!self.requests.contains_key(&request), "the test asks for the same reload twice");
                self.requests.insert(request, None);
            }
            Event::Stop => self.stopping = true,
            Event::Force => (self.stopping, self.forced) = (true, true),
            Event::Ready(generation) => self.change(generation, |program| program.ready = true),
            Event::Switched(generation) => {
                self.target = Some(generation);
                self.switching = None;
            }
            Event::SwitchFailed(_) => self.switching = None,
            Event::QueuesEmpty(generation) => self.change(generation, |program| program.watches_queues = false),
            Event::Drained(generation) => self.change(generation, |program| program.watches_owed = false),
            Event::Exclusive(generation) => self.change(generation, |program| program.exclusive = true),
            Event::PreStopDone(generation) => self.change(generation, |program| program.pre_stop = false),
            Event::MainExited(generation, _) => self.change(generation, |program| program.main_gone = true),
            Event::TreeGone(generation) => self.change(generation, |program| {
                (program.main_gone, program.tree_gone) = (true, true);
            }),
            Event::Start | Event::Timeout => {}
        }
    }

    fn change(&mut self, generation: Generation, change: impl FnOnce(&mut Program)) {
        if let Some(program) = self.programs.get_mut(&generation) {
            change(program);
        }
    }

    fn perform(&mut self, action: Action) {
        self.check(self.exited.is_none(), &format!("{action:?} after the exit"));
        match action {
            Action::Spawn(generation, request) => self.spawned(generation, request),
            Action::Switch(generation) => {
                self.check(self.programs[&generation].ready, "switched to before it was ready");
                self.switching = Some(generation);
            }
            Action::Serving(generation) => {
                (self.target, self.held) = (Some(generation), false);
            }
            Action::Hold(_) => self.held = true,
            Action::WatchQueues(generation) => self.change(generation, |program| program.watches_queues = true),
            Action::WatchOwed(generation) => self.change(generation, |program| program.watches_owed = true),
            Action::RunPreStop(generation, _) => self.change(generation, |program| program.pre_stop = true),
            Action::AskMain(generation) => {
                self.check(!self.programs[&generation].asked_main, "the main process is asked twice");
                self.change(generation, |program| program.asked_main = true);
            }
            Action::AskRest(generation) => {
                let program = &self.programs[&generation];
                self.check(program.main_gone && !program.asked_rest, "the rest is asked too early or twice");
                self.change(generation, |program| program.asked_rest = true);
            }
            Action::Kill(generation) => {
                let due = self.machine.deadline(generation).is_some_and(|deadline| self.now >= deadline);
                // A second stop forces, too; the test counts stops by time.
                let twice = self.told.iter().filter(|(_, event)| *event == Event::Stop).count() > 1;
                self.check(due || self.forced || twice, "killed before the deadline, and nobody asked for force");
                self.change(generation, |program| program.killed = true);
            }
            Action::Retire(generation, _, _) => {
                self.check(self.programs[&generation].tree_gone, "retired while something of it is left");
                let first = self.retired.insert(generation);
                self.check(first, "retired twice");
                self.programs.remove(&generation);
            }
            Action::Progress(request, step) => self.progressed(request, step),
            Action::Exit(code) => self.exited = Some(code),
        }
    }

    fn spawned(&mut self, generation: Generation, request: Option<RequestId>) {
        self.check(!self.programs.contains_key(&generation) && !self.retired.contains(&generation), "started twice");
        self.check(!self.stopping, "started although everything is being stopped");
        if !self.machine.policy.overlap {
            self.check(self.programs.is_empty(), "two at once without overlap");
        }
        let old = self.machine.serving().and_then(|serving| self.programs.get(&serving));
        self.check(!old.is_some_and(|old| old.exclusive), "started beside one that is exclusive");
        if let Some(request) = request {
            self.check(self.requests.get(&request) == Some(&None), "started for a reload that is over");
        }
        self.programs.insert(generation, Program::default());
        self.check(self.programs.len() <= LIVE_GENERATIONS, "too many at once");
    }

    /// A reload ends with one step: drained, or failed. After `Settled` a failure is none of its business any more.
    fn progressed(&mut self, request: RequestId, step: Step) {
        let Some(end) = self.requests.get(&request).copied() else {
            self.fail("progress of a reload nobody asked for")
        };
        if end.is_some() {
            self.fail(&format!("request {request}: {step:?} after its end"));
        }
        match step {
            Step::Drained(_) => self.requests.insert(request, Some(true)),
            Step::Failed(_) => self.requests.insert(request, Some(false)),
            Step::Queued | Step::Starting(_) | Step::Switched(_) | Step::Settled(_) => None,
        };
    }

    fn invariants(&self, event: Event) {
        self.invariant_nobody_is_refused();
        self.invariant_at_most_one_newcomer_is_not_ready();
        self.invariant_every_stop_has_an_end();
        self.invariant_an_exit_leaves_nothing();
        if event == Event::Timeout {
            let again = self.machine.poll_timeout();
            self.check(again.is_none_or(|at| at > self.now), "a time-out that is handled is over");
        }
    }

    /// From the first ready on, somebody who can take new connections has them, or they wait for the next one.
    fn invariant_nobody_is_refused(&self) {
        let Some(target) = self.target else { return };
        if self.stopping || self.exited.is_some() || self.machine.is_stopping() || self.switching.is_some() {
            return;
        }
        let lives = self.programs.get(&target).is_some_and(|program| program.ready && !program.main_gone);
        self.check(lives || self.held, "new connections go to a generation that is gone, and are not held");
    }

    /// Beside the one that has the place, ready or not: a program that never listens can be replaced too.
    fn invariant_at_most_one_newcomer_is_not_ready(&self) {
        let starting = self.machine.statuses().filter(|status| status.phase == Phase::Starting).count();
        self.check(starting <= 1, "two newcomers are not ready");
    }

    fn invariant_every_stop_has_an_end(&self) {
        for (generation, program) in &self.programs {
            let asked = program.asked_main || program.asked_rest || program.killed || program.pre_stop;
            self.check(!asked || self.machine.poll_timeout().is_some(), "a stop without a deadline");
            self.check(!asked || self.machine.deadline(*generation).is_some(), "a stop whose deadline is not known");
        }
    }

    fn invariant_an_exit_leaves_nothing(&self) {
        if self.exited.is_some() {
            self.check(self.programs.is_empty(), "exited while something runs");
            self.check(self.requests.values().all(Option::is_some), "a reload that nobody has answered");
            self.check(self.machine.poll_timeout().is_none(), "exited, and waits for something");
        }
    }

    /// What can happen next in this world. `codes`: how a main process can end.
    pub(super) fn possible(&self, codes: &[Outcome]) -> Vec<Event> {
        if self.exited.is_some() {
            return Vec::new();
        }
        if let Some(generation) = self.switching {
            return vec![Event::Switched(generation), Event::SwitchFailed(generation)];
        }
        let mut events = Vec::new();
        if self.told.is_empty() {
            return vec![Event::Start];
        }
        for (generation, program) in &self.programs {
            let main = !program.main_gone;
            events.extend((main && !program.ready).then_some(Event::Ready(*generation)));
            events.extend(codes.iter().filter(|_| main).map(|code| Event::MainExited(*generation, *code)));
            events.extend((!program.tree_gone && (!main || program.killed)).then_some(Event::TreeGone(*generation)));
            let first = *generation == Generation::FIRST && !program.exclusive;
            events.extend((main && first).then_some(Event::Exclusive(*generation)));
            events.extend(program.watches_queues.then_some(Event::QueuesEmpty(*generation)));
            events.extend(program.watches_owed.then_some(Event::Drained(*generation)));
            events.extend(program.pre_stop.then_some(Event::PreStopDone(*generation)));
        }
        if self.requests.len() < 2 {
            let last = self.requests.keys().next_back().copied();
            events.push(Event::Reload(last.map_or(RequestId::FIRST, RequestId::next)));
        }
        events.extend([Event::Stop, Event::Force].into_iter().filter(|_| !self.stopping));
        events.extend(self.machine.poll_timeout().map(|_| Event::Timeout));
        events
    }

    /// Lets time pass until the machine wants to be called, or only tells it.
    pub(super) fn step(&mut self, event: Event) {
        if event == Event::Timeout
            && let Some(at) = self.machine.poll_timeout()
        {
            self.now = self.now.max(at);
        }
        self.tell(event);
    }

    /// Stops everything, with programs that do nothing by themselves: it must end, and in time.
    pub(super) fn liveness(mut self) {
        if self.exited.is_some() {
            return;
        }
        if let Some(generation) = self.switching {
            self.tell(Event::SwitchFailed(generation));
        }
        let limit = self.now + self.machine.policy.grace + super::seconds(1);
        self.tell(Event::Stop);
        for _ in 0..200 {
            if self.exited.is_some() {
                return;
            }
            let killed: Vec<Generation> = self.programs.iter().filter(|(_, p)| p.killed).map(|(g, _)| *g).collect();
            if killed.is_empty() {
                self.check(self.machine.poll_timeout().is_some(), "stopped, and waits for nothing");
                self.step(Event::Timeout);
            }
            for generation in killed {
                self.tell(Event::TreeGone(generation));
            }
            self.check(self.now <= limit, "a stop took longer than the grace");
        }
        self.fail("a stop never ended");
    }
}
