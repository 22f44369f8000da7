//! One process tree is asked to end: request, grace, force.
//!
//! Invariants: the tree is killed at the deadline and not before, unless force is asked for; the main process is asked
//! first, the rest once it has ended; every step is taken at most once, except the kill, which is repeated until the tree
//! is gone (a fork in flight can escape one pass).
//!
//! | state | `request` | pre-stop done | main gone | tree gone | deadline | force |
//! |---|---|---|---|---|---|---|
//! | idle | announcing or asked | – | main gone noted | ended | – | forced |
//! | announcing | – | asked | rest | ended | forced | forced |
//! | asked | – | – | rest | ended | forced | forced |
//! | rest | – | – | – | ended | forced | forced |
//! | forced | – | – | – | ended | kill again | – |
//! | ended | – | – | – | – | – | – |

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How long a kill is given to empty the tree before it is repeated.
pub const KILL_AGAIN: Duration = Duration::from_millis(20);

/// The part of the grace period that a pre-stop hook must leave for the program itself: at most this, and at most a quarter.
const RESERVE: Duration = Duration::from_secs(2);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// End it, by `deadline`.
    Request {
        /// When the tree is killed.
        deadline: Timestamp,
        /// Whether a pre-stop hook runs first.
        pre_stop: bool,
    },
    /// The pre-stop hook has ended, in whatever way.
    PreStopDone,
    /// The main process has ended.
    MainGone,
    /// No process of the tree is left.
    TreeGone,
    /// Kill it now.
    Force,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Run the pre-stop hook, for at most this long.
    RunPreStop(Duration),
    /// Send the stop signal to the main process.
    AskMain,
    /// Send the stop signal to everything else in the tree.
    AskRest,
    /// Kill whatever is in the tree.
    Kill,
}

/// Where the stop stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Not asked yet.
    Idle,
    /// The pre-stop hook runs.
    Announcing,
    /// The main process has been asked.
    Asked,
    /// The main process is gone, the rest has been asked.
    Rest,
    /// Being killed.
    Forced,
    /// Nothing is left.
    Ended,
}

/// The machine; see the module's table.
#[derive(Debug, Clone)]
pub struct Escalation {
    state: State,
    main_gone: bool,
    forced: bool,
    deadline: Option<Timestamp>,
    announce_until: Option<Timestamp>,
    actions: VecDeque<Action>,
}

impl Default for Escalation {
    fn default() -> Self {
        Self::new()
    }
}

impl Escalation {
    /// A tree that has not been asked to end.
    #[must_use]
    pub fn new() -> Self {
        let actions = VecDeque::new();
        Self { state: State::Idle, main_gone: false, forced: false, deadline: None, announce_until: None, actions }
    }

    /// Where the stop stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether anything had to be killed.
    #[must_use]
    pub fn was_forced(&self) -> bool {
        self.forced
    }

    /// When the tree is killed.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// Takes an event.
    pub fn handle(&mut self, now: Timestamp, event: Event) {
        match (self.state, event) {
            (State::Ended, _) => {}
            (_, Event::TreeGone) => {
                self.state = State::Ended;
                self.actions.clear();
            }
            (State::Idle, Event::Request { deadline, pre_stop }) => {
                self.deadline = Some(deadline);
                let grace = deadline - now;
                let budget = grace - RESERVE.min(grace / 4);
                if self.main_gone {
                    self.ask_rest();
                } else if pre_stop && !budget.is_zero() {
                    self.state = State::Announcing;
                    self.announce_until = Some(now + budget);
                    self.actions.push_back(Action::RunPreStop(budget));
                } else {
                    self.ask_main();
                }
            }
            (State::Announcing, Event::PreStopDone) => self.ask_main(),
            (State::Idle, Event::MainGone) => self.main_gone = true,
            (State::Announcing | State::Asked, Event::MainGone) => {
                self.main_gone = true;
                self.ask_rest();
            }
            (State::Idle | State::Announcing | State::Asked | State::Rest, Event::Force) => self.kill(now),
            (State::Forced | State::Rest, Event::MainGone) => self.main_gone = true,
            (State::Announcing | State::Asked | State::Rest | State::Forced, Event::Request { deadline, .. }) => {
                // A second request can only bring the end nearer.
                if self.state != State::Forced && self.deadline.is_none_or(|present| deadline < present) {
                    self.deadline = Some(deadline);
                }
            }
            (State::Idle | State::Asked | State::Rest | State::Forced, Event::PreStopDone)
            | (State::Forced, Event::Force) => {}
        }
    }

