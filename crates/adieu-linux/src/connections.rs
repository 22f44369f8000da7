//! Connections: beginning one, reading and writing without waiting, parking, closing without loss (`tcp(7)`, `socket(7)`).

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::cvt;
use crate::diag::Info;
use crate::sockaddr::raw_address;
use crate::sockets::{option, set_option, set_raw};

/// Ends our side of a connection for every holder: what was sent is delivered, then a FIN.
///
/// # Errors
/// ENOTCONN.
pub fn shut_down_writing(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes integers.
    let ended = cvt(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) });
    traced!(ended, "shut down writing {}", crate::trace::At(socket))?;
    Ok(())
}

/// Makes a later `close` deliver what was sent, whatever the program had asked for (SO_LINGER).
///
/// # Errors
/// ENOTSOCK.
pub fn linger_off(socket: BorrowedFd<'_>) -> io::Result<()> {
    let off = libc::linger { l_onoff: 0, l_linger: 0 };
    // SAFETY: struct linger is what this option takes.
    let set = unsafe { set_raw(socket, libc::SOL_SOCKET, libc::SO_LINGER, &off) };
    traced!(set, "linger off {}", crate::trace::At(socket))
}

/// How many bytes must wait before a reader is woken (SO_RCVLOWAT); setting it back to 1 wakes it if anything waits.
///
/// # Errors
/// ENOTSOCK.
pub fn set_low_water(socket: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes)
}

/// The number that names this socket for as long as the machine is up (SO_COOKIE), as in [`crate::diag`].
///
/// # Errors
/// ENOTSOCK; ENOPROTOOPT before Linux 4.12.
pub fn cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut value = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    let into = (&raw mut value).cast();
    // SAFETY: `value` has `length` writable bytes.
    cvt(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_COOKIE, into, &raw mut length) })?;
    Ok(value)
}

/// Reads what is there without waiting, whatever the socket's O_NONBLOCK says: other holders share that flag. `peek` leaves
/// it there.
///
/// # Errors
/// EAGAIN when nothing waits; ECONNRESET.
pub fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 };
    // SAFETY: `buffer` has that many writable bytes.
    let got = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(got.unsigned_abs()) }
}

/// Writes what fits without waiting; see [`receive_now`]. Never raises SIGPIPE.
///
/// # Errors
/// EAGAIN when nothing fits; EPIPE, ECONNRESET.
pub fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `bytes` are readable for their length.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent.unsigned_abs()) }
}

/// Begins to connect a non-blocking socket: `Ok(true)` when it is connected at once.
///
/// # Errors
/// ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL.
pub fn connect(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<bool> {
    let (storage, length) = raw_address(address);
    // SAFETY: `storage` holds an address of `length` bytes.
    let connected = cvt(unsafe { libc::connect(socket.as_raw_fd(), (&raw const storage).cast(), length) });
    match traced!(connected, "connect to {}", crate::trace::To(address)) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The error pending on a socket (SO_ERROR); 0 for none. Reading it clears it.
#[must_use]
pub fn pending_error(socket: BorrowedFd<'_>) -> i32 {
    option(socket, libc::SOL_SOCKET, libc::SO_ERROR).unwrap_or(libc::EBADF)
}

/// Whether the socket has a peer (`getpeername(2)`).
#[must_use]
pub fn is_connected(socket: BorrowedFd<'_>) -> bool {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `storage` has `length` writable bytes.
    unsafe { libc::getpeername(socket.as_raw_fd(), storage.as_mut_ptr().cast(), &raw mut length) == 0 }
}

/// The user at the other end of a Unix socket (SO_PEERCRED, `unix(7)`).
///
/// # Errors
/// ENOTCONN, EINVAL for other kinds of sockets.
pub fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let into = (&raw mut credentials).cast();
    // SAFETY: `credentials` has `length` writable bytes.
    cvt(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, into, &raw mut length) })?;
    Ok(credentials.uid)
}

/// What the kernel counts of one connection at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// TCP state, see [`crate::diag::state`].
    pub state: u8,
    /// Bytes that its program has read in all.
    pub read: u64,
    /// Bytes that wait unread.
    pub unread: u32,
    /// Bytes that its program has written in all, whether or not they have left.
    pub written: u64,
    /// Times, and what is on its way.
    pub info: Info,
}

/// Reads the counters of a connection, all of the same moment (`tcp(7)` TCP_INFO and SIOCINQ).
///
/// # Errors
/// ENOTSOCK; EINVAL for a listener; `WouldBlock` when data keeps coming; `InvalidData` before Linux 4.19.
pub fn counters(socket: BorrowedFd<'_>) -> io::Result<Counters> {
    const TRIES: usize = 4;
    let (mut state, mut info) = tcp_info(socket)?;
    for _ in 0..TRIES {
        let unread = unread(socket)?;
        // Two calls are two moments: nothing may have come in between.
        let (state_after, after) = tcp_info(socket)?;
        if (state_after, after.bytes_received) == (state, info.bytes_received) {
            return Ok(Counters {
                state,
                read: after.bytes_received.saturating_sub(u64::from(unread)),
                unread,
                written: (after.bytes_sent - after.bytes_retransmitted.min(after.bytes_sent))
                    + u64::from(after.bytes_unsent),
                info: after,
            });
        }
        (state, info) = (state_after, after);
    }
    Err(io::ErrorKind::WouldBlock.into())
}

fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<(u8, Info)> {
    let mut bytes = [0u8; 256];
    let mut length = bytes.len() as libc::socklen_t;
    let into = bytes.as_mut_ptr().cast();
    // SAFETY: `bytes` has `length` writable bytes; the kernel writes at most that much of struct tcp_info.
    cvt(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, into, &raw mut length) })?;
    let known = bytes.get(..length as usize).filter(|known| known.len() >= 216);
    let info = known.and_then(crate::diag::parse_info).ok_or(io::ErrorKind::InvalidData)?;
    Ok((bytes[0], info))
}

fn unread(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut value = 0i32;
    // SAFETY: SIOCINQ (FIONREAD) writes one int to `value`.
    cvt(unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut value) })?;
    Ok(u32::try_from(value).unwrap_or(0))
}

/// Holds back the last, partly filled segment of what is written (TCP_CORK), for 200 ms at most; or lets it go.
///
/// # Errors
/// ENOTSOCK.
pub fn set_cork(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_CORK, i32::from(on))
}

/// Whether that is so already.
#[must_use]
pub fn is_corked(socket: BorrowedFd<'_>) -> bool {
    option(socket, libc::IPPROTO_TCP, libc::TCP_CORK).is_ok_and(|value| value != 0)
}
