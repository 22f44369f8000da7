//! Starts and hooks as tasks of the runtime that send how they ended.

use std::task::{Context, Poll, Waker};

use adieu_core::Timestamp;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::catch_unwind::{BoxFuture, Completion, catch_unwind_future};
use crate::clock;
use crate::control::{Mailbox, Message};
use crate::error::BoxError;

/// A start or a hook that runs.
pub(crate) struct RunningWork {
    task: AbortHandle,
    cut: CancellationToken,
    pub(crate) since: Timestamp,
}

impl RunningWork {
    /// Cuts it, as it is out of time: cancels its token, and drops its future at the next `.await`.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
        self.task.abort();
    }
}

/// A start or a hook that is about to run.
pub(crate) struct Work(BoxFuture<Completion>);

impl Work {
    pub(crate) fn new<M>(make: M) -> Self
    where
        M: FnOnce() -> BoxFuture<Result<(), BoxError>> + Send + 'static,
    {
        Self(Box::pin(catch_unwind_future(make)))
    }

    /// Polls it once on this thread, which it must not block. Most hooks of the library have nothing to wait for, and
    /// to wake a thread takes longer than they do.
    pub(crate) fn first_step(&mut self, runtime: &Handle) -> Option<Completion> {
        let _within = runtime.enter();
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => Some(ended),
            // `spawn_on` polls it again, with a waker.
            Poll::Pending => None,
        }
    }

    /// Spawns it. The task makes its span, as a subscriber may block.
    pub(crate) fn spawn_on(
        self,
        runtime: &Handle,
        mailbox: Mailbox,
        cut: CancellationToken,
        span: impl FnOnce() -> tracing::Span + Send + 'static,
        message: impl FnOnce(Completion) -> Message + Send + 'static,
    ) -> RunningWork {
        let mut end = SendOnDrop { message: Some((message, mailbox)), ended: None };
        let task = runtime.spawn(async move {
            let ended = self.0.instrument(span()).await;
            end.ended = Some(ended);
            drop(end);
        });
        RunningWork { task: task.abort_handle(), cut, since: clock::now() }
    }
}

/// Sends how a task ended, also when it is aborted or its runtime is gone.
struct SendOnDrop<F: FnOnce(Completion) -> Message> {
    message: Option<(F, Mailbox)>,
    ended: Option<Completion>,
}

impl<F: FnOnce(Completion) -> Message> Drop for SendOnDrop<F> {
    fn drop(&mut self) {
        if let Some((message, mailbox)) = self.message.take() {
            let ended = self.ended.take().unwrap_or_else(Completion::cancelled);
            mailbox.send(message(ended));
        }
    }
}
