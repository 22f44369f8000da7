//! Accepted sockets, TCP and Unix.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// An accepted socket. The protocol and the stop use it at the same time, so its methods take `&self`.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(super) fn tcp(stream: TcpStream) -> Self {
        // If it fails, small responses are delayed.
        let _ok = stream.set_nodelay(true);
        Self::Tcp(stream)
    }

    fn plain(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
        }
    }

    /// Whether the kernel holds bytes that have not been read, or an error; the end of input is neither.
    pub(super) fn has_input(&self) -> bool {
        self.plain().peek(&mut [MaybeUninit::uninit()]).is_ok_and(|bytes| bytes > 0)
    }

    /// Ends the output. An error means that the client is gone.
    pub(super) fn end_output(&self) {
        let _gone = self.plain().shutdown(Shutdown::Write);
    }

    /// Ends both directions: reads return the end, writes an error.
    pub(super) fn cut(&self) {
        let _gone = self.plain().shutdown(Shutdown::Both);
    }

    pub(super) fn poll_read(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let room = buffer.remaining();
            let mut whole = false;
            // A socket that fills less than the buffer is empty (epoll(7), question 9). Called one that would block,
            // `try_io` clears its readiness as of before the read. Asking again would cost a system call for each
            // request.
            let read = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    stream.try_io(Interest::READABLE, || emptied(stream.try_read_buf(buffer), room, &mut whole))
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    stream.try_io(Interest::READABLE, || emptied(stream.try_read_buf(buffer), room, &mut whole))
                }
            };
            match read {
                Err(_) if whole => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other.map(drop)),
            }
        }
    }

    pub(super) fn poll_write(&self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let written = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_write_ready(context))?;
                    stream.try_write_vectored(slices)
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_write_ready(context))?;
                    stream.try_write_vectored(slices)
                }
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }
}

/// Turns a read that has left room in the buffer into `WouldBlock`, and sets `whole`.
fn emptied(read: io::Result<usize>, room: usize, whole: &mut bool) -> io::Result<usize> {
    *whole = read.as_ref().is_ok_and(|bytes| (1..room).contains(bytes));
    if *whole { Err(io::ErrorKind::WouldBlock.into()) } else { read }
}
