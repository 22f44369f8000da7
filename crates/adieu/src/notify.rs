//! Notifications to systemd or `adieu run` (sd_notify(3)).

#[cfg(all(feature = "systemd", feature = "http", unix))]
pub(crate) use self::systemd::drains;
#[cfg(feature = "systemd")]
pub(crate) use self::systemd::{connect, entered, serving, stopping, watchdog};
#[cfg(all(not(feature = "systemd"), feature = "http", unix))]
pub(crate) use self::without::drains;
#[cfg(not(feature = "systemd"))]
pub(crate) use self::without::{connect, entered, serving, stopping, watchdog};

#[cfg(feature = "systemd")]
mod systemd {
    use std::fmt::Write;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixDatagram;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use adieu_core::stop_plan::Phase;
    use adieu_core::wire;
    use sd_notify::NotifyState;
    use tokio::runtime::Handle;

    use crate::lock::lock;

    /// Time that is asked for beyond the deadline, so that systemd does not kill before it.
    const MARGIN: Duration = Duration::from_secs(1);

    /// Kept open: without a descriptor the process could not extend systemd's time-out for its stop.
    static SOCKET: Mutex<Option<Arc<UnixDatagram>>> = Mutex::new(None);

    /// Connects to NOTIFY_SOCKET, if it is set. If that fails, the next message tries again.
    pub(crate) fn connect() {
        let _not_yet = connected();
    }

    fn connected() -> Option<Arc<UnixDatagram>> {
        let mut kept = lock(&SOCKET);
        if kept.is_none() {
            *kept = open().ok().flatten().map(Arc::new);
        }
        kept.clone()
    }

    fn open() -> io::Result<Option<UnixDatagram>> {
        let Some(to) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(None) };
        let socket = UnixDatagram::unbound()?;
        match to.as_bytes().strip_prefix(b"@") {
            #[cfg(target_os = "linux")]
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
            }
            _ => socket.connect(to)?,
        }
        Ok(Some(socket))
    }

    /// Sends a message, if NOTIFY_SOCKET is set. An error is ignored: a service serves and stops without its
    /// supervisor, too.
    fn send(states: &[NotifyState<'_>]) {
        let mut message = String::new();
        for state in states {
            // Writing to a string cannot fail.
            let _written = writeln!(message, "{state}");
        }
        // Once more if the supervisor has made a new socket at the same path.
        for _ in 0..2 {
            let Some(socket) = connected() else { return };
            if socket.send(message.as_bytes()).is_ok() {
                return;
            }
            *lock(&SOCKET) = None;
        }
    }

    fn extended(left: Duration) -> NotifyState<'static> {
        NotifyState::ExtendTimeoutUsec(u32::try_from((left + MARGIN).as_micros()).unwrap_or(u32::MAX))
    }

    /// Whether a server of this crate has been started.
    static DRAINS: AtomicBool = AtomicBool::new(false);

    /// Says with the next [`serving`] that this service ends its connections itself when a stop comes.
    #[cfg(all(feature = "http", unix))]
    pub(crate) fn drains() {
        DRAINS.store(true, Ordering::SeqCst);
    }

    pub(crate) fn serving() {
        let drains = format!("{}=1", wire::DRAINS);
        match DRAINS.load(Ordering::SeqCst) {
            true => send(&[NotifyState::Ready, NotifyState::Custom(&drains)]),
            false => send(&[NotifyState::Ready]),
        }
    }

    /// Sends `STOPPING=1`, and extends systemd's TimeoutStopSec to the deadline.
    pub(crate) fn stopping(grace: Duration) {
        send(&[NotifyState::Stopping, extended(grace)]);
    }

    /// Sends the phase, and the time to the deadline, which may have come nearer.
    pub(crate) fn entered(phase: Phase, left: Duration) {
        send(&[NotifyState::Status(phase.name()), extended(left)]);
    }

    /// Sends WATCHDOG=1 twice in each WATCHDOG_USEC. A task does it, so a runtime whose workers are all blocked is
    /// noticed.
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

    pub(crate) fn connect() {}
    #[cfg(all(feature = "http", unix))]
    pub(crate) fn drains() {}
    pub(crate) fn serving() {}
    pub(crate) fn stopping(_grace: Duration) {}
    pub(crate) fn entered(_phase: Phase, _left: Duration) {}
    pub(crate) fn watchdog(_runtime: &Handle) {}
}
