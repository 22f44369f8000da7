//! How far the stop of one server is, for all of its connections to look at.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

/// How far the stop of a server is. Only ever goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Level {
    Serving,
    /// Announce: answers ask for no other request on their connection.
    Announced,
    /// Quiesce: nothing new is accepted.
    Draining,
    /// The linger is over: idle connections close.
    Closing,
    /// The handshakes' budget is over too: what is no request by now does not get to be one.
    Overdue,
    /// The drain was cut.
    Cut,
}

const LEVELS: [Level; 6] =
    [Level::Serving, Level::Announced, Level::Draining, Level::Closing, Level::Overdue, Level::Cut];

/// What all connections of a server look at: one load for each look.
#[derive(Debug, Default)]
pub(super) struct CurrentLevel {
    level: AtomicU8,
    pub(super) begun: CancellationToken,
}

impl CurrentLevel {
    pub(super) fn get(&self) -> Level {
        let level = usize::from(self.level.load(Ordering::SeqCst));
        LEVELS.get(level).copied().unwrap_or(Level::Cut)
    }

    /// Connections that sleep are to be woken after this.
    pub(super) fn raise(&self, to: Level) {
        self.level.fetch_max(to as u8, Ordering::SeqCst);
        if to >= Level::Draining {
            self.begun.cancel();
        }
    }
}
