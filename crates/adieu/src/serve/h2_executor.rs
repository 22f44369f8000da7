//! The tasks of an HTTP/2 connection: its streams, and what some of them are upgraded to (RFC 8441).

use std::sync::Arc;

use hyper::rt::Executor;

use super::connections::Connection;

tokio::task_local! {
    /// Set while a stream of HTTP/2 is being answered.
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
    /// The protocol begins the task of a stream from the connection's own. From within a stream's comes only one thing: what
    /// it is upgraded to, which lasts as long as the application writes.
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
