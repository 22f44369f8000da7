//! Process descriptors: `pidfd_open(2)`, `pidfd_send_signal(2)`, `pidfd_getfd(2)`.
//!
//! A pidfd refers to one process for ever; the number does not. Open it, re-check the start time, then act through it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;

use crate::cvt_long;

/// A process that keeps being the same process.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Opens the process (thread group) `pid`.
    ///
    /// # Errors
    /// ESRCH when there is none; EINVAL when `pid` is a thread that leads no group; EMFILE; ENOSYS before Linux 5.3.
    pub fn open(pid: Pid) -> io::Result<Self> {
        // SAFETY: takes two integers; the result is a fresh descriptor or -1.
        let fd = cvt_long(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.number(), 0) })?;
        // SAFETY: the kernel has just created this descriptor for us; nobody else owns it. Descriptors fit an i32.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Sends `signal`.
    ///
    /// # Errors
    /// ESRCH when the process has ended and was reaped; EPERM without the right.
    pub fn send(&self, signal: Signal) -> io::Result<()> {
        let none = std::ptr::null::<libc::siginfo_t>();
        let send = libc::SYS_pidfd_send_signal;
        // SAFETY: a null siginfo is allowed and means "as kill(2) would".
        let sent = cvt_long(unsafe { libc::syscall(send, self.0.as_raw_fd(), signal.number(), none, 0) });
        traced!(sent, "send {signal}")?;
        Ok(())
    }

    /// Asks whether [`Self::send`] would be permitted; sends nothing.
    ///
    /// # Errors
    /// As [`Self::send`]. A zombie is still there.
    pub fn probe(&self) -> io::Result<()> {
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: as in `send`; signal 0 is only a question.
        cvt_long(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), 0, none, 0) })?;
        Ok(())
    }

    /// Duplicates descriptor `fd` of the process into ours (close-on-exec).
    ///
    /// # Errors
    /// EPERM without PTRACE_MODE_ATTACH over the process (a default container); EBADF when it has no such descriptor.
    pub fn get_fd(&self, fd: i32) -> io::Result<OwnedFd> {
        // SAFETY: takes integers only; the result is a fresh descriptor or -1.
        let got = cvt_long(unsafe { libc::syscall(libc::SYS_pidfd_getfd, self.0.as_raw_fd(), fd, 0) })?;
        // SAFETY: as in `open`.
        Ok(unsafe { OwnedFd::from_raw_fd(got as i32) })
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
