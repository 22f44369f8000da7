//! What a server of HTTP serves.

use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;

use crate::error::BoxError;

/// A service that [`App::serve`](crate::App::serve) takes: an axum `Router`, tonic's `Routes`, any tower service of
/// HTTP.
///
/// Implemented for every [`Service`] from `Request<Incoming>` to a `Response` with any body that is `Clone`, and never
/// by hand. Each connection has a clone of the service, each request a clone of that. An error ends the connection,
/// with HTTP/2 the stream.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be served",
    label = "no tower service that is `Clone + Send + 'static` and answers a `Request<Incoming>`",
    note = "an axum router serves itself: `Router<()>`, after `with_state(..)` and without `into_make_service()`",
    note = "a service of hyper's own, such as its `service_fn`, goes into `adieu::serve::Hyper`"
)]
pub trait HttpService:
    Service<
        Request<Incoming>,
        Response = Response<<Self as HttpService>::ResponseBody>,
        Error: Into<BoxError>,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    /// The body of the responses.
    type ResponseBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> HttpService for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type ResponseBody = B;
}

/// Makes a service of hyper's own trait one that can be served: `app.serve("api", address, Hyper(service_fn(answer)))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hyper<S>(
    /// The service of hyper's.
    pub S,
);

impl<S, B> Service<Request<B>> for Hyper<S>
where
    S: hyper::service::Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.0.call(request)
    }
}
