//! Loads a server, restarts it again and again, and says what each restart lost.
//!
//! [`run`] does a whole drill: a calm phase, then restart after restart under a closed-loop load of HTTP/1.1 requests, then
//! the [`Report`]. Every request ends in exactly one [`Class`].
//!
//! **What counts as a race and not as a loss.** A client that uses a connection again can write its request at the moment
//! at which the server closes that connection as idle. Nobody has read the request, and HTTP allows to send it again
//! (RFC 9112, 9.3.1). A client that sees the close before it writes just opens a new connection: that is neither race nor
//! loss. Otherwise it is a race when the connection had been used before, not one byte of the answer came, and the kernel
//! shows that nobody took the request:
//!
//! 1. a FIN came that does not acknowledge the request: it was sent before the request arrived (certain, at any time), or
//! 2. a FIN came, and then within [`Config::race`] a reset: the socket was closed with the request in it, or
//! 3. a reset came within [`Config::race`] after the write, and no FIN.
//!
//! A server that reads a request and closes sends a FIN that acknowledges it, and no reset: a loss, always. What cannot be
//! told apart from outside is 3 from a server that reads a request and *resets* (SO_LINGER 0) within 20 ms: that counts as a
//! race. A client that is late because its machine is busy sees a race as a loss, never a loss as a race.
//!
//! **To which restart a request belongs.** To the one that had begun last when it ended; but one that timed out, to the one
//! that had begun last when it should have been answered: as long after its start as the slowest request before the first
//! restart.
//!
//! **How honest the load is.** It is a closed loop: a client with a slow request asks less meanwhile, so percentiles flatter
//! a server that stalls (coordinated omission), and latencies are those of successes only. The longest gap is what a stall
//! or an outage shows in: the longest time without a success of any client, an outage at the end of a period included. A
//! client that has lost a request waits 20 ms, so that losses count the length of an outage and not the speed of a kernel
//! that refuses. What this machine cannot do, such as open one more connection, is not counted as the server's fault: the
//! drill gives up and says so.

mod answer;
mod class;
mod client;
mod config;
pub mod demo;
mod exchange;
mod listeners;
mod progress;
mod record;
mod render;
mod report;
mod restart;
mod run;
mod start;
mod tally;
mod target;

pub use class::{Class, RACE};
pub use client::{AFTER_A_LOSS, Unconnected, connect};
pub use config::{BadNumber, Config};
pub use exchange::{Ask, Ended, exchange};
pub use progress::Progress;
pub use report::{Latency, Period, Report, Restarted, Total};
pub use run::{DrillError, run};
pub use start::NotStarted;
pub use tally::Tally;
pub use target::{BadUrl, Target};
