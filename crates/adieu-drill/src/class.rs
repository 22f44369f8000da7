//! The ways in which a request can end.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// A reset later than this after the write is a loss: the request had been waiting. Long enough for a machine that is busy
/// with something else.
pub const RACE: Duration = Duration::from_millis(20);

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A whole answer with a status below 500 and the expected body.
    Ok,
    /// The connection was refused.
    Refused,
    /// Closed or reset before the first byte of an answer.
    Reset,
    /// Closed or reset in the middle of an answer.
    Cut,
    /// No whole answer in time.
    Timeout,
    /// A status of 500 or more.
    ServerError,
    /// Not HTTP, or not the expected body.
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

    /// Its column in tables.
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
