//! What an operator has when a process is not ours: reading it through `/proc` and the kernel's socket tables, judging why
//! it does not end, stopping it step by step, and waiting until its traffic has gone.
//!
//! Nothing here needs the other process to cooperate, and nothing here changes it except a signal that was asked for.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing))]

pub mod case;
pub mod facts;
pub mod judge;
pub mod prestop;
pub mod runtime;
pub mod select;
pub mod stop;
pub mod supervisors;
pub mod target;
