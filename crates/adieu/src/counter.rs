//! Counting what begins on one thread and ends on another without the threads getting into each other's way.
//!
//! **Invariant.** A thread writes only to its own part of a count, and no other thread writes there: so it needs no atomic
//! read-modify-write. What begins and what ends are counted apart, as both only grow: whoever reads all ends first and all
//! beginnings after that, and finds as many, knows that at a moment in between nothing was in flight.

use std::cell::Cell;
use std::panic::Location;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Stopping;
use crate::fence;
use crate::gate::Gate;
use crate::lock::lock;

/// How many threads have a part of their own, and one more part that all others share.
const OWNED: usize = 15;
const SHARED: usize = OWNED;

/// One thread's part of a count, alone on its cache lines (two: processors fetch pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

const UNKNOWN: usize = usize::MAX;

thread_local! {
    /// This thread's part of every count.
    static OWN: Cell<usize> = const { Cell::new(UNKNOWN) };
    /// Gives it back when the thread ends.
    static LEASE: Cell<Option<ShardLease>> = const { Cell::new(None) };
}

/// Parts that no living thread has. The lock hands their counts over, too.
static FREE: Mutex<[bool; OWNED]> = Mutex::new([true; OWNED]);

/// A part that this thread has.
struct ShardLease(usize);

impl Drop for ShardLease {
    fn drop(&mut self) {
        // What this thread still counts in its last steps.
        OWN.set(SHARED);
        if let Some(free) = lock(&FREE).get_mut(self.0) {
            *free = true;
        }
    }
}

#[cold]
fn assign() -> usize {
    let mut free = lock(&FREE);
    let found = free.iter().position(|free| *free);
    free.iter_mut().skip(found.unwrap_or(OWNED)).take(1).for_each(|free| *free = false);
    drop(free);
    let lease = found.map(ShardLease);
    let index = lease.as_ref().map_or(SHARED, |lease| lease.0);
    OWN.set(index);
    // Gone already in a thread's last steps: then the part is given back here, and `OWN` says so.
    let _kept = LEASE.try_with(|of_thread| of_thread.set(lease));
    OWN.get()
}

#[derive(Debug, Default)]
pub(crate) struct Shards([Shard; OWNED + 1]);

impl Shards {
    pub(crate) fn leak() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Counts one more in this thread's part.
    #[inline]
    fn add(&self, which: impl Fn(&Shard) -> &AtomicUsize) {
        let index = match OWN.get() {
            UNKNOWN => assign(),
            index => index,
        };
        // Never beyond the end: the bound is for the compiler.
        let count = which(&self.0[index.min(SHARED)]);
        if index >= SHARED || fence::work_pays() {
            count.fetch_add(1, Ordering::SeqCst);
        } else {
            // Released: whoever sees this end sees what began before it.
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
            fence::light();
        }
    }

    fn sum(&self, which: impl Fn(&Shard) -> &AtomicUsize) -> usize {
        self.0.iter().fold(0, |sum, shard| sum.wrapping_add(which(shard).load(Ordering::SeqCst)))
    }
}

/// Counts many small pieces of work, such as requests: each holds an [`InFlightToken`] while it is in flight. Copied freely.
///
/// Taking and dropping a token costs less than cloning and dropping an `Arc`, and stays that cheap when several threads do it at
/// once.
#[derive(Debug, Clone, Copy)]
pub struct InFlightCounter {
    name: &'static str,
    at: &'static Location<'static>,
    shards: &'static Shards,
    gate: &'static Gate,
}

impl InFlightCounter {
    pub(crate) fn new(
        name: &'static str,
        at: &'static Location<'static>,
        shards: &'static Shards,
        gate: &'static Gate,
    ) -> Self {
        Self { name, at, shards, gate }
    }

    /// One more is in flight until the token is dropped.
    ///
    /// # Errors
    /// [`Stopping`] when the drain has begun.
    #[inline]
    pub fn token(&self) -> Result<InFlightToken, Stopping> {
        let token = self.nested_token();
        if self.gate.is_closed() { Err(Stopping) } else { Ok(token) }
    }

    /// As [`token`](Self::token), for work that belongs to some that is in flight, which the drain waits for anyway.
    #[inline]
    pub fn nested_token(&self) -> InFlightToken {
        self.shards.add(|shard| &shard.begun);
        InFlightToken { shards: self.shards, gate: self.gate }
    }

    /// How many are in flight here.
    #[must_use]
    pub fn count(&self) -> usize {
        let ended = self.ended();
        self.begun().wrapping_sub(ended)
    }

    /// How many have begun here, ever.
    pub(crate) fn begun(&self) -> usize {
        self.shards.sum(|shard| &shard.begun)
    }

    /// How many have ended here, ever.
    pub(crate) fn ended(&self) -> usize {
        self.shards.sum(|shard| &shard.ended)
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
pub struct InFlightToken {
    shards: &'static Shards,
    gate: &'static Gate,
}

impl Drop for InFlightToken {
    #[inline]
    fn drop(&mut self) {
        self.shards.add(|shard| &shard.ended);
        self.gate.ended();
    }
}
