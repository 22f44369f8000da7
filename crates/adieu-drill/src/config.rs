//! What a drill is told.

use std::time::Duration;

use adieu_linux::descriptors;

use crate::class::RACE;
use crate::target::Target;

/// One drill.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is loaded.
    pub target: Target,
    /// The shell command that restarts it.
    pub restart: String,
    /// How often.
    pub count: usize,
    /// Clients, each with one request at a time.
    pub connections: usize,
    /// How many of a hundred clients keep their connection; the others open one for each request.
    pub keepalive: u8,
    /// Load before the first restart, for comparison.
    pub calm: Duration,
    /// Load between the end of one restart command and the next, and after the last.
    pub pause: Duration,
    /// The whole load; sets `pause`, as far as the restarts leave time.
    pub duration: Option<Duration>,
    /// The longest a request may take, and the longest a connection may take to be made.
    pub timeout: Duration,
    /// A restart command that takes longer is killed, and ends the drill.
    pub restart_timeout: Duration,
    /// Text that every body must contain.
    pub expect: Option<String>,
    /// A reset of a reused connection is a race up to this long after the write, see [`Class::Race`](crate::Class::Race);
    /// the time that the fastest connection took to be made is added.
    pub race: Duration,
}

/// A number that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNumber {
    /// Nobody would ask.
    #[error("there must be at least one connection")]
    NoConnections,
    /// More than may be open.
    #[error("{0} connections are more than the {1} files that may be open here (ulimit -n) allow")]
    TooManyConnections(usize, usize),
    /// Not a percentage.
    #[error("keepalive is a percentage from 0 to 100")]
    KeepAlive,
    /// A drill without a restart proves nothing.
    #[error("there must be at least one restart")]
    NoRestarts,
    /// No request could be answered.
    #[error("the longest a request may take must be more than nothing")]
    NoTime,
    /// There would be no load left for the restarts.
    #[error("a load of {0:?} in all leaves nothing after {1:?} of calm")]
    TooShort(Duration, Duration),
}

/// Descriptors that are needed for other things than clients.
const OTHERS: usize = 32;

impl Config {
    /// The defaults of `adieu drill`: 5 restarts, 32 clients, half of them keep-alive.
    #[must_use]
    pub fn new(target: Target, restart: impl Into<String>) -> Self {
        Self {
            target,
            restart: restart.into(),
            count: 5,
            connections: 32,
            keepalive: 50,
            calm: Duration::from_secs(2),
            pause: Duration::from_secs(1),
            duration: None,
            timeout: Duration::from_secs(5),
            restart_timeout: Duration::from_secs(120),
            expect: None,
            race: RACE,
        }
    }

    /// How many clients keep their connection: at least one when any shall.
    #[must_use]
    pub fn kept(&self) -> usize {
        let kept = self.connections * usize::from(self.keepalive.min(100));
        kept.div_ceil(100)
    }

    /// # Errors
    /// The first number that makes no sense.
    pub(crate) fn check(&self) -> Result<(), BadNumber> {
        let files = descriptors::limit();
        if self.connections == 0 {
            Err(BadNumber::NoConnections)
        } else if self.connections > files.saturating_sub(OTHERS) {
            Err(BadNumber::TooManyConnections(self.connections, files))
        } else if self.keepalive > 100 {
            Err(BadNumber::KeepAlive)
        } else if self.count == 0 {
            Err(BadNumber::NoRestarts)
        } else if self.timeout.is_zero() || self.restart_timeout.is_zero() {
            Err(BadNumber::NoTime)
        } else {
            match self.duration {
                Some(whole) if whole <= self.calm => Err(BadNumber::TooShort(whole, self.calm)),
                _ => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_make_no_sense() {
        let good = Config::new(Target::at(([127, 0, 0, 1], 1).into()), "true");
        assert_eq!((good.check(), good.kept()), (Ok(()), 16));
        let bad = |change: fn(&mut Config)| {
            let mut config = good.clone();
            change(&mut config);
            config.check().expect_err("a bad number")
        };
        assert_eq!(bad(|config| config.connections = 0), BadNumber::NoConnections);
        assert!(matches!(bad(|config| config.connections = usize::MAX / 200), BadNumber::TooManyConnections(..)));
        assert_eq!(bad(|config| config.keepalive = 101), BadNumber::KeepAlive);
        assert_eq!(bad(|config| config.count = 0), BadNumber::NoRestarts);
        assert_eq!(bad(|config| config.timeout = Duration::ZERO), BadNumber::NoTime);
        let short = bad(|config| config.duration = Some(Duration::from_secs(2)));
        assert_eq!(short.to_string(), "a load of 2s in all leaves nothing after 2s of calm");
    }

    #[test]
    fn one_client_at_least_keeps_its_connection_when_any_shall() {
        let mut config = Config::new(Target::at(([127, 0, 0, 1], 1).into()), "true");
        for (keepalive, kept) in [(0, 0), (1, 1), (50, 4), (100, 8)] {
            (config.connections, config.keepalive) = (8, keepalive);
            assert_eq!(config.kept(), kept);
        }
    }
}
