//! Servers of a protocol of one's own, over plain TCP.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connections::{BusyGuard, Connection, ConnectionStage};
use super::draining::Draining;
use super::level::Level;
use super::listen::Listen;
use super::protocol_io::{ProtocolIo, Transport};
use super::server::{ServeError, Server};
use super::settings::Serve;
use super::stream::Stream;
use crate::app::App;
use crate::component::Component;
use crate::control::Control;

/// A connection of a protocol of one's own. The stop waits until it is dropped.
///
/// A protocol that marks its requests with [`request`](Self::request) needs nothing else to stop well: in a drain,
/// after the linger, reading ends between two requests as if the client had ended the connection. A protocol that does
/// not mark them listens to [`draining`](Self::draining), and the stop waits for it.
#[derive(Debug)]
pub struct TcpConnection {
    io: ProtocolIo,
}

/// A request that is being answered, until the value is dropped. Made by [`TcpConnection::request`].
#[derive(Debug)]
#[must_use = "the request is being answered only until the value is dropped"]
pub struct ActiveRequest {
    _busy: BusyGuard,
}

impl TcpConnection {
    /// Returns the address of the client; `None` for a Unix socket.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.io.connection().peer
    }

    /// Returns what tells when the drain begins, for a handler that decides itself when to end.
    #[must_use]
    pub fn draining(&self) -> Draining {
        Draining::new(Arc::clone(self.io.connection()))
    }

    /// Marks a request that has been read as being answered, until the returned value is dropped.
    ///
    /// From the first call on, the connection counts as idle between two requests.
    pub fn request(&self) -> ActiveRequest {
        let connection = self.io.connection();
        let busy = connection.busy();
        connection.go(ConnectionStage::Requests);
        ActiveRequest { _busy: busy }
    }
}

impl AsyncRead for TcpConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        let connection = self.io.connection();
        if matches!(connection.stage(), ConnectionStage::New | ConnectionStage::Handshake) && read.is_ready() {
            connection.go(ConnectionStage::Whole);
        }
        read
    }
}

impl AsyncWrite for TcpConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl App {
    /// Registers a server of a protocol of one's own: `handler` is called for each connection.
    ///
    /// `farewell` is sent last on every connection that a stop ends. It may be empty. The stop does not wait for a
    /// connection that has never sent a byte: after the linger its handler is dropped.
    #[track_caller]
    pub fn serve_tcp<H, Fut>(
        &self,
        name: impl Into<String>,
        listen: impl Into<Listen>,
        farewell: impl Into<Bytes>,
        handler: H,
    ) -> Component<'_, Server>
    where
        H: Fn(TcpConnection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.serve_tcp_with(name, listen, farewell, handler, Serve::new())
    }

    /// Registers a server, as [`serve_tcp`](Self::serve_tcp), with settings. Those about HTTP and TLS have no effect.
    #[track_caller]
    pub fn serve_tcp_with<H, Fut>(
        &self,
        name: impl Into<String>,
        listen: impl Into<Listen>,
        farewell: impl Into<Bytes>,
        handler: H,
        settings: Serve,
    ) -> Component<'_, Server>
    where
        H: Fn(TcpConnection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (name, listen, at) = (name.into(), listen.into(), Location::caller());
        let (given, farewell) = (name.clone(), farewell.into());
        self.server(name, move |control| start(control, &given, listen, farewell, handler, settings, at))
    }
}

fn start<H, Fut>(
    control: &Control,
    name: &str,
    listen: Listen,
    farewell: Bytes,
    handler: H,
    settings: Serve,
    at: &'static Location<'static>,
) -> Result<Server, ServeError>
where
    H: Fn(TcpConnection) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (lingers, handler) = (!settings.linger.is_zero(), Arc::new(handler));
    let begin = move |connection: Arc<Connection>| {
        let (farewell, handler) = (farewell.clone(), Arc::clone(&handler));
        drop(tokio::spawn(async move {
            connection.introduce().await;
            let stream = Stream::new(Arc::clone(&connection), farewell);
            let io = ProtocolIo::new(Transport::Plain(stream), Arc::clone(&connection), lingers);
            tokio::select! {
                biased;
                () = handler(TcpConnection { io }) => {}
                () = unwanted(&connection) => {}
            }
        }));
    };
    Server::open(control, Some(name), listen, settings.stop_times(), at, begin)
}

/// Returns when the connection must end: after the linger if it has never sent a byte, or else when the drain is cut.
async fn unwanted(connection: &Connection) {
    connection.reached(Level::Closing).await;
    if connection.stage() != ConnectionStage::New || connection.socket.has_input() {
        connection.reached(Level::Cut).await;
    }
}
