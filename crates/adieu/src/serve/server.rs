use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tower_service::Service;

use super::Serve;
use super::connection::serve;
use super::connections::{ConnectionCounts, Connections, OpenConnection};
use super::draining::Draining;
use super::listen::{Listen, Listener};
use super::socket::Socket;
use crate::app::App;
use crate::component::Component;
use crate::control::Control;
use crate::hook::{BoxError, lock};

/// No new connection for so long: the traffic has gone elsewhere.
const QUIET: Duration = Duration::from_millis(500);

/// How long accepting pauses when the process has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(10);

/// A server that runs: the value of an [`App::serve`] component.
#[derive(Debug)]
pub struct Server {
    address: Option<SocketAddr>,
    connections: Arc<Connections>,
    draining: Draining,
    /// The accept loop: told to end, it says when it has.
    accepting: Mutex<Option<oneshot::Sender<oneshot::Sender<()>>>>,
    settings: Serve,
}

impl Server {
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

    fn start<S, B>(listener: Listener, service: S, control: Control, settings: Serve) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let address = listener.local_addr();
        let connections = Arc::new(Connections::default());
        let draining = Draining::new(control);
        let (end, ended) = oneshot::channel();
        let (all, told, how) = (Arc::clone(&connections), draining.clone(), settings.clone());
        let begin = move |socket: Socket| {
            let task = serve(all.add(socket), service.clone(), told.clone(), how.clone());
            drop(tokio::spawn(task));
        };
        drop(tokio::spawn(accept(listener, ended, begin)));
        Self { address, connections, draining, accepting: Mutex::new(Some(end)), settings }
    }

    /// Goes on until the traffic has gone, within its bounds.
    async fn announce(&self) {
        let (least, most) = self.settings.lame_duck;
        tokio::time::sleep(least).await;
        let until_quiet = async {
            let mut seen = self.connections.accepted();
            loop {
                tokio::time::sleep(QUIET).await;
                let now = self.connections.accepted();
                if now == seen {
                    return;
                }
                seen = now;
            }
        };
        // Its end and the end of its time are both the end of the phase.
        let _quiet_or_late = tokio::time::timeout(most.saturating_sub(least), until_quiet).await;
    }

    async fn quiesce(&self) {
        let accepting = lock(&self.accepting).take();
        let (say, said) = oneshot::channel();
        if accepting.is_some_and(|accepting| accepting.send(say).is_ok()) {
            // Gone without a word only if it has panicked.
            let _ended = said.await;
        }
        self.draining.begin();
    }

    /// Not cancel safe: dropped before all are closed, it cuts those that are left.
    async fn drain(&self) {
        let _cut = CutUnlessClosed(&self.connections);
        self.connections.all_closed().await;
    }
}

struct CutUnlessClosed<'a>(&'a Connections);

impl Drop for CutUnlessClosed<'_> {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// Accepts until it is told to end; then takes what has come, and closes.
async fn accept(listener: Listener, end: oneshot::Receiver<oneshot::Sender<()>>, begin: impl Fn(Socket)) {
    let mut end = std::pin::pin!(end);
    let said = loop {
        tokio::select! {
            // First, so that a flood of connections does not starve the stop.
            biased;
            said = end.as_mut() => break said,
            accepted = listener.accept() => match accepted {
                Ok(socket) => begin(socket),
                Err(error) if is_about_one(&error) => {}
                Err(_) => tokio::time::sleep(EXHAUSTED).await,
            },
        }
    };
    listener.empty_and_close().into_iter().for_each(begin);
    if let Ok(said) = said {
        // Nobody waits for it any more when the hook has been cut.
        let _said = said.send(());
    }
}

/// Errors of `accept(2)` that belong to the connection and not to the listener.
fn is_about_one(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl App {
    /// Registers a server: an axum `Router`, any tower service, on an address, a listener or a Unix socket. HTTP/1.1 and
    /// HTTP/2 (with prior knowledge) on the same port.
    pub fn serve<S, B>(&self, name: impl Into<String>, listen: impl Into<Listen>, service: S) -> Component<'_, Server>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        self.serve_with(name, listen, service, Serve::new())
    }

    /// As [`serve`](Self::serve), with settings.
    pub fn serve_with<S, B>(
        &self,
        name: impl Into<String>,
        listen: impl Into<Listen>,
        service: S,
        settings: Serve,
    ) -> Component<'_, Server>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let listen = listen.into();
        self.component(name)
            .start(move |context| async move {
                let control = context.control.clone();
                Ok::<_, std::io::Error>(Server::start(listen.open()?, service, control, settings))
            })
            .announce(|server, _| async move { server.announce().await })
            .quiesce(|server, _| async move { server.quiesce().await })
            .drain(|server, _| async move { server.drain().await })
    }
}
