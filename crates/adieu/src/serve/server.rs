//! The life of a server, from its listener to the end of its drain.

use std::net::SocketAddr;
use std::panic::Location;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use adieu_core::stop_plan::Phase;
use tokio::sync::oneshot;

use super::accept::{self, accept};
use super::connection::serve;
use super::connection_state::{ConnectionCounts, OpenConnection};
use super::connections::{Connection, Connections};
use super::level::Level;
use super::listen::Listen;
use super::listener::Listener;
use super::service::HttpService;
use super::settings::{Serve, StopTimes};
use crate::app::App;
use crate::component::Component;
use crate::control::{Control, Stage};
use crate::error::Stopping;
use crate::lock::lock;
use crate::notify;

/// After this time without a new connection, the traffic has gone elsewhere.
const QUIET: Duration = Duration::from_millis(500);

/// A server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The stop has begun.
    #[error(transparent)]
    Stopping(#[from] Stopping),
    /// The server cannot listen.
    #[error("cannot listen: {0}")]
    Listen(#[from] std::io::Error),
}

/// A running server: the value of an [`App::serve`] component, or started by hand beside a `main` of one's own.
///
/// # Guarantees
///
/// In a stop, whether by its component or by [`close`](Self::close):
/// - Every connection that was accepted, or waits in the accept queue, is read and answered. The listener closes only
///   when its queue is empty.
/// - A request that is being answered is answered in full, until the drain is cut. HTTP/1 responses say
///   `Connection: close`, HTTP/2 connections get GOAWAY.
/// - No connection is closed with unread input, which would reset it and could destroy the last response.
/// - Idle connections end after [`Serve::linger`]. Connections that never send anything hold nothing up.
///
/// A stop alone cannot prevent that a client sends a request on an idle connection in the moment of its close. The
/// linger makes that rare; `adieu run` prevents it.
///
/// # Cancel safety
///
/// [`close`](Self::close) is not cancel safe: dropped, it cuts the connections that are left.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use adieu::serve::{Serve, Server};
/// use axum::Router;
/// use axum::routing::get;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shutdown = adieu::Shutdown::install("shop", Duration::from_secs(30))?;
/// let router = Router::new().route("/", get(|| async { "hello" }));
/// let server = Server::start(&shutdown.control(), ([127, 0, 0, 1], 0), router, Serve::new())?;
/// println!("listening on {:?}", server.local_addr());
/// assert_eq!(server.connections().open(), 0);
///
/// shutdown.control().close(); // stands for SIGTERM
/// shutdown.requested().await;
/// server.close().await;
/// assert_eq!(shutdown.finish().await.code(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    address: Option<SocketAddr>,
    connections: Arc<Connections>,
    /// Ends the accept loop.
    accepting: Mutex<Option<accept::StopAccepting>>,
    stop_times: StopTimes,
}

impl Server {
    /// Starts a server by hand: beside a `main` of one's own ([`Shutdown`](crate::Shutdown)), or in a task.
    ///
    /// The caller stops it, with [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// [`ServeError::Stopping`] when the stop has begun, [`ServeError::Listen`] when the server cannot listen.
    ///
    /// # Panics
    ///
    /// When it is called outside of a tokio runtime.
    #[track_caller]
    pub fn start<S: HttpService>(
        control: &Control,
        listen: impl Into<Listen>,
        service: S,
        settings: Serve,
    ) -> Result<Self, ServeError> {
        Self::http(control, None, listen.into(), service, settings, Location::caller())
    }

    fn http<S: HttpService>(
        control: &Control,
        name: Option<&str>,
        listen: Listen,
        service: S,
        settings: Serve,
        at: &'static Location<'static>,
    ) -> Result<Self, ServeError> {
        let (stop_times, settings) = (settings.stop_times(), Arc::new(settings));
        let begin = move |connection| drop(tokio::spawn(serve(connection, service.clone(), Arc::clone(&settings))));
        Self::open(control, name, listen, stop_times, at, begin)
    }

    pub(super) fn open(
        control: &Control,
        name: Option<&str>,
        listen: Listen,
        stop_times: StopTimes,
        at: &'static Location<'static>,
        begin: impl Fn(Arc<Connection>) + Send + 'static,
    ) -> Result<Self, ServeError> {
        if control.stage() >= Stage::Stopping(Phase::Announce) {
            return Err(ServeError::Stopping(Stopping));
        }
        let listener = Listener::open(listen, name)?;
        notify::drains();
        let address = listener.local_addr();
        let counter = |name| control.in_flight().counter_at(name, at);
        let connections = Connections::new(counter("request"), counter("upgraded connection"), counter("close hook"));
        let connections = Arc::new(connections);
        let (end, ended) = oneshot::channel();
        let (all, control) = (Arc::clone(&connections), control.clone());
        drop(tokio::spawn(accept(listener, ended, control, move |socket, peer| begin(all.add(socket, peer)))));
        Ok(Self { address, connections, accepting: Mutex::new(Some(end)), stop_times })
    }

