//! Named pieces of work in flight, each with a guard of its own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use adieu_core::Timestamp;

use crate::clock;
use crate::gate::Gate;
use crate::lock::lock;
use crate::report::StillInFlight;

#[derive(Debug, Clone)]
struct NamedWork {
    name: Cow<'static, str>,
    at: &'static Location<'static>,
    since: Timestamp,
}

/// All guards of one application.
///
/// The races with the stop are those of `gate` and [`fence`](crate::fence), with the lock of `named` in place of
/// counts:
///
/// ```text
/// thread 1: guard()                          thread 2: the stop
/// W1  named.insert() under the lock          S1  closed.swap(true), heavy fence
/// W2  closed.load()                          S2  named.len() under the lock
/// ```
///
/// If thread 1 has the lock first, S2 sees W1. If thread 2 has it first, its unlock synchronizes with thread 1's lock,
/// so S1 happens before W2, which reads `true`. The same holds for the removal and [`Gate::ended`] in `Guard::drop`.
#[derive(Debug)]
pub(crate) struct Guards {
    gate: &'static Gate,
    next: AtomicU64,
    named: Mutex<HashMap<u64, NamedWork>>,
}

impl Guards {
    pub(crate) fn new(gate: &'static Gate) -> Arc<Self> {
        Arc::new(Self { gate, next: AtomicU64::new(0), named: Mutex::new(HashMap::new()) })
    }

    pub(crate) fn add(self: &Arc<Self>, name: Cow<'static, str>, at: &'static Location<'static>) -> Guard {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.named).insert(id, NamedWork { name, at, since: clock::now() });
        Guard { guards: Arc::clone(self), id }
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.named).len()
    }

    pub(crate) fn list(&self, now: Timestamp) -> Vec<StillInFlight> {
        let named: Vec<NamedWork> = lock(&self.named).values().cloned().collect();
        named.into_iter().map(|work| work.still(now)).collect()
    }
}

impl NamedWork {
    fn still(self, now: Timestamp) -> StillInFlight {
        let Self { name, at, since } = self;
        StillInFlight { name: name.into_owned(), place: at.to_string(), count: 1, age: now.since(since), exact: true }
    }
}

/// A named piece of work that a stop waits for, until the guard is dropped. Made by [`InFlight::guard`].
///
/// The report of a stop that waited in vain, and `kill -USR1`, show the guard's name, where in the source it was taken,
/// and its exact age.
///
/// # Examples
///
/// ```
/// # use adieu::App;
/// let app = App::new("shop");
/// let import = app.control().in_flight().guard("import of 42")?;
/// let page = import.nested("page 1 of 42"); // also in the drain
/// drop(import);
/// assert_eq!(app.control().in_flight().count(), 1);
/// drop(page);
/// assert_eq!(app.control().in_flight().count(), 0);
/// # Ok::<_, adieu::Stopping>(())
/// ```
///
/// [`InFlight::guard`]: crate::InFlight::guard
#[derive(Debug)]
#[must_use = "the work is in flight only until the guard is dropped"]
pub struct Guard {
    guards: Arc<Guards>,
    id: u64,
}

impl Guard {
    /// A guard for work that belongs to this work. Never refused: the drain waits for this guard anyway.
    ///
    /// The nested guard may outlive this one.
    #[track_caller]
    pub fn nested(&self, name: impl Into<Cow<'static, str>>) -> Self {
        self.guards.add(name.into(), Location::caller())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Freed outside of the lock.
        let work = lock(&self.guards.named).remove(&self.id);
        drop(work);
        self.guards.gate.ended();
    }
}
