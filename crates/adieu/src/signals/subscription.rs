//! Subscribers, each of which gets its copy of a signal.

use std::io;

use adieu_core::signal::Signal;
use tokio::sync::mpsc;

use super::hub;

/// Copies of signals. Made by [`subscribe`]; dropping it, or [`stop`](Self::stop), ends the delivery.
#[derive(Debug)]
pub struct Subscription {
    copies: mpsc::Receiver<Signal>,
    registration: hub::Registration,
}

impl Subscription {
    /// Returns the next signal. (`None` never comes while the subscription lives.)
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no signal is lost.
    pub async fn recv(&mut self) -> Option<Signal> {
        self.copies.recv().await
    }

    /// Returns the next signal, as [`recv`](Self::recv), in a thread outside of any runtime.
    ///
    /// # Panics
    ///
    /// When it is called by a task of a runtime.
    pub fn blocking_recv(&mut self) -> Option<Signal> {
        self.copies.blocking_recv()
    }

    /// Returns the next signal, if one has come.
    pub fn try_recv(&mut self) -> Option<Signal> {
        self.copies.try_recv().ok()
    }

    /// Ends the delivery, and returns the signals that were delivered and not received yet.
    #[must_use = "signals that were delivered and not received"]
    pub fn stop(self) -> Vec<Signal> {
        let Self { mut copies, registration } = self;
        drop(registration);
        std::iter::from_fn(|| copies.try_recv().ok()).collect()
    }
}

/// Delivers a copy of each of these signals from now on. At most `capacity` (at least one) signals wait to be received;
/// what comes beyond that is missed.
///
/// ```
/// use adieu::{Signal, signals};
///
/// let mut hangups = signals::subscribe([Signal::HUP], 1)?;
/// assert_eq!(hangups.try_recv(), None);
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` for a signal that no process can handle (KILL, STOP) or should handle (SEGV, ILL, FPE); errors of
/// `sigaction(2)` and of starting a thread.
pub fn subscribe(signals: impl IntoIterator<Item = Signal>, capacity: usize) -> io::Result<Subscription> {
    let signals: Vec<Signal> = signals.into_iter().collect();
    let (sender, copies) = mpsc::channel(capacity.max(1));
    let registration = hub::subscribe(&signals, sender)?;
    Ok(Subscription { copies, registration })
}
