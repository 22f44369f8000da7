//! Named pieces of work in flight, each with a guard.

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

/// One named piece of work in flight; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the work is in flight only until the guard is dropped"]
pub struct Guard {
    guards: Arc<Guards>,
    id: u64,
}

impl Guard {
    /// Work that belongs to this one; never refused, as the drain waits for this one anyway.
    #[track_caller]
    pub fn nested(&self, name: impl Into<Cow<'static, str>>) -> Self {
        self.guards.add(name.into(), Location::caller())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let ended = lock(&self.guards.named).remove(&self.id);
        drop(ended);
        // The lock orders this after the removal; a closed gate is seen here or the removal by whoever closed it.
        self.guards.gate.ended();
    }
}
