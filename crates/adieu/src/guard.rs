use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use adieu_core::Timestamp;

use crate::clock;
use crate::error::Stopping;
use crate::gate::Gate;
use crate::lock::lock;
use crate::place::{Place, Shards};
use crate::report::StillInFlight;

/// Work that a stop waits for, and names when it waits in vain.
///
/// A [`Guard`] stands for one piece of work and knows its name, its place in the source and its exact age. A [`Place`]
/// counts many small ones (requests) at the cost of a reference count each.
///
/// The gate closes when the drain begins: from then on [`guard`](Self::guard) and [`Place::enter`] refuse. So each piece
/// of work is either refused or waited for: take the guard first, and then what it is for, such as a message off a queue. Work
/// that belongs to one that is in flight gets [`Guard::nested`].
#[derive(Debug, Clone)]
pub struct InFlight {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    gate: &'static Gate,
    next: AtomicU64,
    named: Mutex<HashMap<u64, Named>>,
    places: Mutex<Vec<Place>>,
}

#[derive(Debug, Clone)]
struct Named {
    name: Cow<'static, str>,
    at: &'static Location<'static>,
    since: Timestamp,
}

impl InFlight {
    pub(crate) fn new() -> Self {
        let gate = Gate::leak();
        let (named, places) = (Mutex::new(HashMap::new()), Mutex::new(Vec::new()));
        Self { shared: Arc::new(Shared { gate, next: AtomicU64::new(0), named, places }) }
    }

    /// Something with a name is in flight until the guard is dropped.
    ///
    /// # Errors
    /// [`Stopping`] when the drain has begun.
    #[track_caller]
    pub fn guard(&self, name: impl Into<Cow<'static, str>>) -> Result<Guard, Stopping> {
        let guard = self.add(name.into(), Location::caller());
        if self.shared.gate.is_closed() { Err(Stopping) } else { Ok(guard) }
    }

    fn add(&self, name: Cow<'static, str>, at: &'static Location<'static>) -> Guard {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.shared.named).insert(id, Named { name, at, since: clock::now() });
        Guard { all: self.clone(), id }
    }

    /// A place where many small pieces of work begin; to be made once and kept (it is never freed).
    #[track_caller]
    #[must_use]
    pub fn place(&self, name: &'static str) -> Place {
        self.place_at(name, Location::caller())
    }

    pub(crate) fn place_at(&self, name: &'static str, at: &'static Location<'static>) -> Place {
        let place = Place::new(name, at, Shards::leak(), self.shared.gate);
        lock(&self.shared.places).push(place);
        place
    }

    /// How much is in flight. Exact once the gate is closed; before, as exact as a count can be that others change.
    #[must_use]
    pub fn count(&self) -> usize {
        let small: usize = lock(&self.shared.places).iter().map(Place::count).sum();
        lock(&self.shared.named).len() + small
    }

    /// Whether nothing is in flight; the gate must be closed.
    ///
    /// All ends are read before all beginnings: work that has handed over to other work is not seen to have ended unless the
    /// other is seen to have begun, in whichever parts and ways the two are counted.
    fn is_empty(&self) -> bool {
        let ended = self.sum(Place::ended);
        let named = lock(&self.shared.named).len();
        named == 0 && self.sum(Place::begun) == ended
    }

    fn sum(&self, of: impl Fn(&Place) -> usize) -> usize {
        lock(&self.shared.places).iter().fold(0, |sum, place| sum.wrapping_add(of(place)))
    }

    /// Refuses whatever is not counted yet.
    pub(crate) fn close(&self) {
        self.shared.gate.close();
    }

