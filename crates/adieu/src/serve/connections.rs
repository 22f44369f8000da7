//! Every connection of a server and the state it is in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use adieu_core::Timestamp;
use tokio::sync::Notify;

use super::connection_state::{ConnectionCounts, ConnectionState, OpenConnection};
use super::level::{CurrentLevel, Level};
use super::socket::Socket;
use crate::clock;
use crate::counter::{InFlightCounter, InFlightToken};
use crate::lock::lock;

/// What a connection is used for, apart from whether a request is being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ConnectionStage {
    New,
    Handshake,
    /// By a protocol that marks its requests.
    Requests,
    /// By a protocol that does not: always active.
    Whole,
    Hijacked,
    Closed,
}

const CONNECTION_STAGES: [ConnectionStage; 6] = [
    ConnectionStage::New,
    ConnectionStage::Handshake,
    ConnectionStage::Requests,
    ConnectionStage::Whole,
    ConnectionStage::Hijacked,
    ConnectionStage::Closed,
];

/// All connections of one server. Nothing in here is touched by a request.
#[derive(Debug)]
pub(super) struct Connections {
    next: AtomicU64,
    open: Mutex<HashMap<u64, OpenEntry>>,
    none_open: Notify,
    pub(super) stop_level: CurrentLevel,
    /// Counters of requests, upgraded connections and close hooks, for the drain and its report.
    requests: InFlightCounter,
    hijacked: InFlightCounter,
    pub(super) hooks: InFlightCounter,
}

#[derive(Debug)]
struct OpenEntry {
    connection: Arc<Connection>,
    /// Waker of the task that serves it, from its first step on.
    waker: Option<Waker>,
}

/// One connection, from its accept to its close.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    stage: AtomicU8,
    /// Requests that are being answered: more than one with HTTP/2.
    busy: AtomicUsize,
    /// Streams of HTTP/2 that belong to the application.
    upgraded: AtomicUsize,
    /// Bytes have come since the last request began: the beginning of the next, or the rest of a body.
    pub(super) partial: AtomicBool,
    /// The last write would have blocked, so there is more to write.
    pub(super) blocked: AtomicBool,
    /// A response of HTTP was handed over to the protocol, which has not flushed since: some of it may not be written yet.
    pub(super) unflushed: AtomicBool,
    /// A response was sent in the drain while the client may still send. Its last bytes must be read before the close:
    /// a reset could destroy the response.
    pub(super) owed: AtomicBool,
    /// The protocol tells the client itself that the connection ends, as soon as a stop begins (HTTP/2).
    pub(super) early: AtomicBool,
    /// Number of reads and writes that moved bytes.
    pub(super) moved: AtomicUsize,
    since: Timestamp,
    pub(super) peer: Option<SocketAddr>,
    pub(super) socket: Socket,
    /// The certificates of the client, from the TLS handshake.
    #[cfg(feature = "tls")]
    pub(super) certificates: std::sync::OnceLock<Vec<tokio_rustls::rustls::pki_types::CertificateDer<'static>>>,
    hijack: Mutex<Option<InFlightToken>>,
    all: Arc<Connections>,
}

impl Connections {
    pub(super) fn new(requests: InFlightCounter, hijacked: InFlightCounter, hooks: InFlightCounter) -> Self {
        let (next, open, none_open) = (AtomicU64::new(0), Mutex::default(), Notify::new());
        Self { next, open, none_open, stop_level: CurrentLevel::default(), requests, hijacked, hooks }
    }

