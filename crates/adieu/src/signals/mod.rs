//! Signals for the whole process, with the semantics of Go's `os/signal`.
//!
//! Several subscribers of one signal each get a copy. Delivery never blocks: a subscriber whose queue is full misses the
//! signal. Among [`subscribe`] and [`ignore`] the later call wins. When the last subscriber has gone or [`reset`] has taken
//! the signal away, it has the action again that it had before: its default action, or none if it was ignored, by [`ignore`]
//! or by whoever started the process.
//!
//! | before | call | afterwards |
//! |---|---|---|
//! | default or ignored | [`subscribe`] | delivered |
//! | any | [`ignore`] | ignored; no subscriber gets it any more |
//! | delivered | [`reset`], or the last [`Subscription`] stops | what it was before the subscription |
//! | ignored | [`reset`] | ignored |
//!
//! The stop signals of an [`App`](crate::App) are its own while it lives: these functions neither take them from it nor
//! keep a subscriber from getting its copy of them. A child process starts with the default action for whatever is ignored
//! here.
//!
//! ```no_run
//! use adieu::{Signal, signals};
//!
//! # async fn example() -> std::io::Result<()> {
//! let mut hangups = signals::subscribe([Signal::HUP], 1)?;
//! while let Some(_hangup) = hangups.recv().await {
//!     println!("reading the configuration again");
//! }
//! # Ok(())
//! # }
//! ```

mod hook;
mod hub;
mod stdout;

use std::io;

use adieu_core::signal::Signal;
use tokio::sync::mpsc;

pub(crate) use self::hook::run_at_each;
pub(crate) use self::hub::{Inherited, Seat};
pub use self::stdout::end_on_closed_stdout;

/// Copies of signals; dropping it or [`stop`](Self::stop) ends them.
#[derive(Debug)]
pub struct Subscription {
    copies: mpsc::Receiver<Signal>,
    seat: hub::Seat,
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
        let Self { mut copies, seat } = self;
        drop(seat);
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
    let seat = hub::subscribe(&signals, sender)?;
    Ok(Subscription { copies, seat })
}

/// These signals have no effect from now on, and nobody gets them.
///
/// # Errors
/// As [`subscribe`].
pub fn ignore(signals: impl IntoIterator<Item = Signal>) -> io::Result<()> {
    hub::ignore(&signals.into_iter().collect::<Vec<_>>())
}

/// Undoes what [`subscribe`] has done for these signals, for all subscribers.
pub fn reset(signals: impl IntoIterator<Item = Signal>) {
    hub::reset(&signals.into_iter().collect::<Vec<_>>());
}

/// Whether this signal has no effect now, by [`ignore`] or because it was ignored when the process began.
#[must_use]
pub fn is_ignored(signal: Signal) -> bool {
    hub::is_ignored(signal)
}
