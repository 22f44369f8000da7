//! The clock of all machines of this process: monotonic, since the first look at it. Tokio's, so that it stands still where
//! that is paused.

use std::sync::OnceLock;
use std::time::Duration;

use adieu_core::Timestamp;
use tokio::time::Instant;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_origin(Instant::now().saturating_duration_since(*ORIGIN.get_or_init(Instant::now)))
}

/// How long it is until `at`.
pub(crate) fn until(at: Timestamp) -> Duration {
    at.since(now())
}
