//! Running code of the application so that a panic is a result.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use adieu_core::stop_plan::End;

use crate::error::BoxError;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How code of the application ended.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) how: End,
    /// The error or the panic's message.
    pub(crate) error: Option<String>,
}

impl Completion {
    /// The future was dropped before it was done.
    pub(crate) fn cancelled() -> Self {
        Self { how: End::Failed, error: Some("cancelled".to_owned()) }
    }

    fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Self { how: End::Panicked, error: Some(text.unwrap_or_else(|| "a panic without a message".to_owned())) }
    }

    fn of(result: Result<(), BoxError>) -> Self {
        match result {
            Ok(()) => Self { how: End::Done, error: None },
            Err(error) => Self { how: End::Failed, error: Some(chain(&*error)) },
        }
    }
}

/// The text of an error and of its sources, each after a colon. Skips a source that the text before ends with, as many
/// do.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        let deeper_text = deeper.to_string();
        if !text.ends_with(&deeper_text) {
            text = format!("{text}: {deeper_text}");
        }
        source = deeper.source();
    }
    text
}

/// Calls `make`, runs its future and drops it. A panic in any of the three is a [`Completion`]. Dropped, it drops the
/// future.
pub(crate) async fn catch_unwind_future<M>(make: M) -> Completion
where
    M: FnOnce() -> BoxFuture<Result<(), BoxError>>,
{
    let mut future = match catch_unwind(AssertUnwindSafe(make)) {
        Ok(future) => Some(future),
        Err(payload) => return Completion::panicked(&*payload),
    };
    let polled = std::future::poll_fn(|context| {
        let Some(running) = future.as_mut() else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(Completion::of(result)),
            Err(payload) => Poll::Ready(Completion::panicked(&*payload)),
        }
    });
    let ended = polled.await;
    match catch_unwind(AssertUnwindSafe(|| drop(future.take()))) {
        Ok(()) => ended,
        Err(payload) => Completion::panicked(&*payload),
    }
}
