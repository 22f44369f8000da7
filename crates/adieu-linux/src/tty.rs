//! The controlling terminal and its foreground process group (`tcsetpgrp(3)`, `credentials(7)`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::cvt;

/// The controlling terminal of this process.
#[derive(Debug)]
pub struct Terminal(OwnedFd);

impl Terminal {
    /// Opens the controlling terminal; `None` when there is none.
    #[must_use]
    pub fn controlling() -> Option<Self> {
        std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok().map(|file| Self(file.into()))
    }

    /// The foreground process group.
    ///
    /// # Errors
    /// ENOTTY when the terminal is not ours any more.
    pub fn foreground(&self) -> io::Result<i32> {
        // SAFETY: takes a descriptor that we own.
        cvt(unsafe { libc::tcgetpgrp(self.0.as_raw_fd()) })
    }

    /// Makes `group` the foreground process group. SIGTTOU must be blocked, as it is everywhere in the supervisor.
    ///
    /// # Errors
    /// EPERM when `group` is not of this session.
    pub fn set_foreground(&self, group: i32) -> io::Result<()> {
        set_foreground(self.0.as_fd(), group)
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub(crate) fn set_foreground(terminal: BorrowedFd<'_>, group: i32) -> io::Result<()> {
    // SAFETY: takes a borrowed descriptor and an integer.
    cvt(unsafe { libc::tcsetpgrp(terminal.as_raw_fd(), group) })?;
    Ok(())
}

/// The process group of this process.
#[must_use]
pub fn own_group() -> i32 {
    // SAFETY: cannot fail.
    unsafe { libc::getpgrp() }
}

/// Whether `fd` is a terminal.
#[must_use]
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: takes a borrowed descriptor.
    unsafe { libc::isatty(fd.as_raw_fd()) == 1 }
}
