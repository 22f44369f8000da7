//! The gate that work in flight passes: open until the drain begins, and closed for good after that.

use std::sync::atomic::{self, AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::fence;

/// What guards look at: places live for ever, and so does this.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    ended: Notify,
}

impl Gate {
    /// An open gate, which lives for ever.
    pub(crate) fn leak() -> &'static Self {
        fence::prepare();
        Box::leak(Box::default())
    }

    /// To be asked after the work has been counted: whoever closes the gate looks at the counts after that, so one of the
    /// two sees the other ([`fence`]).
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn close(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            fence::heavy();
        }
    }

    /// Some work has ended and is counted as such.
    #[inline]
    pub(crate) fn ended(&self) {
        if self.is_closed() {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // The count was written before, and whoever waits looks at it after having asked to be woken.
        atomic::fence(Ordering::SeqCst);
        self.ended.notify_waiters();
    }

    /// Returns when work has ended after this was called: make it, look at the counts, and await it only then.
    pub(crate) fn next_end(&self) -> Notified<'_> {
        let ended = self.ended.notified();
        atomic::fence(Ordering::SeqCst);
        ended
    }
}
