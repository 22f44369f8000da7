//! Counters of work in flight that many threads use at once without sharing a cache line.
//!
//! A counter has a shard for each of 15 threads, and one that all other threads share.
//!
//! **Invariant.** Only the thread that owns a shard writes to it, so a load and a store count, without a
//! read-modify-write. Ownership moves under the lock of `FREE`: a thread that has ended gives its shard back after its
//! last store, and the next owner takes it after that, so it sees the counts. The shared shard, and every shard while
//! [`fence::work_pays`], is counted by `fetch_add`.
//!
//! # Reading a sum of shards
//!
//! `begun` and `ended` are counted apart, and each only grows. The drain reads all `ended` first and all `begun` after
//! that:
//!
//! ```text
//! thread 1: work hands over to nested work    thread 2: the drain looks, the gate is closed
//! H1  begun.store(..)   (of the nested work)  L1  sum of ended.load(SeqCst)
//! H2  ended.store(.., Release)                L2  sum of begun.load(SeqCst)
//! ```
//!
//! If L1 reads the value of H2 (or a later one), H2 synchronizes with L1, so H1 happens before L2, and L2 counts the
//! nested work. So an end is never counted without what began before it, on whichever shards the two are; and if both
//! sums are equal, nothing was in flight at the moment between L1 and L2. As the gate was closed by then, nothing can
//! begin after it: new work could only belong to work in flight.
//!
//! Reading `begun` first would be wrong: between the two sums work could begin on one thread and end on another, the
//! end would make up for work that is still in flight, and the sums would be equal.

use std::cell::Cell;
use std::panic::Location;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Stopping;
use crate::fence;
use crate::gate::Gate;
use crate::lock::lock;

/// How many threads own a shard.
const OWNED: usize = 15;
/// The shard of all other threads.
const SHARED: usize = OWNED;

/// One thread's part of a counter, alone on its cache lines (two of them: processors prefetch pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

const UNKNOWN: usize = usize::MAX;

thread_local! {
    /// Index of this thread's shard in every counter.
    static OWN: Cell<usize> = const { Cell::new(UNKNOWN) };
    /// Gives the shard back when the thread ends.
    static LEASE: Cell<Option<ShardLease>> = const { Cell::new(None) };
}

/// Shards that no living thread owns. The lock orders the stores of the last owner before those of the next.
static FREE: Mutex<[bool; OWNED]> = Mutex::new([true; OWNED]);

/// Ownership of a shard, until it is dropped at the end of the thread.
struct ShardLease(usize);

impl Drop for ShardLease {
    fn drop(&mut self) {
        // Destructors of other thread-locals may count after this.
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
    // `LEASE` is gone in the last steps of a thread: then the lease is dropped here, and `OWN` is the shared shard
    // again.
    let _kept = LEASE.try_with(|of_thread| of_thread.set(lease));
    OWN.get()
}

#[derive(Debug, Default)]
pub(crate) struct Shards([Shard; OWNED + 1]);

impl Shards {
    pub(crate) fn leak() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Adds one to this thread's shard: W1 or E1 of [`fence`] and `gate`, with the light fence.
    #[inline]
    fn add(&self, which: impl Fn(&Shard) -> &AtomicUsize) {
        let index = match OWN.get() {
            UNKNOWN => assign(),
            index => index,
        };
        // `index` is never greater: `min` only saves the bounds check.
        let count = which(&self.0[index.min(SHARED)]);
        if index >= SHARED || fence::work_pays() {
            count.fetch_add(1, Ordering::SeqCst);
        } else {
            // The only writer of this shard, so `Relaxed` reads its own last store. `Release`: H2 of the module.
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
            fence::light();
        }
    }

    fn sum(&self, which: impl Fn(&Shard) -> &AtomicUsize) -> usize {
        self.0.iter().fold(0, |sum, shard| sum.wrapping_add(which(shard).load(Ordering::SeqCst)))
    }
}

/// Counts many small pieces of work, such as requests, that a stop waits for. Made by [`InFlight::counter`].
///
/// [`token`](Self::token) is for [`InFlight`] what `TaskTracker::token` is for tokio-util's `TaskTracker`: the work is
/// in flight until the token is dropped. A counter has a name, by which the report of a stop says how many were left,
/// and where.
///
/// # Guarantees
///
/// - From the moment the drain begins, `token` returns [`Stopping`]. Every token that was returned before is waited
///   for.
/// - Taking and dropping a token costs less than cloning and dropping an `Arc`, and threads do not slow each other
///   down: the first 15 threads have a count of their own.
/// - A counter is `Copy` and lives for ever: make it once, not for each request.
///
/// # When not to use it
///
/// Use a [`Guard`](crate::Guard) for work that is rare or long, such as an import: a guard has a name and an exact age
/// of its own.
///
/// # Examples
///
/// ```
/// # use adieu::App;
/// let app = App::new("shop");
/// let control = app.control();
/// let requests = control.in_flight().counter("requests"); // once
///
/// let token = requests.token()?; // per request
/// assert_eq!(requests.count(), 1);
/// drop(token);
/// assert_eq!(requests.count(), 0);
/// # Ok::<_, adieu::Stopping>(())
/// ```
///
/// [`InFlight`]: crate::InFlight
/// [`InFlight::counter`]: crate::InFlight::counter
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

    /// Counts one more piece of work, until the token is dropped.
    ///
    /// Take the token first, and then what it is for, such as a message off a queue: what was taken without a token is
    /// lost when the drain begins in between.
    ///
    /// # Errors
    ///
    /// [`Stopping`] when the drain has begun.
    #[inline]
    pub fn token(&self) -> Result<InFlightToken, Stopping> {
        let token = self.nested_token();
        if self.gate.is_closed() { Err(Stopping) } else { Ok(token) }
    }

    /// Counts work that belongs to other work in flight. Never refused: the drain waits for the other work anyway.
    ///
    /// Call it only while a token or a [`Guard`](crate::Guard) is held; otherwise the drain may be over already.
    ///
    /// ```
    /// # use adieu::App;
    /// # let app = App::new("shop");
    /// let requests = app.control().in_flight().counter("requests");
    /// let queries = app.control().in_flight().counter("queries");
    /// let request = requests.token()?;
    /// let query = queries.nested_token(); // also in the drain
    /// drop(request);
    /// assert_eq!(app.control().in_flight().count(), 1, "the query goes on without the request");
    /// drop(query);
    /// # Ok::<_, adieu::Stopping>(())
    /// ```
    #[inline]
    pub fn nested_token(&self) -> InFlightToken {
        self.shards.add(|shard| &shard.begun);
        InFlightToken { shards: self.shards, gate: self.gate }
    }

    /// How many tokens exist now. While other threads take and drop tokens, the number may be out of date at once.
    #[must_use]
    pub fn count(&self) -> usize {
        let ended = self.ended();
        self.begun().wrapping_sub(ended)
    }

    /// How many pieces of work have begun, ever.
    pub(crate) fn begun(&self) -> usize {
        self.shards.sum(|shard| &shard.begun)
    }

    /// How many pieces of work have ended, ever.
    pub(crate) fn ended(&self) -> usize {
        self.shards.sum(|shard| &shard.ended)
    }

    /// The name that [`InFlight::counter`](crate::InFlight::counter) was given.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where in the source the counter was made.
    #[must_use]
    pub fn at(&self) -> &'static Location<'static> {
        self.at
    }
}

/// A piece of work in flight, counted by an [`InFlightCounter`] until the token is dropped.
///
/// May be dropped on another thread than the one that took it.
#[derive(Debug)]
#[must_use = "the work is in flight only until the token is dropped"]
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
