//! The gate of work in flight: open until the drain begins, closed for good after that.
//!
//! Two races are decided here. [`fence`] decides the first: work that begins as the gate closes is refused or seen.
//!
//! The second: work that ends as the drain looks. Each side writes, then reads what the other side writes:
//!
//! ```text
//! thread 1: the last work ends               thread 2: the drain waits, the gate is closed
//! E1  ended.store(n + 1)                     D1  next_end(): register for wake-ups
//!     light()                                    SeqCst fence (in next_end)
//! E2  closed.load()                          D2  ended.load()
//!     if closed: SeqCst fence (in wake)          if equal to begun: done, or else await D1
//! E3  notify_waiters()
//! ```
//!
//! **Invariant.** D2 reads the value of E1, or E3 wakes D1. So the drain never sleeps through the last end.
//! - E2 reads `false`: then, by the invariant of [`fence`] with E1 for W1 and E2 for W2, whatever is read after `close`
//!   sees E1. D2 is after `close`.
//! - E2 reads `true`: both sides execute a `SeqCst` fence between their write and their read. If thread 1's fence comes
//!   first in the single order, D2 reads E1. If thread 2's comes first, D1 was registered before E3, which wakes it:
//!   `Notify::notify_waiters` wakes every `Notified` that was made before, polled or not.

use std::sync::atomic::{self, AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::fence;

/// Whether the gate is closed, and who waits for the end of work. Leaked, as tokens of leaked counters refer to it.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    ended: Notify,
}

impl Gate {
    /// Makes an open gate that lives for ever.
    pub(crate) fn leak() -> &'static Self {
        fence::prepare();
        Box::leak(Box::default())
    }

    /// W2 and E2: call it after the work has been counted, and after [`fence::light`].
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// S1, and the heavy fence. Read counts only after this.
    pub(crate) fn close(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            fence::heavy();
        }
    }

    /// Wakes the drain if the gate is closed. Call it after the end has been counted (E1).
    #[inline]
    pub(crate) fn ended(&self) {
        if self.is_closed() {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Pairs with the fence in `next_end`.
        atomic::fence(Ordering::SeqCst);
        self.ended.notify_waiters();
    }

    /// Returns when work ends after this call. Make it (D1), read the counts (D2), and await it only if they differ.
    pub(crate) fn next_end(&self) -> Notified<'_> {
        let ended = self.ended.notified();
        // Pairs with the fence in `wake`.
        atomic::fence(Ordering::SeqCst);
        ended
    }
}
