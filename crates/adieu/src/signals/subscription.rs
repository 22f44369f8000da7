//! Subscribers, each of which gets its copy of a signal.

use std::io;

use adieu_core::signal::Signal;
use tokio::sync::mpsc;

use super::hub;

/// Copies of signals; dropping it or [`stop`](Self::stop) ends them.
#[derive(Debug)]
pub struct Subscription {
    copies: mpsc::Receiver<Signal>,
    registration: hub::Registration,
}

impl Subscription {
    /// The next signal; `None` only when this is out of reach (never, while it lives). Cancel safe.
    pub async fn recv(&mut self) -> Option<Signal> {
        self.copies.recv().await
    }

    /// As [`recv`](Self::recv), for a thread outside of any runtime.
    pub fn blocking_recv(&mut self) -> Option<Signal> {
        self.copies.blocking_recv()
    }

    /// The next signal, if one has come.
    pub fn try_recv(&mut self) -> Option<Signal> {
        self.copies.try_recv().ok()
    }

    /// Ends the delivery. What was delivered and not received yet is returned.
    #[must_use = "signals that have come and were not looked at"]
    pub fn stop(self) -> Vec<Signal> {
        let Self { mut copies, registration } = self;
        drop(registration);
        std::iter::from_fn(|| copies.try_recv().ok()).collect()
    }
}

/// Gets a copy of each of these signals from now on; at most `capacity` (at least one) wait to be received.
///
/// # Errors
/// `InvalidInput` for a signal that no process can handle (KILL, STOP) or should (SEGV, ILL, FPE); what `sigaction(2)` says,
/// or the start of the first thread.
pub fn subscribe(signals: impl IntoIterator<Item = Signal>, capacity: usize) -> io::Result<Subscription> {
    let signals: Vec<Signal> = signals.into_iter().collect();
    let (sender, copies) = mpsc::channel(capacity.max(1));
    let registration = hub::subscribe(&signals, sender)?;
    Ok(Subscription { copies, registration })
}
