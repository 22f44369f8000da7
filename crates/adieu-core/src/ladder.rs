//! Somebody else's process is asked to end: request, grace, diagnosis, and force only where that was allowed.
//!
//! It differs from [`escalation`](crate::escalation) in what happens at the deadline: that machine owns its tree and kills it;
//! this one owns nothing. It first wants to know why the process is still there, and then kills it only if it was told to, or
//! if a person says so.
//!
//! Invariants: nothing is killed before its deadline, nor without a diagnosis, nor without permission; each step is taken at
//! most once, except the kill, which is repeated until nothing is left or [`KILL_PATIENCE`] is spent; after the end there are
//! no more actions.
//!
//! | state | `request` | pre-stop done | main gone | all gone | time | hopeless | judged | yes | no |
//! |---|---|---|---|---|---|---|---|---|---|
//! | idle | announcing or asked | – | noted | gone | – | – | – | – | – |
//! | announcing | – | asked | rest | gone | asked | – | – | – | – |
//! | asked | – | – | rest | gone | judging | deadline sooner | – | – | – |
//! | rest | – | – | – | gone | judging | deadline sooner | – | – | – |
//! | judging | – | – | noted | gone | – | – | forced, asking, or still there | – | – |
//! | asking | – | – | noted | gone | – | – | – | forced | still there |
//! | forced | – | – | – | forced | kill again, in the end still there | – | – | – | – |

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::escalation::KILL_AGAIN;

/// What SIGKILL has not ended by then, it does not end: a frozen cgroup of version 1, an uninterruptible sleep.
pub const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What cannot work is waited for no longer than this: a program may be about to change its mind.
pub const HOPELESS_GRACE: Duration = Duration::from_secs(2);

/// The part of the grace that a pre-stop leaves for the process itself: at most this, and at most a quarter.
const RESERVE: Duration = Duration::from_secs(2);

/// Whether it may be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    /// No.
    Never,
    /// If a person says so when the grace is spent.
    IfToldSo,
    /// Yes.
    Allowed,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// End it, within `grace`.
    Request {
        /// From now to the diagnosis.
        grace: Duration,
        /// Whether a pre-stop runs first.
        pre_stop: bool,
    },
    /// The pre-stop has ended, in whatever way.
    PreStopDone,
    /// The process has ended; what belongs to it may be there.
    MainGone,
    /// Nothing of it is left.
    AllGone,
    /// It is known that the signal cannot end it.
    Hopeless,
    /// The diagnosis is made.
    Judged,
    /// A person has answered whether it may be killed.
    Answered(bool),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Run the pre-stop, for at most this long.
    RunPreStop(Duration),
    /// Send the signal to the process.
    AskMain,
    /// Send the signal to what is left of its tree.
    AskRest,
    /// Find out why it is still there.
    Judge,
    /// Ask a person whether it may be killed.
    AskPerson,
    /// Have it write down what it is doing, and keep that.
    Dump,
    /// Kill all that is left.
    Kill,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// By itself, in time.
    Gone,
    /// Killed.
    Forced,
    /// Not at all.
    StillThere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Announcing { until: Timestamp, deadline: Timestamp },
    Asked { deadline: Timestamp },
    Rest { deadline: Timestamp },
    Judging,
    Asking,
    Forced { again: Timestamp, give_up: Timestamp },
    Ended(End),
}

/// The machine; see the module's table.
#[derive(Debug, Clone)]
pub struct Ladder {
    state: State,
    force: Force,
    dump: bool,
    main_gone: bool,
    actions: VecDeque<Action>,
}

impl Ladder {
    /// A process that has not been asked to end. With `dump` it is made to write down what it is doing before it is killed.
    #[must_use]
    pub fn new(force: Force, dump: bool) -> Self {
        Self { state: State::Idle, force, dump, main_gone: false, actions: VecDeque::new() }
    }

