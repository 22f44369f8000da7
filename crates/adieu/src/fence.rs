//! An asymmetric fence: it orders work that begins against the stop that closes the gate, at the stop's expense.
//!
//! # What must hold
//!
//! Each side writes, and then reads what the other side writes (store buffering, the pattern of Dekker's algorithm):
//!
//! ```text
//! thread 1: a piece of work begins          thread 2: the stop closes the gate
//! W1  begun.store(n + 1)                    S1  closed.swap(true)
//!     light()                                   heavy()
//! W2  closed.load()                         S2  begun.load()
//! ```
//!
//! **Invariant.** W2 reads `true`, or S2 reads the value of W1. So each piece of work is refused or waited for.
//!
//! Acquire and release do not give this: they allow a processor to keep W1 in its store buffer while it executes W2,
//! and likewise S1 and S2. Then W2 reads `false`, S2 misses W1, and the stop does not wait for accepted work.
//!
//! # Why it holds
//!
//! *With `membarrier(2)`* (`STOP_PAYS` is true): between S1 and S2 the kernel makes every running thread of the process
//! execute a full barrier; a thread that does not run has executed one when it was switched out. Call thread 1's
//! barrier B. [`light`] keeps the compiler from moving W2 before W1, so B lies in one of two places:
//! - before W2: S1 is before the system call and so before B, and W2 reads `true`;
//! - after W2, and so after W1: the value of W1 has left the store buffer when the system call returns, and S2 reads
//!   it.
//!
//! *Without it* (`STOP_PAYS` is false): W1 is a `SeqCst` read-modify-write, W2, S1 and S2 are `SeqCst`. In the single
//! order of all `SeqCst` operations either W1 is before S2, which reads it then, or S1 < S2 < W1 < W2, and W2 reads
//! `true`.
//!
//! *While it changes*, from false to true for good: if thread 1 reads false and thread 2 true, the second argument
//! holds, as [`heavy`] has only added a barrier. If thread 1 reads true and thread 2 reads false, then in the single
//! order S1 < thread 2's read < the write of `STOP_PAYS` < thread 1's read < W2, and W2 reads `true`. This is why both
//! reads of `STOP_PAYS` are `SeqCst` too: with an `Acquire` read in thread 1 the last but one step would be missing.
//!
//! The kernel's side is described in `membarrier(2)`; userspace RCU and folly (`asymmetric_thread_fence_light`,
//! `_heavy`) use the same pair.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

/// Whether the process is registered for `membarrier(2)`. Becomes true at most once, and stays true.
static STOP_PAYS: AtomicBool = AtomicBool::new(false);

/// Registers the process for `membarrier(2)`, once.
///
/// The kernel answers at once while there is one thread. With more it waits for a grace period of RCU (tens of
/// milliseconds), so then a thread of its own waits for it.
pub(crate) fn prepare() {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        if is_alone() {
            register();
        } else {
            // Without a thread nothing registers, and work keeps paying for the order.
            let _detached = std::thread::Builder::new().name("adieu-fence".to_owned()).spawn(register);
        }
    });
}

#[cfg(target_os = "linux")]
fn register() {
    if adieu_linux::barrier::register().is_ok() {
        STOP_PAYS.store(true, Ordering::SeqCst);
    }
}

#[cfg(target_os = "linux")]
fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

#[cfg(not(target_os = "linux"))]
fn register() {}

#[cfg(not(target_os = "linux"))]
fn is_alone() -> bool {
    true
}

/// Whether W1 must be a `SeqCst` read-modify-write. Call it before W1.
#[inline]
pub(crate) fn work_pays() -> bool {
    // `SeqCst`: see the module, "While it changes". On x86-64 and AArch64 it costs what `Acquire` costs.
    !STOP_PAYS.load(Ordering::SeqCst)
}

/// The fence between W1 and W2: it orders the compiler only, and pairs with [`heavy`].
#[inline]
pub(crate) fn light() {
    compiler_fence(Ordering::SeqCst);
}

/// The fence between S1 and S2: it orders this thread and, by `membarrier(2)`, every other thread. Pairs with
/// [`light`].
pub(crate) fn heavy() {
    fence(Ordering::SeqCst);
    #[cfg(target_os = "linux")]
    if STOP_PAYS.load(Ordering::SeqCst) {
        // Cannot fail once the process is registered. If it did, work that begins at this very moment could be
        // overlooked.
        let _registered = adieu_linux::barrier::everywhere();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// The invariant of the module, with W1, W2, S1 and S2. Without `heavy` both sides miss each other's write three
    /// times in 200,000 rounds.
    #[test]
    fn work_and_stop_never_both_miss_each_other() {
        let rounds: usize = if std::env::var_os("ADIEU_PROVE").is_some() { 200_000 } else { 10_000 };
        prepare();
        let patience = std::time::Instant::now();
        while work_pays() && patience.elapsed().as_secs() < 20 {
            std::thread::yield_now();
        }
        assert!(!work_pays(), "the kernel has no membarrier(2)");
        let [work, stop, turn, seen] = [const { AtomicUsize::new(0) }; 4];
        let (ready, mut missed) = (Barrier::new(2), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                ready.wait();
                for round in 1..=rounds {
                    // Awake when its turn comes, unless the machine has other things to do.
                    let mut spins = 0_u32;
                    while turn.load(Ordering::Acquire) < round {
                        spins += 1;
                        if spins.is_multiple_of(1_000) { std::thread::yield_now() } else { std::hint::spin_loop() }
                    }
                    work.store(round, Ordering::Release);
                    light();
                    let closed = stop.load(Ordering::SeqCst) == round;
                    seen.store(2 * round + usize::from(closed), Ordering::Release);
                }
            });
            ready.wait();
            for round in 1..=rounds {
                turn.store(round, Ordering::Release);
                for _ in 0..round % 64 {
                    std::hint::spin_loop();
                }
                stop.store(round, Ordering::SeqCst);
                heavy();
                let counted = work.load(Ordering::SeqCst) == round;
                let mut saw = seen.load(Ordering::Acquire);
                while saw < 2 * round {
                    std::thread::yield_now();
                    saw = seen.load(Ordering::Acquire);
                }
                missed += usize::from(!counted && saw % 2 == 0);
            }
        });
        assert_eq!(missed, 0, "so often neither saw the other");
    }
}
