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
    traced!(cvt(unsafe { libc::tcsetpgrp(terminal.as_raw_fd(), group) }), "put a group in front")?;
    Ok(())
}

/// The process group of this process.
#[must_use]
pub fn own_group() -> i32 {
    // SAFETY: cannot fail.
    unsafe { libc::getpgrp() }
}

/// Whether any process is in `group`, ended ones that nobody has waited for included.
#[must_use]
pub fn group_exists(group: i32) -> bool {
    // SAFETY: takes integers only; signal 0 is only a question.
    match cvt(unsafe { libc::killpg(group, 0) }) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(libc::ESRCH),
    }
}

/// Whether `fd` is a pipe, as between the commands of a shell's pipeline.
#[must_use]
pub fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let file = fd.try_clone_to_owned().map(std::fs::File::from);
    file.and_then(|file| file.metadata()).is_ok_and(|meta| meta.file_type().is_fifo())
}

/// Whether `fd` is a terminal.
#[must_use]
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: takes a borrowed descriptor.
    unsafe { libc::isatty(fd.as_raw_fd()) == 1 }
}
