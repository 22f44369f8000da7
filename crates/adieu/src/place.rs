//! Counting what begins on one thread and ends on another without the threads getting into each other's way.

use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use crate::error::Stopping;
use crate::guard::Gate;

/// How many threads count without sharing a cache line; more than these share.
const SHARDS: usize = 16;

/// One thread's part of a count, alone on its cache lines (two: processors fetch pairs). Work that ends on another thread
/// than it began on makes one part negative; only the sum means something.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(AtomicIsize);

#[derive(Debug, Default)]
pub(crate) struct Shards([Shard; SHARDS]);

impl Shards {
    pub(crate) fn leak() -> &'static Self {
        Box::leak(Box::default())
    }

    fn own(&self) -> &AtomicIsize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
        }
        let index = OWN.try_with(|own| {
            if own.get() == usize::MAX {
                own.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
            }
            own.get()
        });
        // While a thread ends its locals are gone; any part will do.
        &self.0[index.unwrap_or(0) % SHARDS].0
    }

    /// With the gate closed only ends are counted, so a sum of zero, however long it took to read, stays zero.
    fn sum(&self) -> usize {
        let sum: isize = self.0.iter().map(|shard| shard.0.load(Ordering::SeqCst)).sum();
        usize::try_from(sum).unwrap_or(0)
    }
}

/// A place in the source where many small pieces of work begin, such as requests. Copied freely.
///
/// Entering and leaving costs about as much as cloning and dropping an `Arc`, and stays that cheap when several threads
/// do it at once.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    name: &'static str,
    at: &'static Location<'static>,
    shards: &'static Shards,
    gate: &'static Gate,
}

impl Place {
    pub(crate) fn new(
        name: &'static str,
        at: &'static Location<'static>,
        shards: &'static Shards,
        gate: &'static Gate,
    ) -> Self {
        Self { name, at, shards, gate }
    }

    /// One more is in flight until the guard is dropped.
    ///
    /// # Errors
    /// [`Stopping`] when the drain has begun.
    pub fn enter(&self) -> Result<Entered, Stopping> {
        let entered = self.enter_late();
        if self.gate.is_closed() { Err(Stopping) } else { Ok(entered) }
    }

    /// As [`enter`](Self::enter), for work that belongs to some that is in flight, which the drain waits for anyway.
    pub fn enter_late(&self) -> Entered {
        self.shards.own().fetch_add(1, Ordering::SeqCst);
        Entered { shards: self.shards, gate: self.gate }
    }

    /// How many are in flight here.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shards.sum()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where it was made.
    #[must_use]
    pub fn at(&self) -> &'static Location<'static> {
        self.at
    }
}

/// One piece of work in flight; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the work is in flight only until this is dropped"]
pub struct Entered {
    shards: &'static Shards,
    gate: &'static Gate,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.shards.own().fetch_sub(1, Ordering::SeqCst);
        self.gate.ended();
    }
}
