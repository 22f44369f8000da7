use std::net::SocketAddr;
use std::panic::Location;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use adieu_core::stop_plan::Phase;
use tokio::sync::oneshot;

use super::accept::{self, accept};
use super::connection::serve;
use super::connections::{Connection, ConnectionCounts, Connections, OpenConnection};
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

/// No new connection for so long: the traffic has gone elsewhere.
const QUIET: Duration = Duration::from_millis(500);

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The stop has begun: nothing new is served.
    #[error(transparent)]
    Stopping(#[from] Stopping),
    /// It cannot listen.
    #[error("cannot listen: {0}")]
    Listen(#[from] std::io::Error),
}

/// A server that runs: the value of an [`App::serve`] component, or started by hand beside a main of one's own.
#[derive(Debug)]
pub struct Server {
    address: Option<SocketAddr>,
    connections: Arc<Connections>,
    /// Ends the accept loop.
    accepting: Mutex<Option<accept::StopAccepting>>,
    stop_times: StopTimes,
}

impl Server {
    /// Starts a server by hand, beside a `main` of one's own ([`Shutdown`](crate::Shutdown)) or from within a task. Whoever
    /// starts it has it stopped with [`close`](Self::close). To be called within the runtime.
    ///
    /// # Errors
    /// [`ServeError::Stopping`] when the stop has begun, [`ServeError::Listen`] when it cannot listen.
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

    /// Where it listens; `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.address
    }

    /// How many connections are in which state, now.
    #[must_use]
    pub fn connections(&self) -> ConnectionCounts {
        self.connections.counts()
    }

    /// Every open connection, the oldest first.
    #[must_use]
    pub fn open_connections(&self) -> Vec<OpenConnection> {
        self.connections.list()
    }

    /// Its whole stop: lame duck, quiesce, drain. A second one waits for the end of the same. Dropped before the end, it
    /// cuts the connections that are left.
    pub async fn close(&self) {
        self.announce().await;
        self.quiesce().await;
        self.drain().await;
    }

    /// Goes on until the traffic has gone, within its bounds.
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
        // Its end and the end of its time are both the end of the phase.
        let _quiet_or_late = tokio::time::timeout(most.saturating_sub(least), until_quiet).await;
    }

    pub(super) async fn quiesce(&self) {
        let accepting = lock(&self.accepting).take();
        let (confirm, closed) = oneshot::channel();
        if accepting.is_some_and(|accepting| accepting.send(confirm).is_ok()) {
            // Gone without a word only if it has panicked.
            let _closed = closed.await;
        }
        self.connections.raise(Level::Draining);
    }

    /// Not cancel safe: dropped before all are closed, it cuts those that are left.
    pub(super) async fn drain(&self) {
        let _cut = CutUnlessClosed(&self.connections);
        if self.connections.any_open() {
            // What there is to do takes its time with thousands, and the first step may be the conductor's.
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

/// So long the process has to end before idle connections are ended one by one.
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
    /// Registers a server: an axum `Router`, tonic's routes, any tower service, hyper's own in a [`Hyper`](super::Hyper). HTTP/1.1 and HTTP/2 (with prior
    /// knowledge, or by TLS) on the same port. A listener of the same name or address that was handed over by who started
    /// the process (`LISTEN_FDS`) is used in place of one of its own.
    #[track_caller]
    pub fn serve<S: HttpService>(
        &self,
        name: impl Into<String>,
        listen: impl Into<Listen>,
        service: S,
    ) -> Component<'_, Server> {
        self.serve_with(name, listen, service, Serve::new())
    }

    /// As [`serve`](Self::serve), with settings.
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
