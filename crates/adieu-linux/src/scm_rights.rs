//! Small messages with at most one descriptor over a Unix SEQPACKET pair (`unix(7)`, SCM_RIGHTS).

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::{cvt, cvt_long};

/// A connected pair of message sockets, close-on-exec.
///
/// # Errors
/// EMFILE, ENFILE.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for two descriptors.
    cvt(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) })?;
    // SAFETY: both were just created for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

const SPACE: usize = 64;

/// Room for one control message, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; SPACE]);

/// Sends one message, with a descriptor if given. Never raises SIGPIPE.
///
/// # Errors
/// EPIPE when the other side is gone.
pub fn send(over: BorrowedFd<'_>, message: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut control = Control([0; SPACE]);
    let mut io = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut io;
    header.msg_iovlen = 1;
    if let Some(fd) = descriptor {
        header.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE and CMSG_LEN are arithmetic; 64 bytes hold one descriptor's message.
        unsafe {
            header.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
            libc::CMSG_DATA(first).cast::<RawFd>().write_unaligned(fd.as_raw_fd());
        }
    }
    // SAFETY: `header` points to live buffers of the lengths it states.
    cvt_long(unsafe { libc::sendmsg(over.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) } as i64)?;
    Ok(())
}

/// Receives one message into `buffer` without waiting: its length and its descriptor. `Ok(None)` when there is none yet;
/// a length of 0 is end of file.
///
/// # Errors
/// `InvalidData` when descriptors were dropped on the way (MSG_CTRUNC: our table is full).
pub fn receive(from: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<(usize, Option<OwnedFd>)>> {
    let mut control = Control([0; SPACE]);
    let mut io = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut io;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = SPACE as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: `header` points to live buffers of the lengths it states.
    let length = match cvt_long(unsafe { libc::recvmsg(from.as_raw_fd(), &raw mut header, flags) } as i64) {
        Ok(length) => usize::try_from(length).unwrap_or(0),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            return Ok(None);
        }
        Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => return Ok(Some((0, None))),
        Err(error) => return Err(error),
    };
    let mut descriptor = None;
    // SAFETY: the kernel filled the control buffer; CMSG_FIRSTHDR checks its length, and SCM_RIGHTS carries a descriptor
    // that is ours from now on.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        if !first.is_null() && (*first).cmsg_level == libc::SOL_SOCKET && (*first).cmsg_type == libc::SCM_RIGHTS {
            let fd = libc::CMSG_DATA(first).cast::<RawFd>().read_unaligned();
            descriptor = Some(OwnedFd::from_raw_fd(fd));
        }
    }
    if header.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a descriptor was dropped: the table is full"));
    }
    Ok(Some((length, descriptor)))
}
