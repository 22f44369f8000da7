//! What can be seen of a server's connections from outside.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Accepted, and not a byte has been read.
    New,
    /// Bytes have been read, but the protocol is not known yet, or the TLS handshake is not over.
    Handshake,
    /// At least one request is being answered.
    Active,
    /// Between an answer and the next request.
    Idle,
    /// Upgraded, for example to a WebSocket: the application owns the connection. With HTTP/2: the application owns a
    /// stream of it, and nothing else is being answered.
    Hijacked,
    /// Closed, or only waiting for the client to close its side.
    Closed,
}

/// How many connections are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionCounts {
    /// Accepted, and not a byte has been read.
    pub new: usize,
    /// Protocol not known yet, or TLS handshake not over.
    pub handshake: usize,
    /// A request is being answered.
    pub active: usize,
    /// Between two requests.
    pub idle: usize,
    /// Upgraded.
    pub hijacked: usize,
    /// Closed since the server was started.
    pub closed: usize,
}

impl ConnectionCounts {
    /// The sum of all states but `closed`.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.new + self.handshake + self.active + self.idle + self.hijacked
    }
}

/// An open connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenConnection {
    /// Address of the client; `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// State of the connection.
    pub state: ConnectionState,
    /// How long ago it was accepted.
    pub age: Duration,
}
