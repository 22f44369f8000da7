//! Components that the library registers itself.

use adieu_core::stop_plan::Phase;
use tokio_util::sync::CancellationToken;

use crate::hook::Entry;

/// Waits in the drain until nothing is in flight.
pub(crate) fn in_flight_entry() -> Entry {
    let mut entry = Entry::new("work in flight".to_owned());
    entry.hook(
        Phase::Drain,
        Box::new(|context| {
            Box::pin(async move {
                context.in_flight().drained().await;
                Ok(())
            })
        }),
    );
    entry.hooks_are_ours();
    entry
}

/// Waits in the drain until `main` has called [`Shutdown::finish`](crate::Shutdown::finish).
pub(crate) fn main_entry(finished: CancellationToken) -> Entry {
    let mut entry = Entry::new("main".to_owned());
    entry.hook(
        Phase::Drain,
        Box::new(move |_| {
            Box::pin(async move {
                finished.cancelled().await;
                Ok(())
            })
        }),
    );
    entry.hooks_are_ours();
    entry
}
