//! Whether and when a program that ended by itself is started again.
//!
//! The delay doubles with each short life, from a tenth of a second to half a minute, and starts over after a life of ten
//! seconds (the usual shape of capped exponential backoff; systemd.service(5) RestartSteps).

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// When to start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never: the end of the program is the end of the run.
    #[default]
    Never,
    /// After a code other than 0, or a signal.
    OnFailure,
    /// After every end.
    Always,
}

/// A restart policy that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown restart policy {0:?}: use never, on-failure or always")]
pub struct UnknownRestart(String);

impl FromStr for Restart {
    type Err = UnknownRestart;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            "on-failure" => Ok(Self::OnFailure),
            "always" => Ok(Self::Always),
            other => Err(UnknownRestart(other.to_owned())),
        }
    }
}

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
const LONG_LIFE: Duration = Duration::from_secs(10);
/// So many short lives in a row are called a crash loop.
const CRASH_LOOP: u32 = 5;

/// Counts short lives.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    short_lives: u32,
}

impl Backoff {
    /// A life of this length has ended: how long to wait before the next.
    pub fn after_life_of(&mut self, life: Duration) -> Duration {
        if life >= LONG_LIFE {
            self.short_lives = 0;
            return FIRST;
        }
        let delay = FIRST.saturating_mul(1u32.checked_shl(self.short_lives).unwrap_or(u32::MAX)).min(LONGEST);
        self.short_lives = self.short_lives.saturating_add(1);
        delay
    }

    /// Whether the program keeps dying right after its start.
    #[must_use]
    pub fn is_crash_loop(&self) -> bool {
        self.short_lives >= CRASH_LOOP
    }
}

impl Restart {
    /// Whether the policy wants a new life after `outcome`.
    #[must_use]
    pub fn applies_to(self, outcome: Outcome) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => !outcome.is_success(),
            Self::Always => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_is_capped_and_starts_over() {
        let mut backoff = Backoff::default();
        let delays: Vec<u128> = (0..12).map(|_| backoff.after_life_of(Duration::ZERO).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000]);
        assert!(backoff.is_crash_loop());
        assert_eq!(backoff.after_life_of(Duration::from_secs(10)).as_millis(), 100);
        assert!(!backoff.is_crash_loop());
        // A long life is none of the short ones in a row.
        for life in 1..=5 {
            backoff.after_life_of(Duration::ZERO);
            assert_eq!(backoff.is_crash_loop(), life == 5, "after {life} short lives");
        }
        for _ in 0..100 {
            assert!(backoff.after_life_of(Duration::ZERO) <= LONGEST);
        }
    }
}
