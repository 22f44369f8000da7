//! Will a process end when it gets a signal, and if not, why?
//!
//! A pure function from facts to findings. **Invariant.** The rules are asked in their order, from what makes every signal
//! useless to what only matters once it is handled: so the first finding is the cause, and what comes after it would matter
//! if the first were undone.

mod around;
mod dispositions;
mod doing;
mod finding;
mod handling;
mod reaction;
mod states;
#[cfg(test)]
mod tests;
mod waiting;

pub(crate) use self::doing::doing;
pub use self::doing::summary;
pub use self::finding::{Cause, Evidence, Finding, Question, Severity};
pub use self::reaction::{Disposition, disposition};
use crate::case::Case;

type Rule = fn(&Case, &Question) -> Option<Finding>;

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
    waiting::child,
    waiting::main_thread,
    handling::no_effect,
    around::listener_inherited,
    around::started_again,
    dispositions::not_the_graceful_one,
    dispositions::what_it_does,
];

/// All findings, the cause first. Never empty.
#[must_use]
pub fn judge(case: &Case, question: &Question) -> Vec<Finding> {
    let over = |cause: Cause| matches!(cause, Cause::Zombie | Cause::KernelThread);
    let mut findings: Vec<Finding> = Vec::new();
    for rule in RULES {
        // What has ended, or cannot, has nothing more to say.
        if findings.last().is_some_and(|last| over(last.cause)) {
            break;
        }
        let found = rule(case, question);
        // Only what nothing else explains.
        let explained = findings.iter().any(|finding| finding.severity == Severity::Blocks);
        findings.extend(found.filter(|finding| finding.cause != Cause::NoEffect || !explained));
    }
    findings
}
