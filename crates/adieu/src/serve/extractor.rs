//! `Draining` as an extractor of axum.

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use super::draining::Draining;

/// The request did not come through a server of this crate ([`App::serve`](crate::App::serve),
/// [`Server`](super::Server)), so nothing would tell its handler of a drain. The response is 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not served by adieu: nobody tells of the drain")]
pub struct NotServed;

impl IntoResponse for NotServed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

/// For handlers of axum: `async fn handler(draining: Draining) -> ..`.
impl<S: Send + Sync> FromRequestParts<S> for Draining {
    type Rejection = NotServed;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NotServed> {
        parts.extensions.get().cloned().ok_or(NotServed)
    }
}
