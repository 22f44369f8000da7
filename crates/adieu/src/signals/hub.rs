//! One thread of this process takes signals and tells every application and subscriber in it.
//!
//! **Invariant.** A stop signal always has an effect: every application that has registered for it counts it. A signal
//! that no application and no subscriber wants has its default action, or none if it is ignored. The third stop signal
//! ends the process from this thread, which waits for no other thread.

use std::io;
use std::sync::{Mutex, OnceLock};

use adieu_core::signal::Signal;
use adieu_core::stop_plan::{Request, Requests};
use signal_hook::consts::{FORBIDDEN, SIGHUP};
use signal_hook::iterator::{Handle, Signals};
use tokio::sync::mpsc;

use crate::children::Children;
use crate::clock;
use crate::control::{Mailbox, Message};
use crate::lock::lock;

/// An application, the signals that it wants, and how often it was asked to stop.
struct Application {
    id: u64,
    stop: u64,
    dump: u64,
    messages: Mailbox,
    children: Children,
    requests: Requests,
}

/// A subscriber, which gets copies.
struct Subscriber {
    id: u64,
    signals: u64,
    copies: mpsc::Sender<Signal>,
}

struct Hub {
    next: u64,
    applications: Vec<Application>,
    subscribers: Vec<Subscriber>,
    /// Signals without an effect while no subscriber wants them.
    ignored: u64,
    /// Signals whose handlers are installed.
    installed: u64,
    handle: Option<Handle>,
}

static HUB: Mutex<Hub> = Mutex::new(Hub {
    next: 0,
    applications: Vec::new(),
    subscribers: Vec::new(),
    ignored: 0,
    installed: 0,
    handle: None,
});
static IGNORED_AT_FIRST: OnceLock<u64> = OnceLock::new();

/// Stop signals that were ignored when the process began (signal(7): `execve` keeps ignored signals ignored).
#[derive(Debug, Clone, Default)]
pub(crate) struct Inherited {
    /// Handled now nevertheless.
    pub(crate) overridden: Vec<Signal>,
    /// Still ignored.
    pub(crate) kept: Vec<Signal>,
}

/// Registers an application or a subscriber at the hub, until it is dropped.
#[derive(Debug)]
pub(crate) struct Registration(u64);

impl Drop for Registration {
    fn drop(&mut self) {
        let mut hub = lock(&HUB);
        hub.applications.retain(|application| application.id != self.0);
        hub.subscribers.retain(|subscriber| subscriber.id != self.0);
    }
}

impl Registration {
    /// Registers an application. [`change`](Self::change) sets its signals.
    pub(crate) fn of_application(messages: Mailbox, children: Children) -> Self {
        let mut hub = lock(&HUB);
        let id = hub.id();
        hub.applications.push(Application { id, stop: 0, dump: 0, messages, children, requests: Requests::default() });
        Self(id)
    }

    /// Sets the signals that stop the application, and those that make it dump what is running.
    pub(crate) fn change(&self, stop: &[Signal], dump: &[Signal]) -> io::Result<Inherited> {
        let mut hub = lock(&HUB);
        let ignored = ignored_at_first();
        // nohup(1) ignores SIGHUP so that a hang-up does not end the program.
        let (kept, wanted): (Vec<Signal>, Vec<Signal>) =
            stop.iter().partition(|signal| signal.number() == SIGHUP && ignored & bit(**signal) != 0);
        hub.install(&wanted)?;
        hub.install(dump)?;
        for application in hub.applications.iter_mut().filter(|application| application.id == self.0) {
            (application.stop, application.dump) = (mask(&wanted), mask(dump));
        }
        let overridden = wanted.iter().copied().filter(|signal| ignored & bit(*signal) != 0).collect();
        Ok(Inherited { overridden, kept })
    }
}

/// Sends a copy of each of these `signals` to `copies`, unless the channel is full.
pub(super) fn subscribe(signals: &[Signal], copies: mpsc::Sender<Signal>) -> io::Result<Registration> {
    let mut hub = lock(&HUB);
    hub.install(signals)?;
    let id = hub.id();
    hub.subscribers.push(Subscriber { id, signals: mask(signals), copies });
    Ok(Registration(id))
}

