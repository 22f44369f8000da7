//! Starting a program: fork, what a child needs between fork and exec, exec (`fork(2)`, `execve(2)`).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use adieu_core::signal::Signal;

use crate::{cvt, fdpass, seccomp, signals, tty, wait};

/// Which side of a fork we are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The parent, with the child's pid.
    Parent(i32),
    /// The child.
    Child,
}

/// Forks this process. Only for a process with one thread, where the child may run ordinary code.
///
/// # Errors
/// EAGAIN at a process limit; ENOMEM; `Other` when this process has more than one thread.
pub fn fork() -> io::Result<Fork> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() != 1) {
        return Err(io::Error::other("refusing to fork a process with several threads"));
    }
    // SAFETY: one thread only (checked above), so no lock can be held by a thread that the child does not have.
    match cvt(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Leaves this process at once, running no destructors and no exit handlers (`_exit(2)`).
pub fn exit_now(code: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}

/// Everything about a program to be started; all made before the fork.
#[derive(Debug)]
pub struct Program {
    /// The file to execute, found already.
    pub path: CString,
    /// Arguments, the program's name first.
    pub arguments: Vec<CString>,
    /// The whole environment, `KEY=VALUE`. An entry `LISTEN_PID=` gets the final pid.
    pub environment: Vec<CString>,
    /// Working directory, resolved afresh.
    pub directory: Option<CString>,
    /// The terminal whose foreground group the child becomes.
    pub terminal: Option<OwnedFd>,
    /// A signal that stays ignored.
    pub keep_ignoring: Option<Signal>,
    /// Sent to the child when its parent ends.
    pub death_signal: Option<Signal>,
    /// Report socket calls; the flag adds [listener options](seccomp::LISTENER_OPTIONS).
    pub watch: Option<bool>,
    /// Standard input; inherited when `None`.
    pub input: Option<OwnedFd>,
    /// Standard output and error; inherited when `None`.
    pub output: Option<OwnedFd>,
    /// Standard error when it differs from `output`.
    pub error_output: Option<OwnedFd>,
    /// Descriptors that the program gets as 3, 4, ...
    pub pass: Vec<OwnedFd>,
    /// Where [`Report`]s go; close-on-exec.
    pub reports: OwnedFd,
}

/// What a child says before it has become the program. The bytes of a message: tag, then a little-endian `i32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The filter is on; the message carries its descriptor. The flag: no_new_privs was needed.
    Watching(bool),
    /// The filter was refused with this errno; the program runs without.
    WatchRefused(i32),
    /// It could not be executed: this errno.
    ExecFailed(i32),
    /// The working directory could not be entered: this errno.
    DirectoryFailed(i32),
}

impl Report {
    /// The message of this report.
    #[must_use]
    pub fn encode(self) -> [u8; 5] {
        let (tag, value) = match self {
            Self::Watching(no_new_privs) => (1, i32::from(no_new_privs)),
            Self::WatchRefused(errno) => (2, errno),
            Self::ExecFailed(errno) => (3, errno),
            Self::DirectoryFailed(errno) => (4, errno),
        };
        let [a, b, c, d] = i32::to_le_bytes(value);
        [tag, a, b, c, d]
    }

    /// Reads a message; `None` for one that is not a report.
    #[must_use]
    pub fn decode(message: &[u8]) -> Option<Self> {
        let [tag, rest @ ..] = message else { return None };
        let value = i32::from_le_bytes(rest.try_into().ok()?);
        match tag {
            1 => Some(Self::Watching(value != 0)),
            2 => Some(Self::WatchRefused(value)),
            3 => Some(Self::ExecFailed(value)),
            4 => Some(Self::DirectoryFailed(value)),
            _ => None,
        }
    }
}

impl Program {
    /// Forks and executes the program in the child; returns the child's pid at once. What went wrong after the fork
    /// arrives as a [`Report`], and the child then ends with 126 or 127.
    ///
    /// # Errors
    /// As [`fork`].
    pub fn spawn(&self) -> io::Result<i32> {
        match fork()? {
            Fork::Parent(pid) => {
                // Both sides do it: whoever comes first, the group exists before anybody signals it.
                // SAFETY: takes integers; EACCES after the child's exec is expected.
                let _ = cvt(unsafe { libc::setpgid(pid, pid) });
                Ok(pid)
            }
            Fork::Child => self.become_program(),
        }
    }