    /// Registers an accepted connection. It is open until [`Connection::close`].
    pub(super) fn add(self: &Arc<Self>, socket: Socket, peer: Option<SocketAddr>) -> Arc<Connection> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            id,
            stage: AtomicU8::new(ConnectionStage::New as u8),
            busy: AtomicUsize::new(0),
            upgraded: AtomicUsize::new(0),
            partial: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            unflushed: AtomicBool::new(false),
            owed: AtomicBool::new(false),
            early: AtomicBool::new(false),
            moved: AtomicUsize::new(0),
            since: clock::now(),
            peer,
            socket,
            #[cfg(feature = "tls")]
            certificates: std::sync::OnceLock::new(),
            hijack: Mutex::default(),
            all: Arc::clone(self),
        });
        lock(&self.open).insert(id, OpenEntry { connection: Arc::clone(&connection), waker: None });
        connection
    }

    /// How many connections have been accepted.
    pub(super) fn accepted(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self) -> ConnectionCounts {
        let mut counts = ConnectionCounts::default();
        let open = lock(&self.open);
        for one in open.values() {
            match one.connection.state() {
                ConnectionState::New => counts.new += 1,
                ConnectionState::Handshake => counts.handshake += 1,
                ConnectionState::Active => counts.active += 1,
                ConnectionState::Idle => counts.idle += 1,
                ConnectionState::Hijacked => counts.hijacked += 1,
                ConnectionState::Closed => {}
            }
        }
        let accepted = usize::try_from(self.accepted()).unwrap_or(usize::MAX);
        drop(open);
        counts.closed = accepted.saturating_sub(counts.open());
        counts
    }

    pub(super) fn list(&self) -> Vec<OpenConnection> {
        let now = clock::now();
        let one = |of: &OpenEntry| {
            let of = &of.connection;
            OpenConnection { peer: of.peer, state: of.state(), age: now.since(of.since) }
        };
        let mut list: Vec<OpenConnection> = lock(&self.open).values().map(one).collect();
        list.sort_by_key(|of| std::cmp::Reverse(of.age));
        list
    }

    /// Whether any connection is open.
    pub(super) fn any_open(&self) -> bool {
        !lock(&self.open).is_empty()
    }

    /// Returns when no connection is open. Cancel safe.
    pub(super) async fn all_closed(&self) {
        loop {
            // Before the look at `open`: a close after the look wakes it.
            let none_open = self.none_open.notified();
            if !self.any_open() {
                return;
            }
            none_open.await;
        }
    }

    /// Raises the level and wakes the connections that must look at it: those that say GOAWAY, and from `Closing` on
    /// all.
    ///
    /// A connection whose task has not made its first step has no waker yet. It sees the level in that step, as
    /// [`Connection::introduce`] takes the same lock first.
    pub(super) fn raise(&self, to: Level) {
        self.stop_level.raise(to);
        let concerned = |open: &&OpenEntry| to >= Level::Closing || open.connection.early.load(Ordering::SeqCst);
        let open = lock(&self.open);
        let wakers: Vec<Waker> = open.values().filter(concerned).filter_map(|open| open.waker.clone()).collect();
        drop(open);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Stops waiting for idle connections, and returns the wakers that end them. Nothing of them is under way, so the
    /// process may end before they do; waking thousands takes time.
    pub(super) fn let_idle_go(&self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let mut open = lock(&self.open);
        open.retain(|_, one| {
            let rests = one.connection.is_at_rest();
            wakers.extend(one.waker.take_if(|_| rests));
            !rests
        });
        let none = open.is_empty();
        drop(open);
        if none {
            self.none_open.notify_waiters();
        }
        wakers
    }

    /// Cuts all open connections: their tasks end, and reads and writes return.
    pub(super) fn cut(&self) {
        self.raise(Level::Cut);
        let open: Vec<Arc<Connection>> = lock(&self.open).values().map(|open| Arc::clone(&open.connection)).collect();
        open.iter().for_each(|connection| connection.socket.cut());
    }
}

impl Connection {
    pub(super) fn all(&self) -> &Connections {
        &self.all
    }

    pub(super) fn level(&self) -> Level {
        self.all.stop_level.get()
    }

    pub(super) fn stage(&self) -> ConnectionStage {
        let stage = usize::from(self.stage.load(Ordering::SeqCst));
        CONNECTION_STAGES.get(stage).copied().unwrap_or(ConnectionStage::Closed)
    }

    pub(super) fn state(&self) -> ConnectionState {
        match self.stage() {
            ConnectionStage::New => ConnectionState::New,
            ConnectionStage::Handshake => ConnectionState::Handshake,
            ConnectionStage::Requests if self.busy.load(Ordering::SeqCst) > 0 => ConnectionState::Active,
            ConnectionStage::Requests if self.upgraded.load(Ordering::SeqCst) > 0 => ConnectionState::Hijacked,
            ConnectionStage::Requests => ConnectionState::Idle,
            ConnectionStage::Whole => ConnectionState::Active,
            ConnectionStage::Hijacked => ConnectionState::Hijacked,
            ConnectionStage::Closed => ConnectionState::Closed,
        }
    }

