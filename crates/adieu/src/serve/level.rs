//! How far the stop of one server is, for all of its connections to look at.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

/// How far the stop of a server is. Only ever rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Level {
    Serving,
    /// Announce: responses ask for no other request on their connection.
    Announced,
    /// Quiesce: the listener is closed.
    Draining,
    /// The linger is over: idle connections end.
    Closing,
    /// The time of handshakes is over too: connections without a whole request end.
    Overdue,
    /// The drain was cut.
    Cut,
}

const LEVELS: [Level; 6] =
    [Level::Serving, Level::Announced, Level::Draining, Level::Closing, Level::Overdue, Level::Cut];

/// The level of one server. All of its connections read it, which costs one load.
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

    /// Raises the level. Wake the connections that sleep after this.
    pub(super) fn raise(&self, to: Level) {
        self.level.fetch_max(to as u8, Ordering::SeqCst);
        if to >= Level::Draining {
            self.begun.cancel();
        }
    }
}
