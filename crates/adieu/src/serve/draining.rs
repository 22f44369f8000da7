use std::pin::Pin;
use std::task::{Context, Poll};

use adieu_core::stop_plan::Phase;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::control::{Control, Stage};

/// Told to every request, as an extension: whether the server is about to stop. For answers that would never end by
/// themselves (server-sent events, long polls) and for upgraded connections.
///
/// In axum: `Extension(draining): Extension<adieu::serve::Draining>`.
#[derive(Debug, Clone)]
pub struct Draining {
    control: Control,
    /// Cancelled when the server's quiesce hook runs: after that of whatever comes after it.
    token: CancellationToken,
}

impl Draining {
    pub(super) fn new(control: Control) -> Self {
        Self { control, token: CancellationToken::new() }
    }

    pub(super) fn begin(&self) {
        self.token.cancel();
    }

    pub(super) fn is_announced(&self) -> bool {
        self.control.stage() >= Stage::Stopping(Phase::Announce)
    }

    /// Whether the server takes nothing new on any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns when the server takes nothing new on any more: end a stream, say goodbye on a WebSocket. Cancel safe.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// A body that ends cleanly, between two frames, when the drain begins; the client sees a complete answer and comes
    /// again, elsewhere.
    pub fn until<B>(&self, body: B) -> UntilDraining<B> {
        UntilDraining { body, begun: self.token.clone().cancelled_owned(), ended: false }
    }
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
        match this.body.poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => {
                std::task::ready!(this.begun.poll(context));
                // A finished future is not polled again.
                *this.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
