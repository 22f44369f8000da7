//! What the protocol reads and writes: the socket, with the first bytes given back, and closed so that no answer is lost.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::connections::{Connection, ConnectionState};

/// How long a lingering close reads what the other side still sends.
const LINGERING: Duration = Duration::from_secs(1);

/// A connection's socket. While it exists the connection is not closed.
#[derive(Debug)]
pub(super) struct Stream {
    connection: Arc<Connection>,
    /// Read already, to be read again.
    first: BytesMut,
    closing: Closing,
}

/// Closing a socket with unread input sends RST, which can destroy an answer that the other side has not read yet. So: end
/// the output, read to the end of the input, close.
#[derive(Debug)]
enum Closing {
    No,
    Lingering(Pin<Box<Sleep>>),
    Done,
}

impl Stream {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, first: BytesMut::new(), closing: Closing::No }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Reads more of the first bytes; false at the end of input. Cancel safe.
    pub(super) async fn peek_more(&mut self) -> io::Result<bool> {
        let mut space = [0; 1024];
        let mut buffer = ReadBuf::new(&mut space);
        std::future::poll_fn(|context| self.connection.socket.poll_read(context, &mut buffer)).await?;
        if self.connection.state() == ConnectionState::New && !buffer.filled().is_empty() {
            self.connection.go(ConnectionState::Handshake);
        }
        self.first.extend_from_slice(buffer.filled());
        Ok(!buffer.filled().is_empty())
    }

    /// What has been read so far and will be read again.
    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }

    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.closing {
                Closing::No => {
                    self.connection.socket.end_output();
                    self.closing = Closing::Lingering(Box::pin(tokio::time::sleep(LINGERING)));
                }
                Closing::Lingering(most) => {
                    let mut space = [0; 4096];
                    let mut buffer = ReadBuf::new(&mut space);
                    let over = match self.connection.socket.poll_read(context, &mut buffer) {
                        Poll::Ready(Ok(())) => buffer.filled().is_empty(),
                        Poll::Ready(Err(_)) => true,
                        Poll::Pending => {
                            ready!(most.as_mut().poll(context));
                            true
                        }
                    };
                    if over {
                        self.closing = Closing::Done;
                    }
                }
                Closing::Done => return Poll::Ready(()),
            }
        }
    }

    /// Ends the output and reads to the end of the input, or for a bounded time. Cancel safe.
    pub(super) async fn linger(&mut self) {
        std::future::poll_fn(|context| self.poll_linger(context)).await;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.close();
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return self.connection.socket.poll_read(context, buffer);
        }
        let now = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..now]);
        self.first.advance(now);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.connection.socket.poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.socket.poll_write(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_linger(context).map(Ok)
    }
}
