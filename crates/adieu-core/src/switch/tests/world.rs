//! What runs, what the driver owes an answer to, and what can happen next.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::super::{Action, Event, Generation, Policy, Request, Switch};
use super::{KILLED, TERMINATED, seconds};
use crate::Timestamp;
use crate::outcome::Outcome;
use crate::restart::Restart;

/// One generation as it really is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Life {
    pub(super) ready: bool,
    pub(super) main: Option<Outcome>,
    pub(super) tree_gone: bool,
    /// Since when it has been on its way out; its grace period runs.
    pub(super) leaving: Option<Timestamp>,
    pub(super) asked_main: bool,
    pub(super) asked_rest: bool,
    pub(super) had_pre_stop: bool,
    pub(super) killed: bool,
    /// What the driver watches, and will say once.
    pub(super) watches_queues: bool,
    pub(super) watches_owed: bool,
    pub(super) runs_pre_stop: bool,
}

/// One reload as its client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// The furthest step, as a number.
    pub(super) step: u8,
    /// The last answer: whether it was done.
    pub(super) done: Option<bool>,
}

/// How often what is not a matter of course may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) reloads: u8,
    /// Deaths that nobody asked for, and switches that fail.
    pub(super) faults: u8,
    pub(super) stops: u8,
    pub(super) forces: u8,
    /// Moments at which nothing is due.
    pub(super) pauses: u8,
}

/// One step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Tell(Event),
    /// A second passes in which nothing is due.
    Pause,
    /// Time passes until the machine wants to be called; something else may come first all the same.
    Reach,
}

/// A moment of the past.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) event: Event,
    pub(super) actions: Vec<Action>,
    before: Option<Rc<Moment>>,
}

/// The machine, the generations, and what clients have been told.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) machine: Switch,
    pub(super) now: Timestamp,
    pub(super) lives: BTreeMap<Generation, Life>,
    pub(super) last: Generation,
    /// Where new connections go: a generation that has been ready.
    pub(super) target: Option<Generation>,
    /// They wait in listeners that are held for the next generation.
    pub(super) held: bool,
    /// Switches that the driver has not answered yet, in its order.
    pub(super) switches: VecDeque<Generation>,
    pub(super) requests: BTreeMap<Request, Asked>,
    pub(super) stop: Option<Timestamp>,
    pub(super) forced: bool,
    /// The generation whose code is the code of the run, once it is being stopped.
    pub(super) speaks: Option<Option<Generation>>,
    pub(super) code: Option<i32>,
    pub(super) exited: Option<i32>,
    /// What is told is true, and every switch is answered.
    pub(super) honest: bool,
    pub(super) left: Left,
    pub(super) history: Option<Rc<Moment>>,
}

impl World {
    pub(super) fn new(policy: Policy, left: Left) -> Self {
        Self {
            machine: Switch::new(policy),
            now: Timestamp::ZERO,
            lives: BTreeMap::new(),
            last: 0,
            target: None,
            held: false,
            switches: VecDeque::new(),
            requests: BTreeMap::new(),
            stop: None,
            forced: false,
            speaks: None,
            code: None,
            exited: None,
            honest: true,
            left,
            history: None,
        }
    }

    /// What has happened, oldest first.
    pub(super) fn history(&self) -> Vec<Rc<Moment>> {
        let mut all: Vec<_> = std::iter::successors(self.history.clone(), |moment| moment.before.clone()).collect();
        all.reverse();
        all
    }

    pub(super) fn performed(&self) -> Vec<Action> {
        self.history().iter().flat_map(|moment| moment.actions.clone()).collect()
    }

    /// Ends the test with everything that led here.
    pub(super) fn fail(&self, what: &str) -> ! {
        let line = |moment: Rc<Moment>| format!("{} {:?} -> {:?}", moment.at, moment.event, moment.actions);
        let history: Vec<String> = self.history().into_iter().map(line).collect();
        panic!("{what}\n{:?}\n{}\nnow {} {:?}", self.machine.policy, history.join("\n"), self.now, self.machine);
    }

    pub(super) fn take(&mut self, step: Move) {
        match step {
            Move::Tell(event) => self.tell(event),
            Move::Pause => {
                self.left.pauses = self.left.pauses.saturating_sub(1);
                self.now = self.now + seconds(1);
            }
            Move::Reach => self.now = self.machine.poll_timeout().map_or(self.now, |at| at.max(self.now)),
        }
    }

    /// Tells the machine, and performs what it says.
    pub(super) fn tell(&mut self, event: Event) {
        let told = self.heard(event);
        self.machine.handle(self.now, event);
        let actions: Vec<Action> = std::iter::from_fn(|| self.machine.poll_action()).collect();
        let (at, before) = (self.now, self.history.take());
        self.history = Some(Rc::new(Moment { at, event, actions: actions.clone(), before }));
        let judged = told.and_then(|()| actions.iter().try_for_each(|action| self.perform(*action)));
        if let Err(violation) = judged.and_then(|()| self.invariants(event)) {
            self.fail(&violation);
        }
    }

    /// Lets time pass until the machine wants to be called, and calls it.
    pub(super) fn wait(&mut self) {
        self.take(Move::Reach);
        self.tell(Event::Timeout);
    }

    /// Answers the next switch, as well as it can be.
    pub(super) fn answer_the_switch(&self) -> Option<Event> {
        let generation = *self.switches.front()?;
        let there = self.lives.contains_key(&generation);
        Some(if there { Event::Switched(generation) } else { Event::SwitchFailed(generation) })
    }