    /// How it ended; `None` while it has not.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        if let State::Ended(end) = self.state { Some(end) } else { None }
    }

    /// When the grace is spent, while it runs.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Announcing { deadline, .. } | State::Asked { deadline } | State::Rest { deadline } => Some(deadline),
            State::Idle | State::Judging | State::Asking | State::Forced { .. } | State::Ended(_) => None,
        }
    }

    /// Takes an event: each is one column of the module's table.
    pub fn handle(&mut self, now: Timestamp, event: Event) {
        if self.end().is_some() {
            return;
        }
        match event {
            Event::Request { grace, pre_stop } => self.requested(now, grace, pre_stop),
            Event::PreStopDone => self.pre_stop_done(),
            Event::MainGone => self.main_ended(),
            Event::AllGone => self.all_gone(),
            Event::Hopeless => self.hopeless(now),
            Event::Judged => self.judged(now),
            Event::Answered(may_kill) => self.answered(now, may_kill),
        }
    }

    /// Tells the machine that time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        match self.state {
            State::Announcing { deadline, .. } => self.ask_main(deadline),
            State::Asked { .. } | State::Rest { .. } => {
                self.state = State::Judging;
                self.actions.push_back(Action::Judge);
            }
            State::Forced { give_up, .. } if now >= give_up => self.finish(End::StillThere),
            State::Forced { give_up, .. } => {
                self.state = State::Forced { again: now + KILL_AGAIN, give_up };
                self.actions.push_back(Action::Kill);
            }
            State::Idle | State::Judging | State::Asking | State::Ended(_) => {}
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match self.state {
            State::Idle | State::Judging | State::Asking | State::Ended(_) => None,
            State::Announcing { until, .. } => Some(until),
            State::Asked { deadline } | State::Rest { deadline } => Some(deadline),
            State::Forced { again, give_up } => Some(again.min(give_up)),
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn requested(&mut self, now: Timestamp, grace: Duration, pre_stop: bool) {
        if self.state == State::Idle {
            self.begin(now, grace, pre_stop);
        }
    }

    fn pre_stop_done(&mut self) {
        if let State::Announcing { deadline, .. } = self.state {
            self.ask_main(deadline);
        }
    }

    fn main_ended(&mut self) {
        self.main_gone = true;
        if let State::Announcing { deadline, .. } | State::Asked { deadline } = self.state {
            self.ask_rest(deadline);
        }
    }

    fn all_gone(&mut self) {
        let forced = matches!(self.state, State::Forced { .. });
        self.finish(if forced { End::Forced } else { End::Gone });
    }

    fn hopeless(&mut self, now: Timestamp) {
        if let State::Asked { deadline } | State::Rest { deadline } = &mut self.state {
            *deadline = (now + HOPELESS_GRACE).min(*deadline);
        }
    }

    fn judged(&mut self, now: Timestamp) {
        if self.state != State::Judging {
            return;
        }
        match self.force {
            Force::Allowed => self.force(now),
            Force::Never => self.finish(End::StillThere),
            Force::IfToldSo => {
                self.state = State::Asking;
                self.actions.push_back(Action::AskPerson);
            }
        }
    }

    fn answered(&mut self, now: Timestamp, may_kill: bool) {
        if self.state != State::Asking {
            return;
        }
        if may_kill {
            self.force(now);
        } else {
            self.finish(End::StillThere);
        }
    }

    fn begin(&mut self, now: Timestamp, grace: Duration, pre_stop: bool) {
        let deadline = now + grace;
        if self.main_gone {
            self.ask_rest(deadline);
        } else if pre_stop {
            let budget = grace - RESERVE.min(grace / 4);
            self.state = State::Announcing { until: now + budget, deadline };
            self.actions.push_back(Action::RunPreStop(budget));
        } else {
            self.ask_main(deadline);
        }
    }

    fn ask_main(&mut self, deadline: Timestamp) {
        self.state = State::Asked { deadline };
        self.actions.push_back(Action::AskMain);
    }

    fn ask_rest(&mut self, deadline: Timestamp) {
        self.state = State::Rest { deadline };
        self.actions.push_back(Action::AskRest);
    }

    fn force(&mut self, now: Timestamp) {
        self.state = State::Forced { again: now + KILL_AGAIN, give_up: now + KILL_PATIENCE };
        if self.dump && !self.main_gone {
            self.actions.push_back(Action::Dump);
        }
        self.actions.push_back(Action::Kill);
    }

    fn finish(&mut self, end: End) {
        self.state = State::Ended(end);
        self.actions.clear();
    }
}

#[cfg(test)]
mod tests;
