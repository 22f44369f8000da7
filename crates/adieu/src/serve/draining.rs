//! How handlers learn that their server drains.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::connections::Connection;
use super::level::{CurrentLevel, Level};

/// Tells a handler that its server drains, and who the client is. Cheap to clone.
///
/// Every request has it as an extension. In axum it is an extractor (feature `axum`), or else
/// `Extension(draining): Extension<adieu::serve::Draining>`. Of a protocol of one's own,
/// [`TcpConnection::draining`](super::TcpConnection::draining) returns it.
///
/// # When not to use it
///
/// Only responses without an end need it: long polls, streams, upgraded connections. Other responses are finished
/// without it, and server-sent events (`text/event-stream`) end by themselves.
///
/// # Examples
///
/// A long poll that answers early when the drain begins:
///
/// ```
/// use std::time::Duration;
///
/// use adieu::App;
/// use adieu::serve::Draining;
/// use axum::Router;
/// use axum::routing::get;
///
/// async fn next_event() -> String {
///     std::future::pending().await
/// }
///
/// async fn poll(draining: Draining) -> String {
///     tokio::select! {
///         event = next_event() => event,
///         () = draining.begun() => "nothing, ask again".to_owned(),
///     }
/// }
///
/// let app = App::new("shop");
/// let api = app.serve("api", ([127, 0, 0, 1], 0), Router::new().route("/poll", get(poll)));
/// let handle = api.handle();
/// app.main_task("client", move |_| async move {
///     use tokio::io::{AsyncReadExt, AsyncWriteExt};
///     let address = handle.get()?.local_addr().expect("an address");
///     let mut client = tokio::net::TcpStream::connect(address).await?;
///     client.write_all(b"GET /poll HTTP/1.1\r\nHost: shop\r\n\r\n").await?;
///     tokio::spawn(async move {
///         let mut response = String::new();
///         client.read_to_string(&mut response).await.expect("a whole response");
///         assert!(response.ends_with("nothing, ask again"));
///     });
///     while handle.get()?.connections().active == 0 {
///         tokio::time::sleep(Duration::from_millis(1)).await;
///     }
///     Ok::<_, adieu::BoxError>(()) // the main task ends, so the stop begins
/// })
/// .after(&api);
/// let report = app.run();
/// assert_eq!(report.code(), 0, "{report}");
/// ```
#[derive(Debug, Clone)]
pub struct Draining {
    connection: Arc<Connection>,
}

impl Draining {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    fn stop_level(&self) -> &CurrentLevel {
        &self.connection.all().stop_level
    }

    /// Returns the address of the client; `None` for a Unix socket.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.connection.peer
    }

    /// Returns the certificates of the client, its own first.
    ///
    /// Empty unless the TLS configuration asks for certificates, which it has verified then.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn peer_certificates(&self) -> &[tokio_rustls::rustls::pki_types::CertificateDer<'static>] {
        self.connection.certificates.get().map_or(&[], Vec::as_slice)
    }

    /// Whether the drain has begun, so that the server takes on nothing new.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.stop_level().get() >= Level::Draining
    }

    /// Returns when the drain begins: end the stream, or say goodbye on the WebSocket. The future borrows nothing.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop_level().begun.clone().cancelled_owned()
    }

    /// Runs `hook` when the drain begins, for connections whose loop is elsewhere (behind a channel, in an actor). The
    /// drain waits for its end.
    ///
    /// The hook does not run when the returned value was dropped before.
    ///
    /// # Panics
    ///
    /// When it is called outside of the runtime.
    #[track_caller]
    pub fn on_close<F, Fut>(&self, hook: F) -> CloseHook
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (begun, dropped) = (self.begun(), CancellationToken::new());
        let (hooks, unless) = (self.connection.all().hooks, dropped.clone());
        drop(tokio::spawn(async move {
            tokio::select! {
                () = unless.cancelled() => {}
                () = begun => {
                    let _in_flight = hooks.nested_token();
                    hook().await;
                }
            }
        }));
        CloseHook { _dropped: dropped.drop_guard() }
    }

    /// Returns a body that ends between two frames when the drain begins. The client sees a complete response, and
    /// comes again.
    ///
    /// Responses of the type `text/event-stream` have this already.
    pub fn until<B>(&self, body: B) -> UntilDraining<B> {
        UntilDraining { body, begun: self.stop_level().begun.clone().cancelled_owned(), ended: false }
    }
}

/// A hook of [`Draining::on_close`]. Keep it as long as the connection.
#[derive(Debug)]
#[must_use = "dropped, the hook does not run"]
pub struct CloseHook {
    _dropped: tokio_util::sync::DropGuard,
}

pin_project! {
    /// A body that ends when the drain begins. Made by [`Draining::until`].
    #[derive(Debug)]
    pub struct UntilDraining<B> {
        #[pin]
        body: B,
        #[pin]
        begun: WaitForCancellationFutureOwned,
        ended: bool,
    }
}

impl<B: Body> Body for UntilDraining<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        // Before the body, so that a body which always has a frame ready ends too.
        if this.begun.poll(context).is_ready() {
            // A finished future is not polled again.
            *this.ended = true;
            return Poll::Ready(None);
        }
        this.body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
