use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower_service::Service;

use crate::error::BoxError;

/// What can be served: an axum `Router`, tonic's `Routes`, any tower service that answers HTTP.
///
/// It is implemented for all of them, and never by hand: a [`Service`] that takes a `Request<Incoming>` and gives a
/// `Response` with any body, can be cloned (each connection has a clone, each request one of that), and whose errors are
/// errors. An error ends the connection, with HTTP/2 the stream.
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
    /// The body of its answers.
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

/// A service of hyper's own trait, to be served: `app.serve("api", address, Hyper(service_fn(answer)))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hyper<S>(
    /// It.
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