/// Takes these signals from all subscribers, and makes them have no effect.
pub(super) fn ignore(signals: &[Signal]) -> io::Result<()> {
    let mut hub = lock(&HUB);
    hub.install(signals)?;
    hub.ignored |= mask(signals);
    hub.take_away(signals);
    Ok(())
}

/// Takes these signals from all subscribers.
pub(super) fn reset(signals: &[Signal]) {
    lock(&HUB).take_away(signals);
}

pub(super) fn is_ignored(signal: Signal) -> bool {
    let hub = lock(&HUB);
    let wanted = hub.subscribers.iter().any(|of| of.signals & bit(signal) != 0);
    let stops = hub.applications.iter().any(|of| (of.stop | of.dump) & bit(signal) != 0);
    !wanted && !stops && (hub.ignored | ignored_at_first()) & bit(signal) != 0
}

impl Hub {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn take_away(&mut self, signals: &[Signal]) {
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.signals &= !mask(signals));
    }

    /// Installs the missing handlers. Handlers stay: `taken` emulates the default action of an unwanted signal.
    fn install(&mut self, signals: &[Signal]) -> io::Result<()> {
        let impossible = |signal: &&Signal| FORBIDDEN.contains(&signal.number());
        if let Some(signal) = signals.iter().find(impossible) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{signal} cannot be handled")));
        }
        let ignored = ignored_at_first();
        for signal in signals.iter().filter(|signal| self.installed & bit(**signal) == 0).copied().collect::<Vec<_>>() {
            match &self.handle {
                Some(handle) => handle.add_signal(signal.number())?,
                None => self.handle = Some(listen(signal)?),
            }
            self.installed |= bit(signal);
            self.ignored |= ignored & bit(signal);
        }
        Ok(())
    }
}

/// Starts the thread that takes signals.
fn listen(first: Signal) -> io::Result<Handle> {
    let mut signals = Signals::new([first.number()])?;
    let handle = signals.handle();
    let take = move || {
        for number in signals.forever() {
            taken(number);
        }
    };
    std::thread::Builder::new().name("adieu-signals".to_owned()).spawn(take)?;
    Ok(handle)
}

fn taken(number: i32) {
    let now = clock::now();
    let Some(signal) = Signal::from_number(number) else { return };
    let mut hub = lock(&HUB);
    let mut wanted = hub.ignored & bit(signal) != 0;
    for application in hub.applications.iter().filter(|of| of.dump & bit(signal) != 0) {
        application.messages.send(Message::Dump);
        wanted = true;
    }
    for application in hub.applications.iter_mut().filter(|of| of.stop & bit(signal) != 0) {
        if application.requests.count(now) == Request::Third {
            let _killed = application.children.kill();
            signal_hook::low_level::exit(128 + number);
        }
        application.messages.send(Message::Signal(now, number));
        wanted = true;
    }
    for subscriber in hub.subscribers.iter().filter(|of| of.signals & bit(signal) != 0) {
        // A full subscriber misses the signal, as a process misses a signal that is pending already.
        let _delivered = subscriber.copies.try_send(signal);
        wanted = true;
    }
    drop(hub);
    if !wanted {
        // Returns only for a signal that does not end a process.
        let _not_ended = signal_hook::low_level::emulate_default_handler(number);
    }
}

/// Bit n-1 stands for signal n.
fn bit(signal: Signal) -> u64 {
    1u64.checked_shl(signal.number().unsigned_abs().saturating_sub(1)).unwrap_or(0)
}

fn mask(signals: &[Signal]) -> u64 {
    signals.iter().fold(0, |mask, signal| mask | bit(*signal))
}

/// The signals that were ignored before the first handler was installed. On other systems than Linux this cannot be
/// known without `unsafe`, so an inherited "ignore" is overridden there.
fn ignored_at_first() -> u64 {
    #[cfg(target_os = "linux")]
    let ask = adieu_linux::signals::ignored_mask;
    #[cfg(not(target_os = "linux"))]
    let ask = || 0;
    *IGNORED_AT_FIRST.get_or_init(ask)
}