    /// Returns the address that the server listens on; `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns how many connections are in which state now.
    #[must_use]
    pub fn connections(&self) -> ConnectionCounts {
        self.connections.counts()
    }

    /// Returns all open connections, the oldest first.
    #[must_use]
    pub fn open_connections(&self) -> Vec<OpenConnection> {
        self.connections.list()
    }

    /// Stops the server: lame duck, quiesce, drain. Returns when all connections are closed.
    ///
    /// A second call waits for the end of the same stop.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropped before it returns, it cuts the connections that are left.
    pub async fn close(&self) {
        self.announce().await;
        self.quiesce().await;
        self.drain().await;
    }

    /// Serves on until no new connection comes, within the bounds of [`Serve::lame_duck`].
    pub(super) async fn announce(&self) {
        self.connections.raise(Level::Announced);
        let (least, most) = self.stop_times.lame_duck;
        let over = self.connections.stop_level.get() >= Level::Draining;
        if over || most.is_zero() {
            return;
        }
        tokio::time::sleep(least).await;
        let until_quiet = async {
            let mut before = self.connections.accepted();
            loop {
                tokio::time::sleep(QUIET).await;
                let now = self.connections.accepted();
                if now == before {
                    return;
                }
                before = now;
            }
        };
        // Quiet or late: the phase ends in both cases.
        let _quiet_or_late = tokio::time::timeout(most.saturating_sub(least), until_quiet).await;
    }

    pub(super) async fn quiesce(&self) {
        let accepting = lock(&self.accepting).take();
        let (confirm, closed) = oneshot::channel();
        if accepting.is_some_and(|accepting| accepting.send(confirm).is_ok()) {
            // Fails only if the accept loop has panicked, and then the listener is closed too.
            let _closed = closed.await;
        }
        self.connections.raise(Level::Draining);
    }

    /// Returns when all connections are closed. Not cancel safe: dropped before that, it cuts those that are left.
    pub(super) async fn drain(&self) {
        let _cut = CutUnlessClosed(&self.connections);
        if self.connections.any_open() {
            // The first step may run on the conductor's thread, and thousands of connections take a while.
            tokio::task::yield_now().await;
        }
        let levels = async {
            if !self.stop_times.linger.is_zero() {
                tokio::time::sleep(self.stop_times.linger).await;
            }
            if self.stop_times.leaves_idle {
                self.connections.stop_level.raise(Level::Closing);
                drop(tokio::spawn(wake_later(self.connections.let_idle_go())));
            }
            self.connections.raise(Level::Closing);
            tokio::time::sleep(self.stop_times.handshake).await;
            self.connections.raise(Level::Overdue);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = self.connections.all_closed() => {}
            () = levels => {}
        }
    }
}

/// How long the process may take to end before idle connections are ended one by one.
const MOMENT: Duration = Duration::from_millis(50);

async fn wake_later(idle: Vec<Waker>) {
    tokio::time::sleep(MOMENT).await;
    for some in idle.chunks(64) {
        some.iter().for_each(Waker::wake_by_ref);
        tokio::task::yield_now().await;
    }
}

struct CutUnlessClosed<'a>(&'a Connections);

impl Drop for CutUnlessClosed<'_> {
    fn drop(&mut self) {
        self.0.cut();
    }
}

impl App {
    /// Registers a server of HTTP/1.1 and HTTP/2 on one port. See [`Server`] for what a stop does.
    ///
    /// `service` is an axum `Router`, tonic's routes, any tower service, or a service of hyper's own in a
    /// [`Hyper`](super::Hyper). HTTP/2 needs prior knowledge or TLS.
    ///
    /// If the parent has handed over a listener of the same name or address (`LISTEN_FDS`), the server uses that
    /// listener.
    #[track_caller]
    pub fn serve<S: HttpService>(
        &self,
        name: impl Into<String>,
        listen: impl Into<Listen>,
        service: S,
    ) -> Component<'_, Server> {
        self.serve_with(name, listen, service, Serve::new())
    }

    /// Registers a server, as [`serve`](Self::serve), with settings.
    #[track_caller]
    pub fn serve_with<S: HttpService>(
        &self,
        name: impl Into<String>,
        listen: impl Into<Listen>,
        service: S,
        settings: Serve,
    ) -> Component<'_, Server> {
        let (name, listen, at) = (name.into(), listen.into(), Location::caller());
        let given = name.clone();
        self.server(name, move |control| Server::http(control, Some(&given), listen, service, settings, at))
    }

    pub(super) fn server(
        &self,
        name: String,
        start: impl FnOnce(&Control) -> Result<Server, ServeError> + Send + 'static,
    ) -> Component<'_, Server> {
        let server = self
            .component(name)
            .start(move |context| async move { start(&context.control) })
            .announce(|server, _| async move { server.announce().await })
            .quiesce(|server, _| async move { server.quiesce().await })
            .drain(|server, _| async move { server.drain().await })
            .stop(|server, _| async move { server.close().await });
        self.entry(server.id, |entry| {
            entry.unless_last = vec![Phase::Announce, Phase::Quiesce, Phase::Drain];
            entry.hooks_are_ours();
        });
        server
    }
}
