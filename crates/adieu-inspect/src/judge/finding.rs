//! The question, and one answer to it.

use std::time::Duration;

use adieu_core::signal::Signal;
use serde::Serialize;

use crate::facts::Facts;

/// Why a process does not end, or what happens when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It has ended; its parent has not waited for it.
    Zombie,
    /// It is a thread of the kernel.
    KernelThread,
    /// It belongs to another user.
    NotPermitted,
    /// Its cgroup is frozen.
    Frozen,
    /// A debugger holds it.
    Traced,
    /// It is stopped.
    Stopped,
    /// It writes a core dump.
    DumpsCore,
    /// A thread sleeps in the kernel and takes no signals there.
    Uninterruptible,
    /// It is the init of its pid namespace and has no handler.
    InitWithoutHandler,
    /// It ignores the signal.
    Ignored,
    /// It ignores the signal on purpose, as a part of a server that ends it in another way.
    LeftToMaster,
    /// All its threads block the signal.
    Blocked,
    /// Its handler has begun and does not return.
    HandlerStuck,
    /// Java's shutdown hooks run and do not end.
    ShutdownHooks,
    /// It waits for a child before it looks at signals.
    WaitsForChild,
    /// It has the signal and waits for a lock that somebody holds.
    WaitsForLock,
    /// It has the signal and waits for the end of one of its threads.
    WaitsForThread,
    /// It has the signal and waits for the other end of a pipe or a connection.
    WaitsForPeer,
    /// It is a shell that does not pass the signal on.
    ShellKeepsSignal,
    /// Its handlers run on its main thread, which computes.
    MainThreadBusy,
    /// Its handlers run on its main thread, which waits for something else.
    MainThreadStuck,
    /// There the signal means: wait until all clients have left.
    WaitsForClients,
    /// It takes nothing new and waits for connections.
    ConnectionsOpen,
    /// It has the signal and goes on.
    NoEffect,
    /// Another program holds its listening socket, too.
    ListenerInherited,
    /// Something would start it again.
    StartedAgain,
    /// There another signal is the graceful one.
    NotTheGracefulOne,
    /// It has no handler: the kernel ends it at once.
    EndsAtOnce,
    /// The signal does something else than ending it.
    DoesNotEnd,
    /// It has a handler.
    Handled,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// It ends, and something is left behind or lost.
    Warning,
    /// It does not end.
    Blocks,
}

/// Where something was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The file.
    pub file: String,
    /// The field in it; empty for the whole file.
    pub field: String,
    /// What is there.
    pub value: String,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Names it.
    pub cause: Cause,
    /// How bad it is.
    pub severity: Severity,
    /// What, in one sentence.
    pub sentence: String,
    /// Where it was seen.
    pub evidence: Vec<Evidence>,
    /// What to do, in one sentence; empty when there is nothing.
    pub advice: String,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// This signal: will it end the process?
    pub signal: Signal,
    /// It was sent so long ago, and the process is still there.
    pub asked: Option<Duration>,
}

impl Cause {
    /// Its name, as in JSON.
    #[must_use]
    pub fn id(self) -> String {
        serde_plain(self)
    }
}

/// `{:?}` in kebab case: the same as serde writes.
fn serde_plain(cause: Cause) -> String {
    let mut id = String::new();
    for letter in format!("{cause:?}").chars() {
        if letter.is_ascii_uppercase() && !id.is_empty() {
            id.push('-');
        }
        id.push(letter.to_ascii_lowercase());
    }
    id
}

impl Finding {
    pub(super) fn new(cause: Cause, severity: Severity, sentence: impl Into<String>) -> Self {
        Self { cause, severity, sentence: sentence.into(), evidence: Vec::new(), advice: String::new() }
    }

    /// Adds a file below `/proc/PID`.
    pub(super) fn seen(self, facts: &Facts, file: &str, field: &str, value: impl ToString) -> Self {
        self.seen_in(format!("/proc/{}/{file}", facts.pid), field, value)
    }

    pub(super) fn seen_in(mut self, file: String, field: &str, value: impl ToString) -> Self {
        self.evidence.push(Evidence { file, field: field.to_owned(), value: value.to_string() });
        self
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Whether somebody should do something.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        self.severity > Severity::Note
    }
}

/// A mask as the kernel writes it.
pub(super) fn mask(value: u64) -> String {
    format!("{value:016x}")
}
