//! Compares the time of a stop with what the supervisor grants, and tells of inherited signals.

use std::io;
use std::time::Duration;

use adieu_core::duration;

use crate::signals::Inherited;

/// All warnings at the start. `longest`: the longest time of a stop, the end of the process included.
pub(crate) fn warnings(longest: Duration, signals: &io::Result<Inherited>) -> Vec<String> {
    let mut notes = Vec::new();
    match signals {
        Ok(inherited) => {
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
    let variable = |name: &str| std::env::var(name).ok();
    notes.extend(compare(longest, variable("ADIEU_GRACE").as_deref(), &systemd(variable)));
    notes
}

/// How systemd limits a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Systemd {
    /// systemd has not started this process, as far as one can tell.
    Absent,
    /// systemd extends TimeoutStopSec when the process asks for it.
    Listens,
    /// systemd kills after TimeoutStopSec, which the process does not know.
    Deaf,
}

/// systemd.exec(5): INVOCATION_ID is set for every service, NOTIFY_SOCKET for Type=notify.
fn systemd(variable: impl Fn(&str) -> Option<String>) -> Systemd {
    let listens = cfg!(feature = "systemd") && variable("NOTIFY_SOCKET").is_some();
    match (listens, variable("INVOCATION_ID")) {
        (true, _) => Systemd::Listens,
        // The children of a service inherit the variable too, but systemd is the parent of the service only.
        (false, Some(_)) if std::os::unix::process::parent_id() == 1 => Systemd::Deaf,
        (false, _) => Systemd::Absent,
    }
}

/// DefaultTimeoutStopSec of systemd-system.conf(5), if it is not changed.
const TIMEOUT_STOP: Duration = Duration::from_secs(90);

/// `granted`: ADIEU_GRACE, the time that `adieu run` grants before it kills.
fn compare(longest: Duration, granted: Option<&str>, systemd: &Systemd) -> Option<String> {
    let wanted = duration::format(whole_ms(longest));
    if let Some(granted) = granted.and_then(|text| duration::parse(text).ok()) {
        let given = duration::format(granted);
        return (granted < longest)
            .then(|| format!("the stop may take {wanted}, but is killed after {given} (ADIEU_GRACE)"));
    }
    let unheard = *systemd == Systemd::Deaf && longest > TIMEOUT_STOP;
    unheard.then(|| {
        format!("the stop may take {wanted}, but systemd kills after TimeoutStopSec: 90s, if that is the default")
    })
}

fn whole_ms(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_does_not_fit_is_worth_a_warning() {
        let seconds = Duration::from_secs;
        let granted = |longest, granted| compare(longest, Some(granted), &Systemd::Absent);
        assert_eq!(granted(seconds(30), "30s"), None);
        assert_eq!(
            granted(seconds(30), "10s").as_deref(),
            Some("the stop may take 30s, but is killed after 10s (ADIEU_GRACE)")
        );
        assert_eq!(compare(seconds(120), None, &Systemd::Listens), None, "it is told");
        assert_eq!(compare(seconds(90), None, &Systemd::Deaf), None);
        assert!(compare(seconds(120), None, &Systemd::Deaf).is_some());
        let unit = |name: &str| (name == "NOTIFY_SOCKET").then(|| "/run/systemd/notify".to_owned());
        assert_eq!(systemd(unit) == Systemd::Listens, cfg!(feature = "systemd"));
        assert_eq!(systemd(|_| None), Systemd::Absent);
    }
}
