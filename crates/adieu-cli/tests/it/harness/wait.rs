//! Waiting for what is to come. No test says how quickly: a machine that also builds and loads may take its time.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for anything before it calls it a failure. Long, because two cores also build and load.
/// What must not be waited for takes much longer still ([`NEVER`]).
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// For an option: longer than any test lives. What ends all the same has not waited for it, on however slow a machine.
pub(crate) const NEVER: &str = "10m";
/// A grace with room for [`NEVER`] in it.
pub(crate) const NEVER_AND_MORE: &str = "20m";

/// Waits for a condition; panics when that takes too long.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    come(what, || holds().then_some(()));
}

/// Waits until a look finds something; panics when that takes too long.
pub(crate) fn come<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    come_within(PATIENCE, what, look)
}

/// As [`come`], for what is many waits in a row.
pub(crate) fn come_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < patience, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
