//! How far each component and each of its hooks is.

use super::{End, Phase, Verdict};
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

    pub(super) fn end(&mut self, now: Timestamp, verdict: Verdict) {
        self.state = StepState::Over(verdict);
        self.over = Some(now);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Progress {
    pub(super) start: Start,
    pub(super) steps: Vec<Step>,
}

impl Progress {
    pub(super) fn may_stop(&self) -> bool {
        match self.start {
            Start::Running { .. } | Start::Cancelled { .. } | Start::Started => true,
            Start::Waiting | Start::Failed(_) | Start::Leaked => false,
        }
    }

    pub(super) fn step(&self, phase: Phase) -> Option<&Step> {
        self.steps.iter().find(|step| step.phase == phase).filter(|_| self.start == Start::Started)
    }

    pub(super) fn step_mut(&mut self, phase: Phase) -> Option<&mut Step> {
        self.steps.iter_mut().find(|step| step.phase == phase).filter(|_| self.start == Start::Started)
    }
}
