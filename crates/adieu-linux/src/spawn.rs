//! Starting a program: fork, what a child needs between fork and exec, exec (`fork(2)`, `execve(2)`).

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;

use crate::{cvt, scm_rights, seccomp, signals, tty, wait};

/// Which side of a fork we are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The parent, with the child's pid.
    Parent(Pid),
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
    match traced!(cvt(unsafe { libc::fork() }), "fork")? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(Pid::new(pid))),
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
    pub environment: Vec<Cow<'static, CStr>>,
    /// Working directory, resolved afresh.
    pub directory: Option<CString>,
    /// Whether the child leads a process group of its own.
    pub own_group: bool,
    /// The terminal whose foreground group the child becomes.
    pub terminal: Option<OwnedFd>,
    /// A signal that stays ignored.
    pub keep_ignoring: Option<Signal>,
    /// Sent to the child when its parent ends.
    pub death_signal: Option<Signal>,
    /// Report socket calls.
    pub watch: Option<seccomp::Watch>,
    /// Standard input; inherited when `None`.
    pub input: Option<OwnedFd>,
    /// Standard output and error; inherited when `None`.
    pub output: Option<OwnedFd>,
    /// Standard error when it differs from `output`.
    pub error_output: Option<OwnedFd>,
    /// Descriptors that the program gets as 3, 4, ...
    pub pass: Vec<OwnedFd>,
    /// Where [`Report`]s go; close-on-exec. Without one, [`Program::spawn`] returns what kept the program from being executed.
    pub reports: Option<OwnedFd>,
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
    /// Starts the program in a child; returns the child's pid once it has been executed or has ended. What went wrong on
    /// the way arrives as a [`Report`], here or through [`Program::reports`], and the child then ends with 126 or 127.
    ///
    /// The child borrows our memory until it executes, as `vfork(2)` does: nothing is copied, so the cost does not grow with
    /// this process.
    ///
    /// # Errors
    /// EAGAIN at a process limit; ENOMEM.
    pub fn spawn(&self) -> io::Result<(Pid, Option<Report>)> {
        /// Enough for the calls of [`Prepared::become_program`] several times over.
        const STACK: usize = 64 * 1024;
        extern "C" fn child(prepared: *mut libc::c_void) -> i32 {
            // SAFETY: the pointer is to `prepared` below, whose owner waits (CLONE_VFORK) until this child has gone, and
            // touches it no more before that.
            unsafe { &mut *prepared.cast::<Prepared<'_>>() }.become_program()
        }
        let mut prepared = Prepared::new(self);
        // Not zeroed, and too small for a mapping of its own: most likely its pages have been used before.
        let mut stack = Box::<[u128]>::new_uninit_slice(STACK / size_of::<u128>());
        let top = stack.as_mut_ptr_range().end;
        let shared = &raw mut prepared;
        // SAFETY: the stack is ours, aligned to 16, and outlives the child's use of it: with CLONE_VFORK we go on only when
        // the child has executed or ended. The child changes nothing of ours but memory that it allocates itself and
        // `failure`; all signals are blocked in both, so no handler can run on shared memory.
        let cloned = cvt(unsafe {
            libc::clone(child, top.cast(), libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, shared.cast())
        });
        let pid = traced!(cloned, "spawn {}", crate::trace::Base::of(&self.path))?;
        // SAFETY: `prepared` lives; volatile, as the compiler does not see the child write.
        let failure = unsafe { (&raw const (*shared).failure).read_volatile() };
        Ok((Pid::new(pid), failure))
    }

    /// Puts standard output and the passed descriptors in place; returns the report socket, which must not be in their way.
    fn place_descriptors(&self) -> Option<OwnedFd> {
        let standard = [
            (self.input.as_ref(), 0),
            (self.output.as_ref(), 1),
            (self.error_output.as_ref().or(self.output.as_ref()), 2),
        ];
        for (fd, target) in standard {
            if let Some(fd) = fd {
                // SAFETY: both are open descriptors of this child.
                unsafe { libc::dup2(fd.as_raw_fd(), target) };
            }
        }
        // The targets 3, 4, ... may be in use by what is to be passed or reported through: move those away first.
        let above = 3 + self.pass.len() as i32;
        let reports = self.reports.as_ref().map(|reports| lift(reports.as_fd(), above));
        let moved: Vec<OwnedFd> = self.pass.iter().map(|fd| lift(fd.as_fd(), above)).collect();
        for (target, fd) in (3..).zip(&moved) {
            // SAFETY: as above; dup2 clears close-on-exec on the target.
            unsafe { libc::dup2(fd.as_raw_fd(), target) };
        }
        reports
    }
}

