//! Counting what begins on one thread and ends on another without the threads getting into each other's way.

use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Stopping;
use crate::guard::Gate;

/// How many threads count without sharing a cache line; more than these share.
const SHARDS: usize = 16;

/// One thread's part of a count, alone on its cache lines (two: processors fetch pairs): what has begun on that thread and not
/// ended, on whichever thread it does.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(AtomicUsize);

#[derive(Debug, Default)]
pub(crate) struct Shards([Shard; SHARDS]);

const UNKNOWN: usize = usize::MAX;

thread_local! {
    /// This thread's part of every count.
    static OWN: Cell<usize> = const { Cell::new(UNKNOWN) };
}

/// Threads get parts in turn.
#[cold]
fn assign(own: &Cell<usize>) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let index = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    own.set(index);
    index
}

impl Shards {
    pub(crate) fn leak() -> &'static Self {
        Box::leak(Box::default())
    }

    #[inline]
    fn own(&self) -> &AtomicUsize {
        // While a thread ends its locals are gone; any part will do.
        let index = OWN.try_with(|own| if own.get() == UNKNOWN { assign(own) } else { own.get() }).unwrap_or(0);
        &self.0[index % SHARDS].0
    }

    /// Parts are read one after the other: a sum of zero means that nothing is in flight only if nothing has begun
    /// meanwhile ([`Gate::late`]).
    fn sum(&self) -> usize {
        self.0.iter().map(|shard| shard.0.load(Ordering::SeqCst)).sum()
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
    #[inline]
    pub fn enter(&self) -> Result<Entered, Stopping> {
        let entered = self.count_one();
        if self.gate.is_closed() { Err(Stopping) } else { Ok(entered) }
    }

    /// As [`enter`](Self::enter), for work that belongs to some that is in flight, which the drain waits for anyway.
    #[inline]
    pub fn enter_late(&self) -> Entered {
        let entered = self.count_one();
        self.gate.late();
        entered
    }

    #[inline]
    fn count_one(&self) -> Entered {
        let shard = self.shards.own();
        shard.fetch_add(1, Ordering::SeqCst);
        Entered { shard, gate: self.gate }
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
    shard: &'static AtomicUsize,
    gate: &'static Gate,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        self.shard.fetch_sub(1, Ordering::SeqCst);
        self.gate.ended();
    }
}
