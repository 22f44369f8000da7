//! The stop of one component, over all its hooks.

use std::time::Duration;

use adieu_core::stop_plan::Verdict;

use crate::report::{HookReport, StopReport};

/// The stop of one component, over all its hooks. Made by [`StopReport::component`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentReport<'a> {
    /// Name of the component.
    pub name: &'a str,
    /// When its first hook was called, from the beginning of the stop; `None` if none was called.
    pub asked: Option<Duration>,
    /// When its last hook was over, from the beginning of the stop; `None` if a hook has not ended, or none was called.
    pub ended: Option<Duration>,
    /// The worst verdict of its hooks, in this order: done, failed, panicked, skipped, not run, cut, leaked. A start
    /// that was cancelled and has not ended is leaked too.
    pub verdict: Verdict,
    /// The first error or panic message of its hooks.
    pub error: Option<&'a str>,
    /// How long its hooks took together, without the waits between them.
    pub took: Duration,
}

/// Orders verdicts: the worse, the greater.
const fn gravity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Done => 0,
        Verdict::Failed => 1,
        Verdict::Panicked => 2,
        Verdict::Skipped => 3,
        Verdict::NotRun => 4,
        Verdict::Cut => 5,
        Verdict::Leaked => 6,
    }
}

impl StopReport {
    /// Returns the stop of one component, over all its hooks. `None` for a component that has no hook, had not started
    /// or does not exist.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<ComponentReport<'_>> {
        let leaked_start = self.leaked_starts.iter().find(|of| *of == name);
        // In the order of their calls.
        let hooks: Vec<&HookReport> = self.hooks.iter().filter(|hook| hook.component == name).collect();
        let name = hooks.first().map(|hook| &hook.component).or(leaked_start)?;
        let worst = hooks.iter().map(|hook| hook.verdict).max_by_key(|verdict| gravity(*verdict));
        let verdict = if leaked_start.is_some() { Verdict::Leaked } else { worst? };
        let over = hooks.iter().filter_map(|hook| Some(hook.after? + hook.took)).max();
        Some(ComponentReport {
            name,
            asked: hooks.iter().filter_map(|hook| hook.after).min(),
            ended: over.filter(|_| verdict != Verdict::Leaked),
            verdict,
            error: hooks.iter().find_map(|hook| hook.error.as_deref()),
            took: hooks.iter().map(|hook| hook.took).sum(),
        })
    }
}

#[cfg(test)]
mod tests {
    use adieu_core::stop_plan::Phase;

    use super::*;
    use crate::report::Cause;

    #[test]
    fn a_component_that_has_not_ended_has_no_end_and_one_whose_turn_never_came_was_not_asked() {
        let hook = |component: &str, phase, after, verdict| HookReport {
            component: component.to_owned(),
            phase,
            after,
            took: Duration::from_secs(1),
            verdict,
            error: None,
        };
        let mut report = StopReport::empty("shop", Cause::Asked);
        report.hooks = vec![
            hook("api", Phase::Drain, Some(Duration::ZERO), Verdict::Leaked),
            hook("api", Phase::Close, None, Verdict::Skipped),
            hook("feed", Phase::Cleanup, None, Verdict::Skipped),
        ];
        report.leaked_starts = vec!["redis".to_owned()];
        let of = |name: &str| report.component(name).map(|of| (of.verdict, of.asked, of.ended));
        assert_eq!(of("api"), Some((Verdict::Leaked, Some(Duration::ZERO), None)));
        assert_eq!(of("feed"), Some((Verdict::Skipped, None, None)));
        assert_eq!(of("redis"), Some((Verdict::Leaked, None, None)));
        assert_eq!(of("nobody"), None);
    }
}
