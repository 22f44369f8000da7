use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::connections::Connection;
use super::level::{CurrentLevel, Level};

/// Told to every request, as an extension: whether the server is about to stop, and who asks. For answers that would never
/// end by themselves (long polls, streams) and for upgraded connections. Cheap to clone.
///
/// In axum it is an extractor (feature `axum`), or else `Extension(draining): Extension<adieu::serve::Draining>`.
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

    /// Who is at the other end of the connection; `None` for a Unix socket.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.connection.peer
    }

    /// The certificates that the client has shown, its own first, where the TLS configuration asks for them and has verified
    /// them; else none.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn peer_certificates(&self) -> &[tokio_rustls::rustls::pki_types::CertificateDer<'static>] {
        self.connection.certificates.get().map_or(&[], Vec::as_slice)
    }

    /// Whether the server takes nothing new on any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.stop_level().get() >= Level::Draining
    }

    /// Returns when the server takes nothing new on any more: end a stream, say goodbye on a WebSocket. Borrows nothing;
    /// cancel safe.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop_level().begun.clone().cancelled_owned()
    }

    /// A close hook: runs `hook` when the drain begins, for connections whose loop is elsewhere (behind a channel, in an
    /// actor). The drain waits for its end. It does not run when the returned value is dropped before.
    ///
    /// To be called within the runtime.
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

    /// A body that ends cleanly, between two frames, when the drain begins; the client sees a complete answer and comes
    /// again, elsewhere. Answers of the type `text/event-stream` get this by themselves.
    pub fn until<B>(&self, body: B) -> UntilDraining<B> {
        UntilDraining { body, begun: self.stop_level().begun.clone().cancelled_owned(), ended: false }
    }
}

/// See [`Draining::on_close`]; to be kept as long as the connection.
#[derive(Debug)]
#[must_use = "dropped, the hook does not run"]
pub struct CloseHook {
    _dropped: tokio_util::sync::DropGuard,
}

pin_project! {
    /// See [`Draining::until`].
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
        // Before the body: one that always has a frame ready ends too.
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
