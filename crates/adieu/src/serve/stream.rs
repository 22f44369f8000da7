//! An accepted socket as a stream that is closed so that no answer is lost.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::connections::{Connection, ConnectionStage};
use super::level::Level;

/// How long a lingering close reads what the other side still sends.
const LINGERING: Duration = Duration::from_millis(500);

/// The socket of a connection, as a stream. Dropped, it closes the connection.
#[derive(Debug)]
pub(super) struct Stream {
    connection: Arc<Connection>,
    /// Sent last when a stop ends the connection.
    farewell: Bytes,
    ended: bool,
    closing: Closing,
}

/// How far a lingering close is.
///
/// Closing a socket with unread input sends RST, which can destroy a response that the client has not read yet. So the
/// close ends the output, reads to the end of the input, and closes. The drain waits for that only if the client may be
/// sending.
#[derive(Debug)]
enum Closing {
    No,
    Lingering(Pin<Box<Sleep>>),
    Done,
}

impl Stream {
    pub(super) fn new(connection: Arc<Connection>, farewell: Bytes) -> Self {
        Self { connection, farewell, ended: false, closing: Closing::No }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.farewell.is_empty() && self.connection.level() >= Level::Draining {
            match ready!(self.connection.socket.poll_write(context, &[IoSlice::new(&self.farewell)])) {
                Ok(sent) if sent > 0 => self.farewell.advance(sent),
                _ => self.farewell.clear(),
            }
        }
        Poll::Ready(())
    }

    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.closing {
                Closing::No => {
                    ready!(self.poll_farewell(context));
                    self.connection.socket.end_output();
                    self.closing = match self.ended {
                        true => Closing::Done,
                        false => Closing::Lingering(Box::pin(tokio::time::sleep(LINGERING))),
                    };
                }
                Closing::Lingering(most) => {
                    let mut space = [0; 4096];
                    let mut buffer = ReadBuf::new(&mut space);
                    match self.connection.socket.poll_read(context, &mut buffer) {
                        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                        Poll::Ready(_) => self.closing = Closing::Done,
                        Poll::Pending => {
                            if !self.connection.owed.load(Ordering::Relaxed) {
                                // The kernel has the whole response, and sends it without this process.
                                self.connection.close();
                            }
                            ready!(most.as_mut().poll(context));
                            self.closing = Closing::Done;
                        }
                    }
                }
                Closing::Done => return Poll::Ready(()),
            }
        }
    }

    /// Makes the next close an immediate one: nothing is under way.
    pub(super) fn abandon(&mut self) {
        self.closing = Closing::Done;
    }

    /// Ends the output and reads to the end of the input, for [`LINGERING`] at most.
    pub(super) async fn linger(mut self) {
        std::future::poll_fn(|context| self.poll_linger(context)).await;
    }

    /// Moves what is left of the close into a stream of its own, which a task can finish.
    fn leave(&mut self) -> Option<Self> {
        let cut = self.connection.level() == Level::Cut || matches!(self.closing, Closing::Done);
        if cut || (self.ended && self.farewell.is_empty()) {
            return None;
        }
        let (farewell, closing) =
            (std::mem::take(&mut self.farewell), std::mem::replace(&mut self.closing, Closing::Done));
        Some(Self { connection: Arc::clone(&self.connection), farewell, ended: self.ended, closing })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        match (self.leave(), tokio::runtime::Handle::try_current()) {
            (Some(left), Ok(runtime)) => drop(runtime.spawn(left.linger())),
            (Some(mut left), Err(_)) => left.abandon(),
            (None, _) => self.connection.close(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(self.connection.socket.poll_read(context, buffer));
        if buffer.filled().len() > before {
            self.connection.partial.store(true, Ordering::Relaxed);
            self.connection.moved.fetch_add(1, Ordering::Relaxed);
            if self.connection.stage() == ConnectionStage::New {
                self.connection.go(ConnectionStage::Handshake);
            }
        } else {
            self.ended = true;
        }
        Poll::Ready(read)
    }
}

impl Stream {
    fn poll_send(&self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let connection = &self.connection;
        let sent = connection.socket.poll_write(context, slices);
        match sent.is_pending() {
            true => connection.blocked.store(true, Ordering::Relaxed),
            false => {
                connection.moved.fetch_add(1, Ordering::Relaxed);
                if connection.blocked.load(Ordering::Relaxed) {
                    connection.blocked.store(false, Ordering::Relaxed);
                    // A read may have waited until everything was written.
                    context.waker().wake_by_ref();
                }
            }
        }
        sent
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.unflushed.load(Ordering::Relaxed) {
            self.connection.unflushed.store(false, Ordering::Relaxed);
            if self.connection.level() >= Level::Closing {
                // A read may have waited until everything was written.
                context.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_linger(context).map(Ok)
    }
}