    /// Whether the connection is between two requests of HTTP/1, with nothing to read or to write.
    fn is_at_rest(&self) -> bool {
        // In the order in which a request goes: from the kernel to what was read, and from there to what is answered.
        let flags = [&self.early, &self.partial, &self.blocked, &self.owed];
        !self.socket.has_input()
            && flags.iter().all(|flag| !flag.load(Ordering::SeqCst))
            && self.state() == ConnectionState::Idle
            // After the state: a response is marked before its request stops being counted.
            && !self.unflushed.load(Ordering::SeqCst)
    }

    pub(super) fn age(&self) -> Duration {
        clock::now().since(self.since)
    }

    /// Changes the stage, unless the connection is closed.
    pub(super) fn go(&self, to: ConnectionStage) {
        let change = |from: u8| (from != ConnectionStage::Closed as u8).then_some(to as u8);
        let changed = self.stage.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
        if changed.is_ok() && to == ConnectionStage::Hijacked {
            *lock(&self.hijack) = Some(self.all.hijacked.nested_token());
        }
    }

    /// Registers the waker of the task that serves the connection. Call it first in that task.
    pub(super) async fn introduce(&self) {
        let waker = std::future::poll_fn(|context| std::task::Poll::Ready(context.waker().clone())).await;
        if let Some(open) = lock(&self.all.open).get_mut(&self.id) {
            open.waker = Some(waker);
        }
    }

    fn wake(&self) {
        let waker = lock(&self.all.open).get(&self.id).and_then(|open| open.waker.clone());
        waker.into_iter().for_each(Waker::wake);
    }

    /// Returns when the stop has come to `level`. Only within the task that has called [`introduce`](Self::introduce).
    /// Cancel safe.
    pub(super) async fn reached(&self, level: Level) {
        let look = |_: &mut std::task::Context<'_>| match self.level() >= level {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        };
        std::future::poll_fn(look).await;
    }

    /// Counts a request that is being answered, until the guard is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> BusyGuard {
        self.busy.fetch_add(1, Ordering::SeqCst);
        self.partial.store(false, Ordering::Relaxed);
        BusyGuard { _in_flight: self.all.requests.nested_token(), connection: Arc::clone(self) }
    }

    /// Counts a stream that the application owns, until the guard is dropped.
    pub(super) fn upgraded(self: &Arc<Self>) -> UpgradedStream {
        self.upgraded.fetch_add(1, Ordering::SeqCst);
        UpgradedStream { _in_flight: self.all.hijacked.nested_token(), connection: Arc::clone(self) }
    }

    /// Closes the connection: the socket is gone, or nothing that matters can come. The drain does not wait for it any
    /// more.
    pub(super) fn close(&self) {
        self.stage.store(ConnectionStage::Closed as u8, Ordering::SeqCst);
        let mut open = lock(&self.all.open);
        let gone = open.remove(&self.id);
        let none = open.is_empty();
        drop(open);
        drop(lock(&self.hijack).take());
        if gone.is_some() && none {
            self.all.none_open.notify_waiters();
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct BusyGuard {
    connection: Arc<Connection>,
    _in_flight: InFlightToken,
}

impl BusyGuard {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.connection.partial.store(false, Ordering::Relaxed);
        self.connection.busy.fetch_sub(1, Ordering::SeqCst);
        if self.connection.level() >= Level::Closing {
            // The connection may be idle now, and then ends.
            self.connection.wake();
        }
    }
}

/// A stream that the application owns.
#[derive(Debug)]
pub(super) struct UpgradedStream {
    connection: Arc<Connection>,
    _in_flight: InFlightToken,
}

impl Drop for UpgradedStream {
    fn drop(&mut self) {
        self.connection.upgraded.fetch_sub(1, Ordering::SeqCst);
    }
}
