//! The clock of all machines of this process: monotonic, from its first use on. It is tokio's clock, so it can be
//! paused.

use std::sync::OnceLock;
use std::time::Duration;

use adieu_core::Timestamp;
use tokio::time::Instant;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// The time since the clock was first used.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_origin(Instant::now().saturating_duration_since(*ORIGIN.get_or_init(Instant::now)))
}

/// The time until `at`; zero if `at` has passed.
pub(crate) fn until(at: Timestamp) -> Duration {
    at.since(now())
}
