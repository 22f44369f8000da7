//! The clock of all machines of this process: monotonic, since the first look at it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use adieu_core::Timestamp;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_origin(ORIGIN.get_or_init(Instant::now).elapsed())
}

/// How long it is until `at`.
pub(crate) fn until(at: Timestamp) -> Duration {
    at.since(now())
}
