//! What systemd is told (sd_notify(3)).

#[cfg(feature = "systemd")]
pub(crate) use self::systemd::{entered, serving, stopping, watchdog};
#[cfg(not(feature = "systemd"))]
pub(crate) use self::without::{entered, serving, stopping, watchdog};

#[cfg(feature = "systemd")]
mod systemd {
    use std::time::Duration;

    use adieu_core::stop_plan::Phase;
    use sd_notify::NotifyState;
    use tokio::runtime::Handle;

    /// What is asked for beyond the deadline, so that systemd kills only what has outlived that.
    const MARGIN: Duration = Duration::from_secs(1);

    /// Without NOTIFY_SOCKET this does nothing; an unreachable one is nothing that a service could do about.
    fn send(states: &[NotifyState<'_>]) {
        let _sent = sd_notify::notify(states);
    }

    fn extended(left: Duration) -> NotifyState<'static> {
        NotifyState::ExtendTimeoutUsec(u32::try_from((left + MARGIN).as_micros()).unwrap_or(u32::MAX))
    }

    pub(crate) fn serving() {
        send(&[NotifyState::Ready]);
    }

    /// systemd's own TimeoutStopSec is extended to the deadline.
    pub(crate) fn stopping(grace: Duration) {
        send(&[NotifyState::Stopping, extended(grace)]);
    }

    /// The deadline may have come nearer since, so it is said again in each phase.
    pub(crate) fn entered(phase: Phase, left: Duration) {
        send(&[NotifyState::Status(phase.name()), extended(left)]);
    }

    /// WATCHDOG=1 twice in each WATCHDOG_USEC, by a task: a runtime whose workers are all blocked stays silent.
    pub(crate) fn watchdog(runtime: &Handle) {
        let Some(every) = sd_notify::watchdog_enabled() else { return };
        // Ends with the runtime.
        drop(runtime.spawn(async move {
            let mut tick = tokio::time::interval(every / 2);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                send(&[NotifyState::Watchdog]);
            }
        }));
    }
}

#[cfg(not(feature = "systemd"))]
mod without {
    use std::time::Duration;

    use adieu_core::stop_plan::Phase;
    use tokio::runtime::Handle;

    pub(crate) fn serving() {}
    pub(crate) fn stopping(_grace: Duration) {}
    pub(crate) fn entered(_phase: Phase, _left: Duration) {}
    pub(crate) fn watchdog(_runtime: &Handle) {}
}
