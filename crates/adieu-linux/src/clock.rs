//! The monotonic and the wall clock (`clock_gettime(2)`), as the drivers hand them to core.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adieu_core::Timestamp;

/// Now, on CLOCK_MONOTONIC: the same origin for every process of this boot.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_origin(read(libc::CLOCK_MONOTONIC))
}

/// Processor time of this thread so far (CLOCK_THREAD_CPUTIME_ID).
#[must_use]
pub fn thread_time() -> Duration {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that the call fills in.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Now as seconds since the Unix epoch (UTC).
#[must_use]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