/// What the child needs, made before the fork: between fork and exec it allocates nothing that it would leave behind.
struct Prepared<'a> {
    program: &'a Program,
    arguments: Vec<*const libc::c_char>,
    /// For a script without an interpreter line, as execvp(3) runs it.
    shell_arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    /// `LISTEN_PID=` and room for the digits and a NUL; the environment points to it.
    listen_pid: Box<[u8; 32]>,
    /// Why the child could not become the program, where no socket takes that.
    failure: Option<Report>,
}

const LISTEN_PID: &[u8] = b"LISTEN_PID=";

impl<'a> Prepared<'a> {
    fn new(program: &'a Program) -> Self {
        let mut listen_pid = Box::new([0; 32]);
        if let Some(start) = listen_pid.get_mut(..LISTEN_PID.len()) {
            start.copy_from_slice(LISTEN_PID);
        }
        let entry = |entry: &Cow<'_, CStr>| {
            if entry.to_bytes() == LISTEN_PID { listen_pid.as_ptr().cast() } else { entry.as_ptr() }
        };
        let end = [std::ptr::null()];
        let arguments = program.arguments.iter().map(|argument| argument.as_ptr());
        let shell = [c"/bin/sh".as_ptr(), program.path.as_ptr()].into_iter().chain(arguments.clone().skip(1));
        Self {
            program,
            arguments: arguments.chain(end).collect(),
            shell_arguments: shell.chain(end).collect(),
            environment: program.environment.iter().map(entry).chain(end).collect(),
            listen_pid,
            failure: None,
        }
    }

    fn become_program(&mut self) -> ! {
        if self.program.own_group {
            // SAFETY: takes integers only.
            drop(cvt(unsafe { libc::setpgid(0, 0) }));
        }
        if let Some(terminal) = &self.program.terminal {
            drop(tty::set_foreground(terminal.as_fd(), std::process::id() as i32));
        }
        drop(wait::set_parent_death_signal(self.program.death_signal));
        let reports = self.program.place_descriptors();
        if let Some(directory) = &self.program.directory {
            // SAFETY: a NUL-terminated string that outlives the call.
            if let Err(error) = cvt(unsafe { libc::chdir(directory.as_ptr()) }) {
                self.report(reports.as_ref(), Report::DirectoryFailed(errno_of(&error)), None);
                exit_now(126);
            }
        }
        if let Some(watch) = self.program.watch {
            match seccomp::watch_self(watch) {
                Ok((fd, no_new_privs)) => {
                    self.report(reports.as_ref(), Report::Watching(no_new_privs), Some(fd.as_fd()));
                }
                Err(error) => self.report(reports.as_ref(), Report::WatchRefused(errno_of(&error)), None),
            }
        }
        signals::reset_for_child(self.program.keep_ignoring);
        let errno = self.execute();
        self.report(reports.as_ref(), Report::ExecFailed(errno), None);
        exit_now(if errno == libc::ENOENT { 127 } else { 126 })
    }

    fn report(&mut self, reports: Option<&OwnedFd>, report: Report, fd: Option<BorrowedFd<'_>>) {
        match reports {
            // Nobody listens only when the supervisor is gone; then there is nobody to tell.
            Some(reports) => drop(scm_rights::send(reports.as_fd(), &report.encode(), fd)),
            None => self.failure = Some(report),
        }
    }

    fn execute(&mut self) -> i32 {
        self.write_listen_pid();
        let path = self.program.path.as_ptr();
        // SAFETY: NUL-terminated strings in NULL-terminated arrays, all alive; returns only on failure.
        unsafe { libc::execve(path, self.arguments.as_ptr(), self.environment.as_ptr()) };
        let errno = errno_of(&io::Error::last_os_error());
        if errno == libc::ENOEXEC && !self.is_binary() {
            // SAFETY: as above.
            unsafe { libc::execve(c"/bin/sh".as_ptr(), self.shell_arguments.as_ptr(), self.environment.as_ptr()) };
        }
        errno
    }

    /// Whether the file is no text, as the shells judge it: a program for another machine is not for `/bin/sh`.
    fn is_binary(&self) -> bool {
        let mut start = [0u8; 128];
        // SAFETY: a NUL-terminated string, and a buffer of the length that is stated.
        let length = unsafe {
            let file = libc::open(self.program.path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            libc::read(file, start.as_mut_ptr().cast(), start.len())
        };
        let read = usize::try_from(length).ok().and_then(|length| start.get(..length)).unwrap_or_default();
        read.split(|byte| *byte == b'\n').next().is_some_and(|line| line.contains(&0))
    }

    fn write_listen_pid(&mut self) {
        let mut digits = [0u8; 10];
        let mut rest = std::process::id();
        let mut first = digits.len();
        while rest > 0 && first > 0 {
            first -= 1;
            digits[first] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        let number = &digits[first..];
        self.listen_pid[LISTEN_PID.len()..LISTEN_PID.len() + number.len()].copy_from_slice(number);
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
