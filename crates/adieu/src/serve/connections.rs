//! Every connection of a server and the state it is in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use adieu_core::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::level::{CurrentLevel, Level};
use super::socket::Socket;
use crate::clock;
use crate::counter::{InFlightCounter, InFlightToken};
use crate::lock::lock;

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Accepted; not a byte of it has been read.
    New,
    /// The first bytes have been read; which protocol it is, or a TLS handshake, is not through.
    Handshake,
    /// A request is being answered.
    Active,
    /// Between an answer and the next request.
    Idle,
    /// Upgraded (a WebSocket): it belongs to the application, or with HTTP/2 a stream of it does while nothing else is
    /// answered.
    Hijacked,
    /// Gone, or only waiting for the other side to see that.
    Closed,
}

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

/// What a connection is, apart from whether a request is being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ConnectionStage {
    New,
    Handshake,
    /// A protocol that marks its requests.
    Requests,
    /// A protocol that does not: always active.
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
    /// Requests, upgraded connections and close hooks, by which the stop's report names those that it waited for in vain.
    requests: InFlightCounter,
    hijacked: InFlightCounter,
    pub(super) hooks: InFlightCounter,
}

#[derive(Debug)]
struct OpenEntry {
    connection: Arc<Connection>,
    /// Of the task that serves it, from its first step on.
    waker: Option<Waker>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    stage: AtomicU8,
    /// Requests that are being answered: more than one with HTTP/2.
    busy: AtomicUsize,
    /// Streams of HTTP/2 that belong to the application.
    upgraded: AtomicUsize,
    /// Bytes have come since the last request began: the next one's beginning, or a body's rest.
    pub(super) partial: AtomicBool,
    /// The last write could not be made: not everything is out.
    pub(super) blocked: AtomicBool,
    /// Something was answered in the drain, and the other side may still send: its last bytes are to be read before the
    /// close, as a reset could destroy that answer.
    pub(super) owed: AtomicBool,
    /// Its protocol says itself that it ends, as soon as the stop begins (HTTP/2).
    pub(super) early: AtomicBool,
    /// Reads and writes that moved something.
    pub(super) moved: AtomicUsize,
    since: Timestamp,
    pub(super) peer: Option<SocketAddr>,
    pub(super) socket: Socket,
    /// Those that the client has shown in its handshake.
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

    /// How many there have been.
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

    /// Whether one is open.
    pub(super) fn any_open(&self) -> bool {
        !lock(&self.open).is_empty()
    }

    /// Returns when none is open. Cancel safe.
    pub(super) async fn all_closed(&self) {
        loop {
            // Made before the look: what closes after the look wakes it.
            let none_open = self.none_open.notified();
            if !self.any_open() {
                return;
            }
            none_open.await;
        }
    }

    /// Lets the connections look at how far the stop is: all of them once that ends idle ones, before that those that have
    /// something to say. A task that has not made its first step looks then: it says
    /// who it is under the same lock before.
    pub(super) fn raise(&self, to: Level) {
        self.stop_level.raise(to);
        let concerned = |open: &&OpenEntry| to >= Level::Closing || open.connection.early.load(Ordering::SeqCst);
        let open = lock(&self.open);
        let wakers: Vec<Waker> = open.values().filter(concerned).filter_map(|open| open.waker.clone()).collect();
        drop(open);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes idle connections out of what a drain waits for, and returns whom to wake to end them. Nothing of them is under
    /// way, so it makes no difference to anybody whether they or the process end first; and waking thousands takes time.
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

    /// Cuts all that are open: whoever serves them lets go, whoever reads or writes comes to an end.
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

    /// Whether it is between two requests of HTTP/1 and nothing has come in or is to go out.
    fn is_at_rest(&self) -> bool {
        // In the order in which a request goes: from the kernel to what was read, and from there to what is answered.
        let flags = [&self.early, &self.partial, &self.blocked, &self.owed];
        !self.socket.has_input()
            && flags.iter().all(|flag| !flag.load(Ordering::SeqCst))
            && self.state() == ConnectionState::Idle
    }

    pub(super) fn age(&self) -> Duration {
        clock::now().since(self.since)
    }

    /// Goes to another stage, unless it is closed.
    pub(super) fn go(&self, to: ConnectionStage) {
        let change = |from: u8| (from != ConnectionStage::Closed as u8).then_some(to as u8);
        let changed = self.stage.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
        if changed.is_ok() && to == ConnectionStage::Hijacked {
            *lock(&self.hijack) = Some(self.all.hijacked.nested_token());
        }
    }

    /// To be called within the task that serves it, first.
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

    /// Returns when the stop has come to `level`. Only within the task that has introduced itself; cancel safe.
    pub(super) async fn reached(&self, level: Level) {
        let look = |_: &mut std::task::Context<'_>| match self.level() >= level {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        };
        std::future::poll_fn(look).await;
    }

    /// A request is answered until the guard is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> BusyGuard {
        self.busy.fetch_add(1, Ordering::SeqCst);
        self.partial.store(false, Ordering::Relaxed);
        BusyGuard { _in_flight: self.all.requests.nested_token(), connection: Arc::clone(self) }
    }

    /// A stream of it belongs to the application until the guard is dropped.
    pub(super) fn upgraded(self: &Arc<Self>) -> UpgradedStream {
        self.upgraded.fetch_add(1, Ordering::SeqCst);
        UpgradedStream { _in_flight: self.all.hijacked.nested_token(), connection: Arc::clone(self) }
    }

    /// Nobody has the socket any more, or nothing that matters can come: the drain does not wait for it.
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

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.connection.partial.store(false, Ordering::Relaxed);
        self.connection.busy.fetch_sub(1, Ordering::SeqCst);
        if self.connection.level() >= Level::Closing {
            // Idle now, which is to be looked at.
            self.connection.wake();
        }
    }
}

/// A stream that belongs to the application.
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
