//! What the surroundings grant, compared with what the plan wants.

use std::io;
use std::time::Duration;

use adieu_core::duration;

use crate::signals::{Inherited, Subscription};

/// Everything worth a warning at the start.
pub(crate) fn notes(grace: Duration, signals: &io::Result<(Subscription, Inherited)>) -> Vec<String> {
    let mut notes = Vec::new();
    match signals {
        Ok((_, inherited)) => {
            let text = |signals: &[adieu_core::signal::Signal]| {
                signals.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            if !inherited.overridden.is_empty() {
                notes.push(format!("inherited as ignored, handled all the same: {}", text(&inherited.overridden)));
            }
            if !inherited.kept.is_empty() {
                notes.push(format!("inherited as ignored, and left so: {}", text(&inherited.kept)));
            }
        }
        Err(error) => notes.push(format!("no signal handlers: {error}")),
    }
    notes.extend(std::env::var("ADIEU_GRACE").ok().and_then(|text| compare(grace, &text)));
    notes
}

/// ADIEU_GRACE is what `adieu run` grants before it kills.
fn compare(grace: Duration, granted: &str) -> Option<String> {
    let granted = duration::parse(granted).ok()?;
    let (wanted, given) = (duration::format(grace), duration::format(granted));
    (granted < grace).then(|| format!("the stop may take {wanted}, but is killed after {given} (ADIEU_GRACE)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_does_not_fit_is_worth_a_warning() {
        let seconds = Duration::from_secs;
        assert_eq!(compare(seconds(30), "30s"), None);
        assert_eq!(
            compare(seconds(30), "10s").as_deref(),
            Some("the stop may take 30s, but is killed after 10s (ADIEU_GRACE)")
        );
    }
}
