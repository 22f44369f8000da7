//! Sans-IO state machines and wire formats of adieu: no I/O, no clock, no unsafe code.
//!
//! Every machine has the same four verbs: `handle(now, event)`, `handle_timeout(now)`, `poll_timeout()` and
//! `poll_action()`. The caller brings the time and performs the actions; nothing here blocks or fails to terminate.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)
)]

pub mod address;
pub mod duration;
pub mod escalation;
pub mod group;
pub mod http1;
pub mod ids;
pub mod ladder;
pub mod notify;
pub mod outcome;
pub mod owed;
pub mod park;
pub mod prestop;
pub mod restart;
pub mod signal;
pub mod stop_plan;
pub mod switch;
mod time;
pub mod timeline;
pub mod wire;

pub use time::Timestamp;
