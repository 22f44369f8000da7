//! What a process does with a signal: by its handlers and masks, and by the kernel's rules.

use adieu_core::signal::{DefaultAction, Signal};
use serde::Serialize;

use crate::facts::{Facts, bit};

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
pub(super) fn handles(facts: &Facts, signal: Signal) -> bool {
    disposition(facts, signal) == Disposition::Caught || facts.fetched() & bit(signal) != 0
}

/// Whether the signal ends what does not handle it.
pub(super) fn ends_by_default(signal: Signal) -> bool {
    matches!(signal.default_action(), DefaultAction::Terminate | DefaultAction::Core)
}

/// Whether the kernel turns the signal into SIGKILL as it is sent, as it does with those that end a process without a core dump
/// and without a handler (`complete_signal` in kernel/signal.c): sleeps that only SIGKILL ends, and the freezer of cgroup v2,
/// let go of it then.
pub(super) fn is_deadly(facts: &Facts, signal: Signal) -> bool {
    let by_default = signal.default_action() == DefaultAction::Terminate && !facts.is_init();
    let unblocked = facts.blocked_everywhere() & bit(signal) == 0;
    signal == Signal::KILL || (by_default && unblocked && disposition(facts, signal) == Disposition::Default)
}
