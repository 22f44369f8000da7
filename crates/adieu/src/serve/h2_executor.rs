//! The executor of an HTTP/2 connection: it counts the streams that are upgraded (RFC 8441).

use std::sync::Arc;

use hyper::rt::Executor;

use super::connections::Connection;

tokio::task_local! {
    /// Set in the task of a stream.
    static ANSWERING: ();
}

/// Spawns the tasks of one connection.
#[derive(Debug, Clone)]
pub(super) struct H2Executor(pub(super) Arc<Connection>);

impl<F> Executor<F> for H2Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    /// hyper spawns the task of a stream from the task of the connection. From the task of a stream it spawns only the
    /// upgraded stream, which lasts as long as the application writes.
    fn execute(&self, future: F) {
        if ANSWERING.try_with(|()| ()).is_ok() {
            let upgraded = self.0.upgraded();
            drop(tokio::spawn(async move {
                future.await;
                drop(upgraded);
            }));
        } else {
            drop(tokio::spawn(ANSWERING.scope((), async move {
                future.await;
            })));
        }
    }
}
