//! Every connection of a server and the state it is in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu_core::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::socket::Socket;
use crate::clock;
use crate::hook::lock;

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ConnectionState {
    /// Accepted; not a byte of it has been read.
    New,
    /// The first bytes have been read; which protocol it is, or a TLS handshake, is not through.
    Handshake,
    /// A request is being answered.
    Active,
    /// Between an answer and the next request.
    Idle,
    /// Upgraded (a WebSocket): it belongs to the application.
    Hijacked,
    /// Gone.
    Closed,
}

const STATES: [ConnectionState; 6] = [
    ConnectionState::New,
    ConnectionState::Handshake,
    ConnectionState::Active,
    ConnectionState::Idle,
    ConnectionState::Hijacked,
    ConnectionState::Closed,
];

/// How many connections are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionCounts {
    /// Accepted; not a byte has been read.
    pub new: usize,
    /// Which protocol it is, or a TLS handshake, is not through.
    pub handshake: usize,
    /// Being answered.
    pub active: usize,
    /// Between two requests.
    pub idle: usize,
    /// Upgraded.
    pub hijacked: usize,
    /// Gone, since the start.
    pub closed: usize,
}

impl ConnectionCounts {
    /// All that are not closed.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.new + self.handshake + self.active + self.idle + self.hijacked
    }
}

/// An open connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenConnection {
    /// Who is at the other end; `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Its state.
    pub state: ConnectionState,
    /// How long ago it was accepted.
    pub age: Duration,
}

/// All connections of one server.
#[derive(Debug, Default)]
pub(super) struct Connections {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    counts: [AtomicUsize; STATES.len()],
    closed: Notify,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    state: AtomicU8,
    /// Requests that are being answered: more than one with HTTP/2.
    requests: AtomicUsize,
    since: Timestamp,
    peer: Option<SocketAddr>,
    pub(super) socket: Socket,
    all: Arc<Connections>,
}

impl Connections {
    /// Registers an accepted connection. It is open until [`Connection::close`].
    pub(super) fn add(self: &Arc<Self>, socket: Socket) -> Arc<Connection> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            id,
            state: AtomicU8::new(ConnectionState::New as u8),
            requests: AtomicUsize::new(0),
            since: clock::now(),
            peer: socket.peer(),
            socket,
            all: Arc::clone(self),
        });
        self.count(ConnectionState::New).fetch_add(1, Ordering::SeqCst);
        lock(&self.open).insert(id, Arc::clone(&connection));
        connection
    }

    fn count(&self, state: ConnectionState) -> &AtomicUsize {
        &self.counts[state as usize]
    }

    pub(super) fn accepted(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self) -> ConnectionCounts {
        let count = |state| self.count(state).load(Ordering::SeqCst);
        ConnectionCounts {
            new: count(ConnectionState::New),
            handshake: count(ConnectionState::Handshake),
            active: count(ConnectionState::Active),
            idle: count(ConnectionState::Idle),
            hijacked: count(ConnectionState::Hijacked),
            closed: count(ConnectionState::Closed),
        }
    }

    pub(super) fn list(&self) -> Vec<OpenConnection> {
        let now = clock::now();
        let one = |of: &Arc<Connection>| OpenConnection { peer: of.peer, state: of.state(), age: now.since(of.since) };
        let mut list: Vec<OpenConnection> = lock(&self.open).values().map(one).collect();
        list.sort_by_key(|of| std::cmp::Reverse(of.age));
        list
    }

    /// Returns when none is open. Cancel safe.
    pub(super) async fn all_closed(&self) {
        loop {
            // Made before the look: what closes after the look wakes it.
            let closed = self.closed.notified();
            if lock(&self.open).is_empty() {
                return;
            }
            closed.await;
        }
    }

    /// Cuts all that are open: whoever reads or writes comes to an end.
    pub(super) fn cut(&self) {
        let open: Vec<Arc<Connection>> = lock(&self.open).values().cloned().collect();
        open.iter().for_each(|connection| connection.socket.cut());
    }
}

impl Connection {
    pub(super) fn state(&self) -> ConnectionState {
        let state = usize::from(self.state.load(Ordering::SeqCst));
        STATES.get(state).copied().unwrap_or(ConnectionState::Closed)
    }

    /// Goes to another state, unless it is closed.
    pub(super) fn go(&self, to: ConnectionState) {
        let closed = ConnectionState::Closed as u8;
        let change = |from: u8| (from != closed).then_some(to as u8);
        let before = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
        if let Some(from) = before.ok().and_then(|from| STATES.get(usize::from(from)).copied()) {
            self.all.count(from).fetch_sub(1, Ordering::SeqCst);
            self.all.count(to).fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A request is answered until the guard is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        if self.requests.fetch_add(1, Ordering::SeqCst) == 0 {
            self.go(ConnectionState::Active);
        }
        Busy(Arc::clone(self))
    }

    /// Nobody has the socket any more.
    pub(super) fn close(&self) {
        self.go(ConnectionState::Closed);
        let gone = lock(&self.all.open).remove(&self.id);
        if gone.is_some() {
            self.all.closed.notify_waiters();
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.state() == ConnectionState::Active {
            self.0.go(ConnectionState::Idle);
        }
    }
}
