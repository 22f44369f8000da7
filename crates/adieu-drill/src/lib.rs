//! Loads a server, restarts it again and again, and says what each restart lost.
//!
//! [`run`] does a whole drill: a calm phase, then restart after restart under a closed-loop load of HTTP/1.1 requests, then
//! the [`Report`]. Every request ends in exactly one [`Class`].
//!
//! **What counts as a race and not as a loss.** A client that uses a connection again can write its request at the moment
//! at which the server closes that connection as idle. The request was then never read, and HTTP allows to send it again
//! (RFC 9112, 9.3.1). It is a race when all of this holds: the connection had been used before; not one byte of the answer
//! came; and the server's kernel said that nobody would read the request: it reset the connection within [`RACE`] of the
//! write, or had sent its FIN before and then answered the request with a reset. A server that closes without a reset had
//! read the request: that is a loss. A client that sees the close before it writes just opens a new connection: that is
//! neither.

mod class;
mod client;
mod config;
pub mod demo;
mod exchange;
mod progress;
mod record;
mod report;
mod restart;
mod run;

pub use class::{Class, RACE};
pub use config::{BadUrl, Config, Target};
pub use progress::Progress;
pub use report::{Latency, Report, Restarted, Tally};
pub use run::{DrillError, run};
