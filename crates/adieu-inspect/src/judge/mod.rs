//! Will a process end when it gets a signal, and if not, why?
//!
//! A pure function from facts to findings. **Invariant.** The rules are asked in their order, from what makes every signal
//! useless to what only matters once it is handled: so the first finding is the cause, and what comes after it would matter
//! if the first were undone.

mod around;
mod dispositions;
mod handling;
mod states;
#[cfg(test)]
mod tests;

use std::time::Duration;

use adieu_core::signal::{DefaultAction, Signal};
use serde::Serialize;

pub(crate) use self::handling::doing;
pub use self::handling::summary;
use crate::facts::{Facts, bit};

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
    fn new(cause: Cause, severity: Severity, sentence: impl Into<String>) -> Self {
        Self { cause, severity, sentence: sentence.into(), evidence: Vec::new(), advice: String::new() }
    }

    /// Adds a file below `/proc/PID`.
    fn seen(self, facts: &Facts, file: &str, field: &str, value: impl ToString) -> Self {
        self.seen_in(format!("/proc/{}/{file}", facts.pid), field, value)
    }

    fn seen_in(mut self, file: String, field: &str, value: impl ToString) -> Self {
        self.evidence.push(Evidence { file, field: field.to_owned(), value: value.to_string() });
        self
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Whether somebody should do something.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        self.severity > Severity::Note
    }
}

type Rule = fn(&Facts, &Question) -> Option<Finding>;

/// In the order of the invariant.
const RULES: &[Rule] = &[
    states::zombie,
    states::kernel_thread,
    states::not_permitted,
    states::frozen,
    states::traced,
    states::stopped,
    states::dumps_core,
    states::uninterruptible,
    dispositions::init_without_handler,
    dispositions::ignored,
    handling::handler_stuck,
    dispositions::blocked,
    handling::shutdown_hooks,
    handling::shell_waits,
    handling::shell_keeps,
    handling::main_thread,
    around::waits_for_clients,
    around::connections_open,
    handling::waits_for_child,
    handling::waits_for,
    handling::no_effect,
    around::listener_inherited,
    around::started_again,
    dispositions::not_the_graceful_one,
    dispositions::what_it_does,
];

/// All findings, the cause first. Never empty.
#[must_use]
pub fn judge(facts: &Facts, question: &Question) -> Vec<Finding> {
    let over = |cause: Cause| matches!(cause, Cause::Zombie | Cause::KernelThread);
    let mut findings: Vec<Finding> = Vec::new();
    for rule in RULES {
        // What has ended, or cannot, has nothing more to say.
        if findings.last().is_some_and(|last| over(last.cause)) {
            break;
        }
        let found = rule(facts, question);
        // Only what nothing else explains.
        let explained = findings.iter().any(|finding| finding.severity == Severity::Blocks);
        findings.extend(found.filter(|finding| finding.cause != Cause::NoEffect || !explained));
    }
    findings
}

/// What a process does with a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// The kernel's default action.
    Default,
    /// Nothing.
    Ignored,
    /// It has a handler.
    Caught,
}

/// What a process does with a signal, blocking aside.
#[must_use]
pub fn disposition(facts: &Facts, signal: Signal) -> Disposition {
    let bit = bit(signal);
    if facts.ignored & bit != 0 {
        Disposition::Ignored
    } else if facts.caught & bit != 0 {
        Disposition::Caught
    } else {
        Disposition::Default
    }
}

/// Whether it can handle the signal in its own way: by a handler, or by fetching it.
fn handles(facts: &Facts, signal: Signal) -> bool {
    disposition(facts, signal) == Disposition::Caught || facts.fetched() & bit(signal) != 0
}

/// Whether the signal ends what does not handle it.
fn ends_by_default(signal: Signal) -> bool {
    matches!(signal.default_action(), DefaultAction::Terminate | DefaultAction::Core)
}

/// Whether the kernel turns the signal into SIGKILL as it is sent, as it does with those that end a process without a core dump
/// and without a handler (`complete_signal` in kernel/signal.c): sleeps that only SIGKILL ends, and the freezer of cgroup v2,
/// let go of it then.
fn is_deadly(facts: &Facts, signal: Signal) -> bool {
    let by_default = signal.default_action() == DefaultAction::Terminate && !facts.is_init();
    let unblocked = facts.blocked_everywhere() & bit(signal) == 0;
    signal == Signal::KILL || (by_default && unblocked && disposition(facts, signal) == Disposition::Default)
}

fn mask(value: u64) -> String {
    format!("{value:016x}")
}
