//! The stream that a protocol reads and writes: plain or TLS, with the bytes put back that showed the protocol.
//!
//! It decides when the *input* of a connection ends in a stop: when the connection is idle and nothing is under way.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use adieu_core::wire;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::connection_state::ConnectionState;
use super::connections::Connection;
use super::level::Level;
use super::stream::Stream;

/// A stream with or without TLS.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(Stream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<Stream>>),
}

impl Transport {
    pub(super) fn stream(&mut self) -> &mut Stream {
        match self {
            Self::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_mut().0,
        }
    }
}

/// Calls a method of `AsyncRead` or `AsyncWrite` on the stream within.
macro_rules! on {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            Transport::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

/// The stream of a protocol; see the module.
#[derive(Debug)]
pub(super) struct ProtocolIo {
    transport: Transport,
    connection: Arc<Connection>,
    /// Bytes that were read to find the protocol, and are read again by it.
    first: BytesMut,
    /// Whether idle connections stay open for a while in a drain.
    lingers: bool,
    /// Whether the protocol ends when its input ends: HTTP/1, and protocols of one's own.
    ends: bool,
    goaway: Option<EarlyGoaway>,
}

/// The first GOAWAY of HTTP/2, which asks for no more requests, and refuses none.
///
/// hyper sends another one with the number of the last stream, as soon as its PING is acknowledged. A client that is
/// about to send a request may acknowledge the PING first, and then its request is lost. So this GOAWAY goes ahead, by
/// the linger.
#[derive(Debug)]
struct EarlyGoaway {
    at: Level,
    sent: usize,
}

/// A GOAWAY frame (RFC 9113, 6.8): 8 bytes of payload, stream 0, the highest stream number, no error.
const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

impl ProtocolIo {
    pub(super) fn new(transport: Transport, connection: Arc<Connection>, lingers: bool) -> Self {
        Self { transport, connection, first: BytesMut::new(), lingers, ends: true, goaway: None }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Reads more of the first bytes; false at the end of input. Cancel safe.
    pub(super) async fn peek_more(&mut self) -> io::Result<bool> {
        Ok(self.transport_read().await? > 0)
    }

    async fn transport_read(&mut self) -> io::Result<usize> {
        self.first.reserve(1024);
        match &mut self.transport {
            Transport::Plain(stream) => stream.read_buf(&mut self.first).await,
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.read_buf(&mut self.first).await,
        }
    }

    /// The first bytes, which the protocol will read again.
    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }

    /// Sends GOAWAY when the stop has come to `at`, and does not end the input: HTTP/2 ends by itself.
    pub(super) fn goes_away(&mut self, at: Level) {
        self.ends = false;
        self.goaway = Some(EarlyGoaway { at, sent: 0 });
    }

    /// Sends the GOAWAY; if `begun`, only the rest of one that was begun. A flush is between two frames, a write may
    /// not be.
    fn poll_goaway(&mut self, context: &mut Context<'_>, begun: bool) -> Poll<io::Result<()>> {
        while let Some(goaway) = &mut self.goaway
            && self.connection.level() >= goaway.at
            && (goaway.sent > 0 || !begun)
        {
            let rest = &GOAWAY[goaway.sent..];
            goaway.sent += match ready!(on!(&mut self.transport, stream => stream.poll_write(context, rest)))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => sent,
            };
            if goaway.sent == GOAWAY.len() {
                self.goaway = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the input ends here: between two requests, after the linger, with nothing to read or to write.
    fn is_over(&mut self) -> bool {
        let level = self.connection.level();
        if !self.ends || level < Level::Closing || self.connection.state() != ConnectionState::Idle {
            return level == Level::Cut;
        }
        let blocked = self.connection.blocked.load(Ordering::Relaxed);
        // Half a request has the time that a handshake has.
        let partial = level < Level::Overdue
            && (self.connection.partial.load(Ordering::Relaxed) || self.connection.socket.has_input());
        let unflushed = self.connection.unflushed.load(Ordering::Relaxed);
        let over = !blocked && !unflushed && !partial;
        if over && (!self.lingers || self.is_parked()) && !self.connection.owed.load(Ordering::Relaxed) {
            self.transport.stream().abandon();
        }
        over
    }

    /// Whether `adieu run` may hold this connection too, so that the next generation answers its next request.
    ///
    /// Then the client does not notice a close of this process. It would notice an end of output, in the face of a
    /// request that is on its way.
    fn is_parked(&self) -> bool {
        static PARKS: OnceLock<bool> = OnceLock::new();
        matches!(self.transport, Transport::Plain(_))
            && *PARKS.get_or_init(|| std::env::var_os(wire::PARKS).is_some_and(|parks| parks == "yes"))
    }
}

impl AsyncRead for ProtocolIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let now = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..now]);
            self.first.advance(now);
            return Poll::Ready(Ok(()));
        }
        match on!(&mut self.transport, stream => stream.poll_read(context, buffer)) {
            Poll::Pending if self.is_over() => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl AsyncWrite for ProtocolIo {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_goaway(context, true))?;
        on!(&mut self.transport, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_goaway(context, true))?;
        on!(&mut self.transport, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self.transport, Transport::Plain(_))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_goaway(context, false))?;
        on!(&mut self.transport, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(on!(&mut self.transport, stream => stream.poll_shutdown(context)))?;
        Poll::Ready(Ok(()))
    }
}