    /// Several events at once.
    pub(super) fn tell_all(&mut self, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.tell(event));
    }

    /// What the event says about the world.
    fn heard(&mut self, event: Event) -> Result<(), String> {
        let left = &mut self.left;
        match event {
            Event::Reload(request) => {
                left.reloads = left.reloads.saturating_sub(1);
                self.requests.insert(request, Asked { step: 0, done: None });
            }
            Event::Stop => {
                left.stops = left.stops.saturating_sub(1);
                let first = *self.stop.get_or_insert(self.now);
                self.forced |= self.now - first >= seconds(1);
            }
            Event::Force => {
                left.forces = left.forces.saturating_sub(1);
                self.stop.get_or_insert(self.now);
                self.forced = true;
            }
            Event::Ready(generation) => self.change(generation, |life| life.ready |= life.main.is_none()),
            Event::Switched(generation) => {
                self.switches.pop_front();
                (self.target, self.held) = (Some(generation), false);
            }
            Event::SwitchFailed(generation) => {
                left.faults = left.faults.saturating_sub(u8::from(self.lives.contains_key(&generation)));
                self.switches.pop_front();
            }
            Event::QueuesEmpty(generation) => self.change(generation, |life| life.watches_queues = false),
            Event::Drained(generation) => self.change(generation, |life| life.watches_owed = false),
            Event::PreStopDone(generation) => self.change(generation, |life| life.runs_pre_stop = false),
            Event::MainExited(generation, outcome) => {
                self.unasked(generation, |life| life.asked_main);
                self.main_ends(generation, outcome);
            }
            Event::TreeGone(generation) => {
                self.unasked(generation, |life| life.main.is_some());
                self.main_ends(generation, KILLED);
                self.change(generation, |life| life.tree_gone = true);
            }
            Event::Start | Event::Timeout => {}
        }
        Ok(())
    }

    fn unasked(&mut self, generation: Generation, asked: impl Fn(&Life) -> bool) {
        if self.lives.get(&generation).is_some_and(|life| !asked(life) && !life.killed) {
            self.left.faults = self.left.faults.saturating_sub(1);
        }
    }

    fn main_ends(&mut self, generation: Generation, outcome: Outcome) {
        let first = self.lives.get(&generation).is_some_and(|life| life.main.is_none());
        if first && self.speaks == Some(Some(generation)) {
            self.code = Some(outcome.exit_code());
        }
        self.change(generation, |life| {
            life.main.get_or_insert(outcome);
        });
    }

    pub(super) fn change(&mut self, generation: Generation, change: impl FnOnce(&mut Life)) {
        if let Some(life) = self.lives.get_mut(&generation) {
            change(life);
        }
    }

    /// What an honest driver can do next: events that its programs and clients bring about, and time.
    pub(super) fn possible(&self) -> Vec<Move> {
        if self.exited.is_some() {
            return Vec::new();
        }
        if self.last == 0 {
            return vec![Move::Tell(Event::Start)];
        }
        let mut events = Vec::new();
        if let Some(switching) = self.switches.front() {
            // Nothing can be sent to one whose sockets are closed.
            let there = self.lives.contains_key(switching);
            events.extend(there.then_some(Event::Switched(*switching)));
            events.extend((!there || self.left.faults > 0).then_some(Event::SwitchFailed(*switching)));
        }
        for (generation, life) in &self.lives {
            self.possible_of(*generation, life, &mut events);
        }
        let next_request = self.requests.last_key_value().map_or(1, |(last, _)| last + 1);
        events.extend((self.left.reloads > 0).then_some(Event::Reload(next_request)));
        events.extend((self.left.stops > 0).then_some(Event::Stop));
        events.extend((self.left.forces > 0).then_some(Event::Force));
        let due = self.machine.poll_timeout();
        events.extend(due.filter(|at| *at <= self.now).map(|_| Event::Timeout));
        let mut moves: Vec<Move> = events.into_iter().map(Move::Tell).collect();
        if due.is_some_and(|at| at > self.now) {
            moves.push(Move::Reach);
        }
        if self.left.pauses > 0 && due.is_none_or(|at| at > self.now + seconds(1)) {
            moves.push(Move::Pause);
        }
        moves
    }

    fn possible_of(&self, generation: Generation, life: &Life, events: &mut Vec<Event>) {
        if life.main.is_none() {
            events.extend(self.machine.awaits_ready(generation).then_some(Event::Ready(generation)));
            let own: &[Outcome] = match (life.killed, life.asked_main, self.machine.policy.restart) {
                (true, _, _) => &[KILLED],
                (false, true, _) => &[TERMINATED],
                (false, false, _) if self.left.faults == 0 => &[],
                // Only there does it matter how it ended.
                (false, false, Restart::OnFailure) => &[Outcome::Exited(0), KILLED],
                (false, false, Restart::Never | Restart::Always) => &[KILLED],
            };
            events.extend(own.iter().map(|outcome| Event::MainExited(generation, *outcome)));
        }
        // Whoever watched it can be killed with it: then nobody saw how the main process ended.
        let gone = life.main.is_some() || life.killed || self.left.faults > 0;
        events.extend(gone.then_some(Event::TreeGone(generation)));
        events.extend(life.watches_queues.then_some(Event::QueuesEmpty(generation)));
        events.extend(life.watches_owed.then_some(Event::Drained(generation)));
        events.extend(life.runs_pre_stop.then_some(Event::PreStopDone(generation)));
    }
}
