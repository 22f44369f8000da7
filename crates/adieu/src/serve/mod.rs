//! Serving HTTP/1.1 and HTTP/2 over hyper: axum, tower and hyper services as they are.
//!
//! What a stop does to a server:
//!
//! | phase | |
//! |---|---|
//! | announce | it still serves; HTTP/1 answers say `Connection: close`, so that clients come anew, to the successor |
//! | quiesce | the accept queue is emptied and the listener closed; HTTP/2 gets its two GOAWAYs; [`Draining`] is told |
//! | drain | idle connections are closed after a linger, so that a request that is under way is answered; busy ones end with their answer, upgraded ones when the application ends them |
//!
//! Nothing that was accepted is dropped unread, no connection is closed with unread input (which would reset it and
//! could destroy the answer before), and connections that never send anything hold nothing up.

mod answer;
mod connection;
mod connections;
mod draining;
mod listen;
mod server;
mod socket;
mod stream;

use std::time::Duration;

pub use self::connections::{ConnectionCounts, ConnectionState, OpenConnection};
pub use self::draining::{Draining, UntilDraining};
pub use self::listen::Listen;
pub use self::server::Server;

/// How a server serves and stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    pub(crate) linger: Duration,
    pub(crate) handshake: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) lame_duck: (Duration, Duration),
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(250),
            handshake: Duration::from_secs(1),
            header_timeout: Duration::from_secs(30),
            lame_duck: (Duration::ZERO, Duration::ZERO),
        }
    }
}

impl Serve {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long idle connections stay open in a drain, in case a request is under way. Default: 250 ms. Zero closes them
    /// at once, if nothing has come in.
    #[must_use]
    pub fn linger(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// How long a drain waits for a handshake, or for the rest of a request whose beginning has come, after the linger.
    /// Default: 1 s.
    #[must_use]
    pub fn handshake(self, handshake: Duration) -> Self {
        Self { handshake, ..self }
    }

    /// How long a client may take for the headers of a request. Default: 30 s.
    #[must_use]
    pub fn header_timeout(self, header_timeout: Duration) -> Self {
        Self { header_timeout, ..self }
    }

    /// How long the server goes on as before when a stop begins: at least `least`, and then until no new connection has
    /// come for a moment, at most `most`. For load balancers that need time to notice. Default: no time.
    #[must_use]
    pub fn lame_duck(self, least: Duration, most: Duration) -> Self {
        Self { lame_duck: (least, most.max(least)), ..self }
    }
}
