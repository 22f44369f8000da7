//! A service's answers: counted, and marked as the last of their connection while a stop goes on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::connections::{Busy, Connection};
use super::draining::Draining;

/// Asks `service`. What its answer says is decided before the headers leave: while a stop goes on, that no other request
/// may follow on this connection.
pub(super) async fn answer<S, B>(
    mut service: S,
    mut request: Request<Incoming>,
    connection: Arc<Connection>,
    draining: Draining,
) -> Result<Response<Counted<B>>, S::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    let busy = connection.busy();
    let version = request.version();
    request.extensions_mut().insert(draining.clone());
    std::future::poll_fn(|context| service.poll_ready(context)).await?;
    let mut response = service.call(request).await?;
    let last = version < Version::HTTP_2 && response.status() != StatusCode::SWITCHING_PROTOCOLS;
    if last && draining.is_announced() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Counted { body, _busy: busy }))
}

pin_project! {
    /// An answer's body; the request is being answered as long as it exists.
    pub(super) struct Counted<B> {
        #[pin]
        body: B,
        _busy: Busy,
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
