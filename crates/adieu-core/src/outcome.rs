//! How a program ended, why, and which exit code says so.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::signal::Signal;

/// How a process ended, as its wait status tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It called `exit` with this code.
    Exited(i32),
    /// This signal ended it.
    Signaled(Signal),
}

impl Outcome {
    /// The code that a shell would show: the program's own, or 128+n for signal n.
    #[must_use]
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal.number(),
        }
    }

    /// Whether it ended with code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signaled(signal) => write!(f, "{signal}"),
        }
    }
}

/// Why a generation ended; what the post-stop command is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It exited by itself or because it was asked to.
    Exit,
    /// A signal that adieu did not send ended it.
    Signal,
    /// The kernel killed it for memory.
    Oom,
    /// It kept dying right after its start.
    CrashLoop,
    /// adieu killed it: the grace period was spent.
    Forced,
}

impl Cause {
    /// The word used in the environment of the post-stop command and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Oom => "oom",
            Self::CrashLoop => "crash-loop",
            Self::Forced => "forced",
        }
    }
}

/// The exit codes that all commands share.
pub mod code {
    /// Done.
    pub const DONE: i32 = 0;
    /// A finding, or something was lost.
    pub const FINDING: i32 = 1;
    /// Wrong use of the command.
    pub const USAGE: i32 = 2;
    /// It ended, but by force.
    pub const FORCED: i32 = 3;
    /// It is still there.
    pub const STILL_THERE: i32 = 4;
    /// Not permitted.
    pub const NOT_PERMITTED: i32 = 5;
    /// No such target.
    pub const NO_TARGET: i32 = 6;
    /// The reload failed and the old generation serves on.
    pub const RELOAD_FAILED: i32 = 7;
    /// `adieu run`: adieu itself failed.
    pub const RUN_FAILED: i32 = 125;
    /// `adieu run`: the program was found and could not be executed.
    pub const NOT_EXECUTABLE: i32 = 126;
    /// `adieu run`: the program was not found.
    pub const NOT_FOUND: i32 = 127;
}
