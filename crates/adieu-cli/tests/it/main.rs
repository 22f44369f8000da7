//! `adieu` against real programs: the ordinary servers of `examples/servers`, loaded over loopback, replaced while
//! clients wait.
//!
//! Every test starts what it needs and ends it by pid. What a test needs and does not find is an error that says
//! how it is installed, never a reason to skip it. `ADIEU_PROVE=1` raises the counts (`cargo xtask prove`).

mod drill;
mod failures;
mod harness;
mod init;
mod inspect;
mod ledger;
mod matrix;
mod mixed;
mod prestop;
mod readers;
mod servers;
mod sockets;
