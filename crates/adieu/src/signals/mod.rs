//! Signals for the whole process, with the semantics of Go's `os/signal`.
//!
//! # Guarantees
//!
//! - Each subscriber of a signal gets a copy.
//! - Delivery never blocks: a subscriber whose queue is full misses the signal.
//! - Of [`subscribe`] and [`ignore`] the later call wins.
//! - When the last subscriber is gone, or [`reset`] was called, a signal has the action that it had before: its default
//!   action, or none if [`ignore`] or the parent process has it ignored.
//!
//! - The stop signals of an [`App`](crate::App) stop it whatever these functions do. A subscriber gets a copy of them
//!   too.
//! - A child process starts with the default action of a signal that is ignored here.
//!
//! | before | call | afterwards |
//! |---|---|---|
//! | default or ignored | [`subscribe`] | delivered |
//! | any | [`ignore`] | ignored; no subscriber gets it any more |
//! | delivered | [`reset`], or the last [`Subscription`] stops | what it was before the subscription |
//! | ignored | [`reset`] | ignored |
//!
//! # When not to use it
//!
//! To run code at a signal while an application runs, [`App::on_signal`](crate::App::on_signal) is simpler.
//!
//! # Examples
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

mod hub;
mod run_at_each;
mod stdout;
mod subscription;

use std::io;

use adieu_core::signal::Signal;

pub(crate) use self::hub::{Inherited, Registration};
pub(crate) use self::run_at_each::run_at_each;
pub use self::stdout::end_on_closed_stdout;
pub use self::subscription::{Subscription, subscribe};

/// Makes these signals have no effect from now on. No subscriber gets them any more.
///
/// # Errors
///
/// As [`subscribe`].
pub fn ignore(signals: impl IntoIterator<Item = Signal>) -> io::Result<()> {
    hub::ignore(&signals.into_iter().collect::<Vec<_>>())
}

/// Undoes [`subscribe`] for these signals, for all subscribers.
pub fn reset(signals: impl IntoIterator<Item = Signal>) {
    hub::reset(&signals.into_iter().collect::<Vec<_>>());
}

/// Whether this signal has no effect now, because of [`ignore`] or because the parent process had it ignored.
#[must_use]
pub fn is_ignored(signal: Signal) -> bool {
    hub::is_ignored(signal)
}
