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

/// How long accepting pauses when the process has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(10);

/// How long that is not said again.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// What ends the loop: a word, which is answered when the listener is closed.
pub(super) type StopAccepting = oneshot::Sender<oneshot::Sender<()>>;

/// Accepts until it is told to end; then takes what has come, and closes.
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
            // First, so that a flood of connections does not starve the stop.
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
        // Nobody waits for it any more when the hook has been cut.
        let _gone = confirm.send(());
    }
}

/// Whether the stop has only those descriptors that were kept back for it: to leave a registry, for example, while this still
/// serves. Who connects then waits for the quiesce, or for the successor.
fn leaves_the_last(control: &Control) -> bool {
    control.fd_reserve().were_the_last() && control.stage() == Stage::Stopping(Phase::Announce)
}

/// Errors of `accept(2)` that belong to the connection and not to the listener.
fn is_about_one(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
