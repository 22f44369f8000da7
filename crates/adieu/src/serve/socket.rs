use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// An accepted connection. Used through `&self` by the protocol and, to look at it or to cut it, by the stop.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(super) fn tcp(stream: TcpStream) -> Self {
        // Only delays where it fails.
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

    /// Nothing more will be sent. An error means that the other side is gone.
    pub(super) fn end_output(&self) {
        let _gone = self.plain().shutdown(Shutdown::Write);
    }

    /// Whoever reads sees the end, whoever writes an error.
    pub(super) fn cut(&self) {
        let _gone = self.plain().shutdown(Shutdown::Both);
    }

    pub(super) fn poll_read(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let room = buffer.remaining();
            let mut whole = false;
            // The outer step clears the readiness, as of before the read, of a socket that has given less than there was room
            // for: it is empty (epoll(7), question 9), and asking it again would be a system call more for each request.
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

/// Calls a read that has left room in the buffer one that would block next time, and says so in `whole`.
fn emptied(read: io::Result<usize>, room: usize, whole: &mut bool) -> io::Result<usize> {
    *whole = read.as_ref().is_ok_and(|bytes| (1..room).contains(bytes));
    if *whole { Err(io::ErrorKind::WouldBlock.into()) } else { read }
}