    /// Tells the machine that time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        let spent = self.deadline.is_some_and(|deadline| now >= deadline);
        match self.state {
            State::Announcing if !spent => self.ask_main(),
            State::Announcing | State::Asked | State::Rest | State::Forced => self.kill(now),
            State::Idle | State::Ended => {}
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match self.state {
            State::Idle | State::Ended => None,
            State::Announcing => [self.announce_until, self.deadline].into_iter().flatten().min(),
            State::Asked | State::Rest | State::Forced => self.deadline,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn ask_main(&mut self) {
        self.state = State::Asked;
        self.actions.push_back(Action::AskMain);
    }

    fn ask_rest(&mut self) {
        self.state = State::Rest;
        self.actions.push_back(Action::AskRest);
    }

    fn kill(&mut self, now: Timestamp) {
        self.state = State::Forced;
        self.forced = true;
        self.deadline = Some(now + KILL_AGAIN);
        self.actions.push_back(Action::Kill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Timestamp = Timestamp::from_origin(Duration::from_secs(30));

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_origin(Duration::from_secs(seconds))
    }

    fn request(pre_stop: bool) -> Event {
        Event::Request { deadline: DEADLINE, pre_stop }
    }

    /// Every order of events up to this length, with and without time passing between them.
    #[test]
    fn every_order_of_events_keeps_the_invariants() {
        let alphabet =
            [request(false), request(true), Event::PreStopDone, Event::MainGone, Event::TreeGone, Event::Force];
        let mut orders = vec![Vec::new()];
        for _ in 0..5 {
            let longer: Vec<Vec<Option<Event>>> = orders
                .iter()
                .flat_map(|order: &Vec<Option<Event>>| {
                    alphabet.iter().map(|event| Some(*event)).chain([None]).map(move |step| {
                        let mut order = order.clone();
                        order.push(step);
                        order
                    })
                })
                .collect();
            longer.iter().for_each(|order| check(order));
            orders = longer;
        }
    }

    fn check(order: &[Option<Event>]) {
        let mut machine = Escalation::new();
        let mut now = Timestamp::ZERO;
        let (mut asked, mut rest, mut killed, mut forced, mut gone) = (0, 0, 0, false, false);
        for step in order {
            match step {
                Some(event) => {
                    forced |= *event == Event::Force && machine.state() != State::Ended;
                    machine.handle(now, *event);
                    gone |= *event == Event::TreeGone;
                }
                None => {
                    if let Some(next) = machine.poll_timeout() {
                        now = now.max(next);
                        forced |= machine.state() != State::Announcing || now >= DEADLINE;
                        machine.handle_timeout(now);
                    }
                }
            }
            while let Some(action) = machine.poll_action() {
                assert!(!gone, "{order:?}: {action:?} after the tree is gone");
                match action {
                    Action::AskMain => asked += 1,
                    Action::AskRest => rest += 1,
                    Action::Kill => killed += 1,
                    Action::RunPreStop(budget) => assert!(budget < Duration::from_secs(30)),
                }
            }
            assert!(asked <= 1 && rest <= 1, "{order:?}: asked twice");
            assert!(killed == 0 || forced, "{order:?}: killed before its time");
            assert_eq!(machine.was_forced(), killed > 0, "{order:?}");
            assert_eq!(machine.state() == State::Ended, gone, "{order:?}");
            assert!(
                gone || machine.state() == State::Idle || machine.poll_timeout().is_some(),
                "{order:?}: no deadline"
            );
        }
    }

    #[test]
    fn a_pre_stop_hook_that_never_returns_leaves_time_for_the_program() {
        let mut machine = Escalation::new();
        machine.handle(at(0), request(true));
        assert_eq!(machine.poll_action(), Some(Action::RunPreStop(Duration::from_secs(28))));
        machine.handle_timeout(at(28));
        assert_eq!(machine.poll_action(), Some(Action::AskMain));
        machine.handle_timeout(at(30));
        assert_eq!(machine.poll_action(), Some(Action::Kill));
    }

    #[test]
    fn the_kill_is_repeated_until_the_tree_is_gone() {
        let mut machine = Escalation::new();
        machine.handle(at(0), Event::Force);
        for _ in 0..10 {
            assert_eq!(machine.poll_action(), Some(Action::Kill));
            let next = machine.poll_timeout().expect("again");
            machine.handle_timeout(next);
        }
        machine.handle(at(1), Event::TreeGone);
        assert_eq!((machine.poll_action(), machine.poll_timeout()), (None, None));
    }
}
