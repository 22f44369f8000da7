use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Phase;

/// What a step leaves, at least, to each step that must come after it; equal parts where there is less.
pub const SHARE: Duration = Duration::from_secs(1);

/// How long what was cancelled is awaited before it counts as leaked; at most a quarter of what the hook had.
pub const JOIN: Duration = Duration::from_millis(500);

/// The limits of a stop.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// From the request to the end of everything.
    pub grace: Duration,
    /// What is left to cancel, join, clean up and close when force is asked for.
    pub reserve: Duration,
    /// The longest time that a start may take, where the component has no limit of its own.
    pub start: Option<Duration>,
    /// The longest announce phase.
    pub announce: Option<Duration>,
    /// The longest quiesce phase.
    pub quiesce: Option<Duration>,
    /// The longest drain phase.
    pub drain: Option<Duration>,
    /// The longest cleanup phase.
    pub cleanup: Option<Duration>,
    /// The longest close phase.
    pub close: Option<Duration>,
}

impl Default for Policy {
    /// Thirty seconds of grace, thirty seconds at most for each phase, half a second after force.
    fn default() -> Self {
        let phase = Some(Duration::from_secs(30));
        Self {
            grace: Duration::from_secs(30),
            reserve: Duration::from_millis(500),
            start: None,
            announce: phase,
            quiesce: phase,
            drain: phase,
            cleanup: phase,
            close: phase,
        }
    }
}

impl Policy {
    /// The longest time of `phase`.
    #[must_use]
    pub const fn limit(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Announce => self.announce,
            Phase::Quiesce => self.quiesce,
            Phase::Drain => self.drain,
            Phase::Cleanup => self.cleanup,
            Phase::Close => self.close,
            Phase::Force => Some(self.reserve),
        }
    }

    /// The same, to be set; `None` for [`Phase::Force`], whose time is `reserve`.
    #[must_use]
    pub const fn limit_mut(&mut self, phase: Phase) -> Option<&mut Option<Duration>> {
        match phase {
            Phase::Announce => Some(&mut self.announce),
            Phase::Quiesce => Some(&mut self.quiesce),
            Phase::Drain => Some(&mut self.drain),
            Phase::Cleanup => Some(&mut self.cleanup),
            Phase::Close => Some(&mut self.close),
            Phase::Force => None,
        }
    }
}

/// How much of `left` a step may use that `following` steps must come after.
pub(super) fn share(left: Duration, following: u32) -> Duration {
    let parts = following.saturating_add(1);
    let equal = left / parts;
    equal.max(left.saturating_sub(SHARE.saturating_mul(following)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_leaves_a_share_to_each_that_follows() {
        let seconds = Duration::from_secs;
        assert_eq!(share(seconds(30), 0), seconds(30));
        assert_eq!(share(seconds(30), 4), seconds(26));
        assert_eq!(share(seconds(2), 3), Duration::from_millis(500));
        assert_eq!(share(Duration::ZERO, 3), Duration::ZERO);
    }
}
