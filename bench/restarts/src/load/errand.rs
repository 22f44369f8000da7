//! What every client is told, whatever it speaks: where the server is, when the load ends, and where to write down what came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adieu_drill::{AFTER_A_LOSS, Unconnected, connect};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::account::Account;

/// For an answer, and for the beginning of a connection.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);
/// A slow request body comes in so many parts, so far apart.
pub(super) const PARTS: usize = 5;
pub(super) const APART: Duration = Duration::from_millis(50);
pub(super) const PART: &[u8] = b"0123456789";

/// What a client needs to know.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    pub(super) address: SocketAddr,
    pub(super) account: Arc<Account>,
    pub(super) over: watch::Receiver<bool>,
}

impl Errand {
    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Returns when the load ends. Cancel safe.
    pub(super) async fn end(&mut self) {
        // Gone without a word: over too.
        let _over = self.over.wait_for(|over| *over).await;
    }

    /// A new connection; each that cannot be had is a loss. `None` when the load is over or this machine cannot go on.
    pub(super) async fn reach(&self, kind: &'static str) -> Option<TcpStream> {
        while !self.is_over() {
            match connect(self.address, TIMEOUT).await {
                Ok(stream) => return Some(stream),
                Err(Unconnected::Ours(error)) => {
                    self.account.trouble(&error);
                    return None;
                }
                Err(Unconnected::Lost(class)) => {
                    self.account.push(kind, class, "a new connection");
                    tokio::time::sleep(AFTER_A_LOSS).await;
                }
            }
        }
        None
    }

    pub(super) async fn pause(&self, most: Duration) {
        if !most.is_zero() {
            tokio::time::sleep(most.mul_f64(fastrand::f64())).await;
        }
    }
}
