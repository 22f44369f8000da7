//! Components of one service: started in order, stopped in reverse, in phases, by one deadline.
//!
//! **Invariants.** A component starts when all that it comes after have started. Only what has started is stopped, each
//! hook of it exactly once, and in every phase only when that phase's hooks of all that depend on it are over. A hook is
//! over when it returns, fails, panics, or has been cut and its time to be joined is spent (it is *leaked* then, and named).
//! Whatever the hooks do, the machine has ended by the deadline.
//!
//! | state | launch | started | start failed | close, first signal | second signal, force | hook ended | time |
//! |---|---|---|---|---|---|---|---|
//! | idle | starting | – | – | ended | ended | – | – |
//! | starting | – | next ones, or serving | stopping | stopping | stopping, forced | – | a start at its limit has failed |
//! | serving | – | – | – | stopping | stopping, forced | – | – |
//! | stopping | – | stopped too | – | – | forced | next hooks, next phase, or ended | hook cut, leaked; ended |
//! | ended | – | – | – | – | – | – | – |
//!
//! *Stopping* first cancels the starts that are under way and waits for them, then goes through the phases
//! announce → quiesce → drain → cleanup → close. A phase ends the moment its work is done. *Forced* means: the deadline is
//! `reserve` from now, what runs is cut, announce, quiesce and drain are skipped, cleanup and close still run in what is left.
//!
//! **Budgets.** A hook may run until the earliest of its own limit, its phase's limit and the deadline, less what the
//! steps that must come after it are left: [`SHARE`] each, or equal parts where there is less. So a hook that never returns
//! takes no other hook's turn, and limits do not add up beyond the deadline.

mod budget;
mod ending;
mod graph;
mod machine;
mod plan;
mod progress;
mod requests;
#[cfg(test)]
mod tests;
mod text;
mod turns;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::budget::{JOIN, Policy, SHARE};
pub use self::machine::StopPlan;
pub use self::plan::{Component, Hook, Plan, PlanError, WorstCase};
pub use self::progress::{Start, State, Step, StepState};
pub use self::requests::{DUPLICATE, Request, Requests, SECOND_DUPLICATE};

/// The phases of a stop, always in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Lame duck: not ready any more, deregistered, subscribers told; still serving.
    Announce,
    /// Nothing new comes in.
    Quiesce,
    /// What is in flight finishes.
    Drain,
    /// The application's farewell work, while everything it depends on is still up.
    Cleanup,
    /// Components stop.
    Close,
    /// What is left is cancelled, and named.
    Force,
}

impl Phase {
    /// The phases that hooks run in.
    pub const WORK: [Self; 5] = [Self::Announce, Self::Quiesce, Self::Drain, Self::Cleanup, Self::Close];

    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Announce => "announce",
            Self::Quiesce => "quiesce",
            Self::Drain => "drain",
            Self::Cleanup => "cleanup",
            Self::Close => "close",
            Self::Force => "force",
        }
    }

    /// The phase whose hooks run after this one's.
    #[must_use]
    pub(crate) const fn next(self) -> Option<Self> {
        match self {
            Self::Announce => Some(Self::Quiesce),
            Self::Quiesce => Some(Self::Drain),
            Self::Drain => Some(Self::Cleanup),
            Self::Cleanup => Some(Self::Close),
            Self::Close | Self::Force => None,
        }
    }

    /// Whether its hooks run although force was asked for.
    #[must_use]
    pub const fn survives_force(self) -> bool {
        match self {
            Self::Announce | Self::Quiesce | Self::Drain => false,
            Self::Cleanup | Self::Close | Self::Force => true,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A component, by its place in the [`Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ComponentId(pub usize);

/// How a hook or a start ended, as the driver tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It returned.
    Done,
    /// It returned an error.
    Failed,
    /// It panicked.
    Panicked,
}

/// What has become of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It returned in time.
    Done,
    /// It returned an error in time.
    Failed,
    /// It panicked.
    Panicked,
    /// It was out of time, was cancelled, and has ended then.
    Cut,
    /// It was out of time, was cancelled, and has not ended.
    Leaked,
    /// Force was asked for before its turn.
    Skipped,
    /// The deadline came before its turn: only a driver that was late itself sees this.
    NotRun,
}

impl Verdict {
    /// Whether this hook did not do its work in the time it had.
    #[must_use]
    pub const fn was_forced(self) -> bool {
        match self {
            Self::Done | Self::Failed | Self::Panicked => false,
            Self::Cut | Self::Leaked | Self::Skipped | Self::NotRun => true,
        }
    }

    /// The verdict in a word or two.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Cut => "cut",
            Self::Leaked => "leaked",
            Self::Skipped => "skipped",
            Self::NotRun => "not run",
        }
    }
}

/// Why a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// There was nothing to do.
    Empty,
    /// All its work was done.
    Done,
    /// Some of its work was out of time.
    Cut,
    /// Force was asked for, or the deadline came.
    Forced,
}

impl Why {
    /// The reason in a few words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Empty => "nothing to do",
            Self::Done => "all done",
            Self::Cut => "out of time",
            Self::Forced => "forced",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Start everything.
    Launch,
    /// This component has started.
    Started(ComponentId),
    /// This component could not start, or its start was cancelled.
    StartFailed(ComponentId, End),
    /// Stop: a component failed, the main task has finished, the program asks. Idempotent.
    Close,
    /// A stop signal came: the first stops, a second forces, a third ends everything; see [`Requests`].
    Signal,
    /// Force: as the second signal.
    Force,
    /// This component's hook of this phase is over.
    HookEnded(ComponentId, Phase, End),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Start this component; answer `Started` or `StartFailed`.
    Start(ComponentId),
    /// Cancel this start; answer `StartFailed`, or `Started` if it was too late.
    CancelStart(ComponentId),
    /// This start has reached its limit; the stop follows.
    OutOfTime(ComponentId),
    /// Everything has started.
    Serving,
    /// The stop begins. The deadline can only come nearer from now on.
    Stopping {
        /// When it is over at the latest.
        deadline: crate::Timestamp,
    },
    /// A phase begins.
    Enter(Phase),
    /// Run this component's hook of this phase; answer `HookEnded`.
    Run {
        /// Whose.
        component: ComponentId,
        /// Which.
        phase: Phase,
        /// When it is cut.
        until: crate::Timestamp,
        /// Whether force was asked for.
        forced: bool,
    },
    /// This hook is out of time: cancel it; answer `HookEnded` when it has ended.
    Cut {
        /// Whose.
        component: ComponentId,
        /// Which.
        phase: Phase,
    },
    /// A phase is over.
    Leave(Phase, Why),
    /// Everything is over.
    Finish,
}
