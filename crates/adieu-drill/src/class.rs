//! The ways in which a request can end.

use std::fmt;
use std::time::Duration;

/// A reset that comes later than this after the write, with no FIN before it, is a loss: somebody had the request. Long
/// enough for a machine that is busy with something else, and shorter than a request that people call slow.
pub const RACE: Duration = Duration::from_millis(20);

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A whole answer with a status below 500 and the expected body.
    Ok,
    /// The connection was refused, or no way leads there.
    Refused,
    /// Closed or reset before the first byte of an answer.
    Reset,
    /// Closed or reset in the middle of an answer.
    Cut,
    /// No whole answer in time.
    Timeout,
    /// A status of 500 or more.
    ServerError,
    /// Not HTTP, not the expected body, or another status (below 500) than before the load.
    WrongBody,
    /// A reused idle connection was closed as the client wrote on it; see the crate's documentation. Not a loss.
    Race,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Refused,
        Self::Reset,
        Self::Cut,
        Self::Timeout,
        Self::ServerError,
        Self::WrongBody,
        Self::Race,
    ];

    /// Whether a request that ends so is lost.
    #[must_use]
    pub fn is_lost(self) -> bool {
        !matches!(self, Self::Ok | Self::Race)
    }

    /// Its name in JSON.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Cut => "cut",
            Self::Timeout => "timeout",
            Self::ServerError => "server_error",
            Self::WrongBody => "wrong_body",
            Self::Race => "race",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Cut => "cut off",
            Self::Timeout => "timeout",
            Self::ServerError => "5xx",
            Self::WrongBody => "wrong body",
            Self::Race => "race",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
