//! Who pays that two threads see each other: a piece of work that begins as the gate closes is seen by whoever closes it, or
//! sees that it is closed. Each of the two writes and then reads what the other writes, which takes a full barrier on both sides:
//! work would pay for it each time, and a stop closes the gate once. So the stop pays for both, with a barrier on every thread
//! (`membarrier(2)`, as in userspace RCU); where the kernel has none, work pays by atomic read-modify-writes.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

/// Whether the stop pays: from some moment on for good.
static STOP_PAYS: AtomicBool = AtomicBool::new(false);

/// Asks the kernel, once. With other threads there it answers late, and is not waited for.
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

/// Whether work has to order its own writes before its reads. To be asked before the write.
#[inline]
pub(crate) fn work_pays() -> bool {
    !STOP_PAYS.load(Ordering::Acquire)
}

/// Between the write and the read of work that does not pay: keeps the compiler, at least, from changing their order.
#[inline]
pub(crate) fn light() {
    compiler_fence(Ordering::SeqCst);
}

/// After the gate was closed and before counts are looked at: what any thread has counted before it saw the gate open is seen.
pub(crate) fn heavy() {
    fence(Ordering::SeqCst);
    #[cfg(target_os = "linux")]
    if STOP_PAYS.load(Ordering::SeqCst) {
        // Cannot fail once it is registered; and if it did, a piece of work that began at this very moment might not be waited for.
        let _registered = adieu_linux::barrier::everywhere();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Store buffering, the one thing that processors do out of order here: without a barrier on both sides each of the two
    /// misses the other's write once in a while (three times in 200,000 rounds when `heavy` does nothing).
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
