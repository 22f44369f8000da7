//! Responses of a service: counted, and marked as the last of their connection during a stop.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::connections::{BusyGuard, Connection};
use super::draining::{Draining, UntilDraining};
use super::level::Level;

/// Calls `service`, and counts its response until the body is dropped.
///
/// During a stop a response of HTTP/1 gets `Connection: close`, so that no request follows on its connection.
pub(super) async fn respond<S, B>(
    mut service: S,
    mut request: Request<Incoming>,
    connection: Arc<Connection>,
) -> Result<Response<CountedBody<B>>, S::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    let busy = connection.busy();
    let version = request.version();
    let has_body = !request.body().is_end_stream();
    let draining = Draining::new(Arc::clone(&connection));
    request.extensions_mut().insert(draining.clone());
    std::future::poll_fn(|context| service.poll_ready(context)).await?;
    let mut response = service.call(request).await?;
    if connection.level() >= Level::Announced {
        connection.owed.store(has_body || version == Version::HTTP_2, Ordering::Relaxed);
        if version < Version::HTTP_2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
    let events = response.headers().get(CONTENT_TYPE).is_some_and(is_event_stream);
    Ok(response.map(|body| match events {
        true => CountedBody { body: BodyKind::Endless { body: draining.until(body) }, busy },
        false => CountedBody { body: BodyKind::Plain { body }, busy },
    }))
}

fn is_event_stream(value: &HeaderValue) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    value.as_bytes().get(..EVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(EVENTS))
}

pin_project! {
    /// The body of a response. The request is being answered as long as the body exists.
    pub(super) struct CountedBody<B> {
        #[pin]
        body: BodyKind<B>,
        busy: BusyGuard,
    }

    impl<B> PinnedDrop for CountedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            // The protocol has the rest of the response. Before the guard is dropped: see `Connection::is_at_rest`.
            this.busy.connection().unflushed.store(true, Ordering::Relaxed);
        }
    }
}

pin_project! {
    #[project = BodyKindPinned]
    enum BodyKind<B> {
        Plain { #[pin] body: B },
        // Server-sent events, which do not end by themselves.
        Endless { #[pin] body: UntilDraining<B> },
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().body.project() {
            BodyKindPinned::Plain { body } => body.poll_frame(context),
            BodyKindPinned::Endless { body } => body.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            BodyKind::Plain { body } => body.is_end_stream(),
            BodyKind::Endless { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            BodyKind::Plain { body } => body.size_hint(),
            BodyKind::Endless { body } => body.size_hint(),
        }
    }
}