    /// Returns when nothing is in flight; the gate must be closed. Cancel safe.
    pub(crate) async fn drained(&self) {
        loop {
            // Made before the look: what ends after the look wakes it.
            let ended = self.shared.gate.next_end();
            if self.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Who is in flight, the oldest first; `stopping`: since when nothing new is taken on.
    pub(crate) fn list(&self, closed: Timestamp) -> Vec<StillInFlight> {
        let now = clock::now();
        let named: Vec<Named> = lock(&self.shared.named).values().cloned().collect();
        let mut list: Vec<StillInFlight> = named.into_iter().map(|of| of.still(now)).collect();
        for place in lock(&self.shared.places).iter().filter(|place| place.count() > 0) {
            list.push(StillInFlight {
                name: place.name().to_owned(),
                place: place.at().to_string(),
                count: place.count(),
                age: now.since(closed),
                exact: false,
            });
        }
        list.sort_by_key(|of| std::cmp::Reverse(of.age));
        list
    }
}

impl Named {
    fn still(self, now: Timestamp) -> StillInFlight {
        let Self { name, at, since } = self;
        StillInFlight { name: name.into_owned(), place: at.to_string(), count: 1, age: now.since(since), exact: true }
    }
}

/// One named piece of work in flight; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the work is in flight only until the guard is dropped"]
pub struct Guard {
    all: InFlight,
    id: u64,
}

impl Guard {
    /// Work that belongs to this one; never refused, as the drain waits for this one anyway.
    #[track_caller]
    pub fn nested(&self, name: impl Into<Cow<'static, str>>) -> Self {
        self.all.add(name.into(), Location::caller())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let ended = lock(&self.all.shared.named).remove(&self.id);
        drop(ended);
        // The lock orders this after the removal; a closed gate is seen here or the removal by whoever closed it.
        self.all.shared.gate.ended();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    /// Work hands over to work that belongs to it, again and again and from thread to thread; whoever looks meanwhile must
    /// never believe that nothing is in flight.
    #[test]
    fn a_relay_of_nested_work_is_never_overlooked() {
        let in_flight = InFlight::new();
        let place = in_flight.place("relay");
        let first = in_flight.guard("the first").expect("open");
        in_flight.close();
        let over = Arc::new(AtomicBool::new(false));
        let looks = Arc::new(AtomicUsize::new(0));
        let looker = {
            let (in_flight, over, looks) = (in_flight.clone(), over.clone(), looks.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let empty = in_flight.is_empty();
                    // Over is said before the last piece of work ends.
                    assert!(!empty || over.load(Ordering::SeqCst), "work in flight was overlooked");
                    looks.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let mut baton = place.enter_late();
        drop(first);
        while looks.load(Ordering::SeqCst) < 2_000 {
            // A thread of its own counts in a part of its own.
            let next = std::thread::spawn(move || place.enter_late()).join().expect("it counts");
            drop(std::mem::replace(&mut baton, next));
            assert!(!looker.is_finished(), "the looker has fallen");
        }
        over.store(true, Ordering::SeqCst);
        drop(baton);
        looker.join().expect("nothing was overlooked");
        assert!(in_flight.is_empty());
    }

    /// Work begins on more threads than have parts of their own while the gate closes: all of it is either refused or waited
    /// for.
    #[test]
    fn whoever_comes_as_the_gate_closes_is_refused_or_waited_for() {
        const THREADS: usize = 20;
        for round in 0..40 {
            let in_flight = InFlight::new();
            let place = in_flight.place("work");
            let drained = Arc::new(AtomicBool::new(false));
            let begun = Arc::new(AtomicUsize::new(0));
            let workers: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (drained, begun) = (drained.clone(), begun.clone());
                    std::thread::spawn(move || {
                        while let Ok(entered) = place.enter() {
                            let _begun = begun.fetch_add(1, Ordering::Relaxed);
                            std::hint::spin_loop();
                            assert!(!drained.load(Ordering::SeqCst), "work was overlooked");
                            drop(entered);
                        }
                    })
                })
                .collect();
            while begun.load(Ordering::Relaxed) < THREADS * (round % 5 + 1) {
                std::thread::yield_now();
            }
            in_flight.close();
            let waiting = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            waiting.block_on(in_flight.drained());
            drained.store(true, Ordering::SeqCst);
            for worker in workers {
                worker.join().expect("nothing was overlooked");
            }
            assert_eq!(place.begun(), place.ended());
        }
    }

    #[test]
    fn parts_go_from_thread_to_thread_and_count_on() {
        let in_flight = InFlight::new();
        let place = in_flight.place("short lives");
        let kept: Vec<_> = (0..200)
            .map(|_| {
                let enter = move || (place.enter().expect("open"), drop(place.enter().expect("open")));
                std::thread::spawn(enter).join().expect("it counts").0
            })
            .collect();
        assert_eq!((in_flight.count(), place.begun()), (200, 400));
        drop(kept);
        assert_eq!((in_flight.count(), place.ended()), (0, 400));
    }
}
