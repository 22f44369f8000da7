//! `ppoll(2)` over borrowed descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// What to wait for on a descriptor, and what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// Input, or end of file.
    pub readable: bool,
    /// Room for output.
    pub writable: bool,
    /// The other side is gone (POLLHUP), or an error is pending (POLLERR). Reported whether asked for or not.
    pub hung_up: bool,
}

impl Readiness {
    /// Wait for input.
    pub const READ: Self = Self { readable: true, writable: false, hung_up: false };
    /// Wait for room.
    pub const WRITE: Self = Self { readable: false, writable: true, hung_up: false };
}

/// Waits until one of `interests` is ready or `timeout` has passed (`None`: for ever). Returns one entry for each
/// interest, in order; all empty after a timeout or an interruption.
///
/// # Errors
/// EINVAL with more descriptors than RLIMIT_NOFILE; ENOMEM.
pub fn poll(interests: &[(BorrowedFd<'_>, Readiness)], timeout: Option<Duration>) -> io::Result<Vec<Readiness>> {
    let mut fds: Vec<libc::pollfd> = interests
        .iter()
        .map(|(fd, want)| {
            let mut events = 0;
            if want.readable {
                events |= libc::POLLIN;
            }
            if want.writable {
                events |= libc::POLLOUT;
            }
            libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }
        })
        .collect();
    let limit = timeout.map(|t| libc::timespec {
        tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(t.subsec_nanos() as i32),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `fds` is a valid array of that length for the whole call; `limit` is null or points to a live timespec.
    let result = unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, limit, std::ptr::null()) };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        fds.iter_mut().for_each(|fd| fd.revents = 0);
    }
    Ok(fds
        .iter()
        .map(|fd| Readiness {
            readable: fd.revents & libc::POLLIN != 0,
            writable: fd.revents & libc::POLLOUT != 0,
            hung_up: fd.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0,
        })
        .collect())
}