    fn become_program(&self) -> ! {
        // SAFETY: takes integers only.
        let _ = cvt(unsafe { libc::setpgid(0, 0) });
        if let Some(terminal) = &self.terminal {
            let _ = tty::set_foreground(terminal.as_fd(), std::process::id() as i32);
        }
        let _ = wait::set_parent_death_signal(self.death_signal);
        let reports = self.place_descriptors();
        // Nobody listens only when the supervisor is gone; then there is nobody to tell.
        let report = |report: Report, fd: Option<BorrowedFd<'_>>| drop(fdpass::send(reports.as_fd(), &report.encode(), fd));
        if let Some(directory) = &self.directory {
            // SAFETY: a NUL-terminated string that outlives the call.
            if let Err(error) = cvt(unsafe { libc::chdir(directory.as_ptr()) }) {
                report(Report::DirectoryFailed(errno_of(&error)), None);
                exit_now(126);
            }
        }
        if let Some(options) = self.watch {
            match seccomp::watch_self(options) {
                Ok((fd, no_new_privs)) => report(Report::Watching(no_new_privs), Some(fd.as_fd())),
                Err(error) => report(Report::WatchRefused(errno_of(&error)), None),
            }
        }
        signals::reset_for_child(self.keep_ignoring);
        let errno = self.execute();
        report(Report::ExecFailed(errno), None);
        exit_now(if errno == libc::ENOENT { 127 } else { 126 })
    }

    /// Puts standard output and the passed descriptors in place; returns the report socket, which must not be in their way.
    fn place_descriptors(&self) -> OwnedFd {
        let standard = [(self.input.as_ref(), 0), (self.output.as_ref(), 1), (self.error_output.as_ref().or(self.output.as_ref()), 2)];
        for (fd, target) in standard {
            if let Some(fd) = fd {
                // SAFETY: both are open descriptors of this child.
                unsafe { libc::dup2(fd.as_raw_fd(), target) };
            }
        }
        // The targets 3, 4, ... may be in use by what is to be passed or reported through: move those away first.
        let above = 3 + self.pass.len() as i32;
        let reports = lift(self.reports.as_fd(), above);
        let moved: Vec<OwnedFd> = self.pass.iter().map(|fd| lift(fd.as_fd(), above)).collect();
        for (target, fd) in (3..).zip(&moved) {
            // SAFETY: as above; dup2 clears close-on-exec on the target.
            unsafe { libc::dup2(fd.as_raw_fd(), target) };
        }
        reports
    }

    fn execute(&self) -> i32 {
        let pid = CString::new(format!("LISTEN_PID={}", std::process::id())).unwrap_or_default();
        let environment: Vec<*const libc::c_char> = self
            .environment
            .iter()
            .map(|entry| if entry.as_bytes() == b"LISTEN_PID=" { pid.as_ptr() } else { entry.as_ptr() })
            .chain([std::ptr::null()])
            .collect();
        let pointers = |list: &[&CString]| -> Vec<*const libc::c_char> {
            list.iter().map(|entry| entry.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let arguments = pointers(&self.arguments.iter().collect::<Vec<_>>());
        // SAFETY: NUL-terminated strings in NULL-terminated arrays, all alive; returns only on failure.
        unsafe { libc::execve(self.path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        let errno = errno_of(&io::Error::last_os_error());
        if errno == libc::ENOEXEC {
            // A script without an interpreter line: the shell runs it, as execvp(3) does.
            let mut list = vec![c"/bin/sh".to_owned(), self.path.clone()];
            list.extend(self.arguments.iter().skip(1).cloned());
            let arguments = pointers(&list.iter().collect::<Vec<_>>());
            // SAFETY: as above.
            unsafe { libc::execve(c"/bin/sh".as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        }
        errno
    }
}

/// A close-on-exec duplicate numbered `above` or more. Without room for one the child cannot go on.
fn lift(fd: BorrowedFd<'_>, above: i32) -> OwnedFd {
    // SAFETY: an open descriptor; the duplicate is ours.
    match cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, above) }) {
        // SAFETY: just created for us.
        Ok(fd) => unsafe { OwnedFd::from_raw_fd(fd) },
        Err(_) => exit_now(126),
    }
}

fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}
