//! Everything in flight of one application: guards and counters behind one gate.

use std::borrow::Cow;
use std::panic::Location;
use std::sync::{Arc, Mutex};

use adieu_core::Timestamp;

use crate::clock;
use crate::counter::{InFlightCounter, Shards};
use crate::error::Stopping;
use crate::gate::Gate;
use crate::guard::{Guard, Guards};
use crate::lock::lock;
use crate::report::StillInFlight;

#[cfg(test)]
mod tests;

/// Work that a stop waits for, and names when it waits in vain.
///
/// A [`Guard`] stands for one piece of work and knows its name, its place in the source and its exact age. An
/// [`InFlightCounter`] counts many small ones (requests) at the cost of a reference count each.
///
/// The gate closes when the drain begins: from then on [`guard`](Self::guard) and [`InFlightCounter::token`] refuse. So each
/// piece of work is either refused or waited for: take the guard first, and then what it is for, such as a message off a
/// queue. Work that belongs to one that is in flight gets [`Guard::nested`].
#[derive(Debug, Clone)]
pub struct InFlight {
    inner: Arc<InFlightInner>,
}

#[derive(Debug)]
struct InFlightInner {
    gate: &'static Gate,
    guards: Arc<Guards>,
    counters: Mutex<Vec<InFlightCounter>>,
}

impl InFlight {
    pub(crate) fn new() -> Self {
        let gate = Gate::leak();
        Self { inner: Arc::new(InFlightInner { gate, guards: Guards::new(gate), counters: Mutex::default() }) }
    }

    /// Something with a name is in flight until the guard is dropped.
    ///
    /// # Errors
    /// [`Stopping`] when the drain has begun.
    #[track_caller]
    pub fn guard(&self, name: impl Into<Cow<'static, str>>) -> Result<Guard, Stopping> {
        let guard = self.inner.guards.add(name.into(), Location::caller());
        if self.inner.gate.is_closed() { Err(Stopping) } else { Ok(guard) }
    }

    /// A counter of many small pieces of work; to be made once and kept (it is never freed).
    #[track_caller]
    #[must_use]
    pub fn counter(&self, name: &'static str) -> InFlightCounter {
        self.counter_at(name, Location::caller())
    }

    pub(crate) fn counter_at(&self, name: &'static str, at: &'static Location<'static>) -> InFlightCounter {
        let counter = InFlightCounter::new(name, at, Shards::leak(), self.inner.gate);
        lock(&self.inner.counters).push(counter);
        counter
    }

    /// How much is in flight. Exact once the gate is closed; before, as exact as a count can be that others change.
    #[must_use]
    pub fn count(&self) -> usize {
        let small: usize = lock(&self.inner.counters).iter().map(InFlightCounter::count).sum();
        self.inner.guards.count() + small
    }

    /// Whether nothing is in flight; the gate must be closed.
    ///
    /// All ends are read before all beginnings: work that has handed over to other work is not seen to have ended unless the
    /// other is seen to have begun, in whichever parts and ways the two are counted.
    fn is_empty(&self) -> bool {
        let ended = self.sum(InFlightCounter::ended);
        let named = self.inner.guards.count();
        named == 0 && self.sum(InFlightCounter::begun) == ended
    }

    fn sum(&self, of: impl Fn(&InFlightCounter) -> usize) -> usize {
        lock(&self.inner.counters).iter().fold(0, |sum, counter| sum.wrapping_add(of(counter)))
    }

    /// Refuses whatever is not counted yet.
    pub(crate) fn close(&self) {
        self.inner.gate.close();
    }

    /// Returns when nothing is in flight; the gate must be closed. Cancel safe.
    pub(crate) async fn drained(&self) {
        loop {
            // Made before the look: what ends after the look wakes it.
            let ended = self.inner.gate.next_end();
            if self.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Who is in flight, the oldest first; `closed`: since when nothing new is taken on.
    pub(crate) fn list(&self, closed: Timestamp) -> Vec<StillInFlight> {
        let now = clock::now();
        let mut list = self.inner.guards.list(now);
        for counter in lock(&self.inner.counters).iter().filter(|counter| counter.count() > 0) {
            list.push(StillInFlight {
                name: counter.name().to_owned(),
                place: counter.at().to_string(),
                count: counter.count(),
                age: now.since(closed),
                exact: false,
            });
        }
        list.sort_by_key(|of| std::cmp::Reverse(of.age));
        list
    }
}
