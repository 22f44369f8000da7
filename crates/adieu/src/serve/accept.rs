//! The accept loop.

use std::net::SocketAddr;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::stop_plan::Phase;
use tokio::sync::oneshot;

use super::listener::Listener;
use super::socket::Socket;
use crate::clock;
use crate::control::{Control, Stage};

/// Pause between two attempts when the process has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(10);

/// Least time between two log lines about it.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Ends the accept loop: send it a channel, which is answered when the listener is closed.
pub(super) type StopAccepting = oneshot::Sender<oneshot::Sender<()>>;

/// Accepts connections until `end`. Then accepts the rest of the queue, and closes the listener.
pub(super) async fn accept(
    listener: Listener,
    end: oneshot::Receiver<oneshot::Sender<()>>,
    control: Control,
    begin: impl Fn(Socket, Option<SocketAddr>),
) {
    let mut end = std::pin::pin!(end);
    let mut logged: Option<Timestamp> = None;
    let confirm = loop {
        tokio::select! {
            // In this order, so that a flood of connections does not starve the stop.
            biased;
            confirm = end.as_mut() => break confirm,
            () = tokio::time::sleep(EXHAUSTED), if leaves_the_last(&control) => {}
            accepted = listener.accept(), if !leaves_the_last(&control) => match accepted {
                Ok((socket, peer)) => begin(socket, peer),
                Err(error) if is_about_one(&error) => {}
                Err(error) => {
                    let now = clock::now();
                    if logged.is_none_or(|at| now.since(at) >= LOG_EVERY) {
                        logged = Some(now);
                        let at = listener.local_addr();
                        tracing::error!(?at, %error, "cannot accept, and tries again: who connects waits meanwhile");
                    }
                    tokio::time::sleep(EXHAUSTED).await;
                }
            },
        }
    };
    listener.empty_and_close().into_iter().for_each(|(socket, peer)| begin(socket, peer));
    if let Ok(confirm) = confirm {
        // Fails if the quiesce hook was cut, and does not wait any more.
        let _gone = confirm.send(());
    }
}

/// Whether only the descriptors of [`FdReserve`](crate::fd_reserve) are left, which the announce phase needs, for
/// example to leave a registry. New connections then wait in the queue for the quiesce, or for the successor.
fn leaves_the_last(control: &Control) -> bool {
    control.fd_reserve().were_the_last() && control.stage() == Stage::Stopping(Phase::Announce)
}

/// Whether an error of `accept(2)` belongs to a connection and not to the listener.
fn is_about_one(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
