//! Stop signals: one thread of this process takes them and tells every application in it.
//!
//! **Invariant.** From the first application on, a stop signal does something: it is counted by each application that has
//! not gone, and where there is none it has its default action. The third ends the process from here, whatever the rest of
//! the process does: this thread waits for nobody.

use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, OnceLock};

use adieu_core::signal::Signal;
use adieu_core::stop_plan::{Request, Requests};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::clock;
use crate::control::Message;
use crate::hook::lock;

/// Who is told, and how many signals they have had.
struct Subscriber {
    id: u64,
    messages: Sender<Message>,
    requests: Requests,
}

#[derive(Default)]
struct Hub {
    next: u64,
    subscribers: Vec<Subscriber>,
}

static HUB: Mutex<Hub> = Mutex::new(Hub { next: 0, subscribers: Vec::new() });
static INSTALLED: OnceLock<Inherited> = OnceLock::new();

/// What this process inherited (signal(7): `execve` keeps what is ignored).
#[derive(Debug, Clone, Default)]
pub(crate) struct Inherited {
    /// Ignored when we came; handled now all the same.
    pub(crate) overridden: Vec<Signal>,
    /// Ignored when we came, and still.
    pub(crate) kept: Vec<Signal>,
}

/// An application's place in the hub; given up when dropped.
#[derive(Debug)]
pub(crate) struct Subscription(u64);

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&HUB).subscribers.retain(|subscriber| subscriber.id != self.0);
    }
}

/// Installs the handlers, if that has not been done yet, and tells `messages` from now on.
pub(crate) fn subscribe(messages: Sender<Message>) -> io::Result<(Subscription, Inherited)> {
    let mut hub = lock(&HUB);
    let inherited = match INSTALLED.get() {
        Some(inherited) => inherited.clone(),
        None => {
            let inherited = install()?;
            INSTALLED.get_or_init(|| inherited).clone()
        }
    };
    let id = hub.next;
    hub.next += 1;
    hub.subscribers.push(Subscriber { id, messages, requests: Requests::default() });
    Ok((Subscription(id), inherited))
}

fn install() -> io::Result<Inherited> {
    let ignored = ignored();
    let is_ignored = |number: &i32| Signal::from_number(*number).is_some_and(|signal| ignored.contains(&signal));
    let named = |numbers: &[i32]| numbers.iter().filter_map(|number| Signal::from_number(*number)).collect();
    // Under nohup a hang-up is meant not to end anything.
    let (kept, wanted): (Vec<i32>, Vec<i32>) =
        [SIGTERM, SIGINT, SIGHUP].into_iter().partition(|number| *number == SIGHUP && is_ignored(number));
    let overridden: Vec<i32> = wanted.iter().copied().filter(is_ignored).collect();
    let mut signals = Signals::new(&wanted)?;
    let take = move || {
        for number in signals.forever() {
            taken(number);
        }
    };
    std::thread::Builder::new().name("adieu-signals".to_owned()).spawn(take)?;
    Ok(Inherited { overridden: named(&overridden), kept: named(&kept) })
}

fn taken(number: i32) {
    let now = clock::now();
    let mut hub = lock(&HUB);
    if hub.subscribers.is_empty() {
        drop(hub);
        // Returns only for a signal that does not end a process.
        let _none = signal_hook::low_level::emulate_default_handler(number);
        return;
    }
    for subscriber in &mut hub.subscribers {
        if subscriber.requests.count(now) == Request::Third {
            signal_hook::low_level::exit(128 + number);
        }
        // One that does not listen any more is about to give up its place.
        let _told = subscriber.messages.send(Message::Signal(now, number));
    }
}

#[cfg(target_os = "linux")]
fn ignored() -> Vec<Signal> {
    Signal::decode_mask(adieu_linux::signals::ignored_mask())
}

/// Elsewhere nothing tells without `unsafe`; an inherited "ignore" is overridden unseen.
#[cfg(not(target_os = "linux"))]
fn ignored() -> Vec<Signal> {
    Vec::new()
}
