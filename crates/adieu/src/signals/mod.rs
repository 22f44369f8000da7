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
