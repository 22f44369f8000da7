//! Components that every application has.

use adieu_core::stop_plan::Phase;

use crate::app::App;
use crate::hook::{Entry, Slot};

/// Waits, in the drain, for whoever holds a guard.
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

pub(crate) fn in_flight(app: &App) {
    drop(app.register(in_flight_entry(), Slot::filled(())));
}
