//! Reaping: `waitpid(2)` with the changes that job control needs.

use std::io;
use std::mem::MaybeUninit;

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;

use crate::cvt;

/// What became of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It ended by `exit(code)`.
    Exited(i32),
    /// It was ended by a signal.
    Signaled(Signal),
    /// It was stopped by a signal (only reported with `stops`).
    Stopped(Signal),
    /// It was continued (only reported with `stops`).
    Continued,
}

/// The next child that changed, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// This child changed; ended ones are reaped by this very call.
    Child(Pid, Change),
    /// There are children, none has changed.
    Nothing,
    /// There are no children at all.
    NoChildren,
}

/// Takes the next change without waiting. Call it until it has nothing left: SIGCHLD coalesces.
///
/// # Errors
/// None that a caller could cause; the kernel's errno otherwise.
pub fn reap(stops: bool) -> io::Result<Reaped> {
    wait_for(-1, stops)
}

/// As [`reap`], for one child.
///
/// # Errors
/// As [`reap`].
pub fn reap_one(pid: Pid, stops: bool) -> io::Result<Reaped> {
    wait_for(pid.number(), stops)
}

/// As `waitpid(2)` takes it: a process, or -1 for any.
fn wait_for(which: i32, stops: bool) -> io::Result<Reaped> {
    let mut status = 0;
    let mut flags = libc::WNOHANG | libc::__WALL;
    if stops {
        flags |= libc::WUNTRACED | libc::WCONTINUED;
    }
    // SAFETY: `status` is a valid int for the call to fill in.
    match cvt(unsafe { libc::waitpid(which, &raw mut status, flags) }) {
        Ok(0) => Ok(Reaped::Nothing),
        Ok(pid) => Ok(Reaped::Child(Pid::new(pid), decode(status))),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Reaped::NoChildren),
        Err(error) => Err(error),
    }
}

/// Whether the child `pid` is stopped, as far as nobody has taken that news by [`reap`] with `stops`: it stays there to be
/// asked for again (`waitid(2)`, WNOWAIT).
#[must_use]
pub fn is_stopped(pid: Pid) -> bool {
    let Ok(id) = libc::id_t::try_from(pid.number()) else { return false };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: `info` is writable and zeroed, all-zero being a valid value; its pid stays 0 where nothing is found.
    unsafe {
        cvt(libc::waitid(libc::P_PID, id, info.as_mut_ptr(), flags)).is_ok()
            && info.assume_init().si_pid() == pid.number()
    }
}

/// Decodes a wait status as `waitpid(2)` packs it.
#[must_use]
pub fn decode(status: i32) -> Change {
    let signal = |number: i32| Signal::from_number(number).unwrap_or(Signal::KILL);
    if libc::WIFEXITED(status) {
        Change::Exited(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Change::Signaled(signal(libc::WTERMSIG(status)))
    } else if libc::WIFSTOPPED(status) {
        Change::Stopped(signal(libc::WSTOPSIG(status)))
    } else {
        Change::Continued
    }
}

/// Packs a change back into a wait status, for handing it from a keeper to its supervisor.
#[must_use]
pub fn encode(change: Change) -> i32 {
    match change {
        Change::Exited(code) => (code & 0xff) << 8,
        Change::Signaled(signal) => signal.number() & 0x7f,
        Change::Stopped(signal) => ((signal.number() & 0xff) << 8) | 0x7f,
        Change::Continued => 0xffff,
    }
}

/// Makes this process the reaper of orphaned descendants (`PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// EINVAL before Linux 3.4.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: takes integers only.
    cvt(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })?;
    Ok(())
}

/// Asks for `signal` when the thread that spawned this process ends (`PR_SET_PDEATHSIG`); `None` clears it.
///
/// # Errors
/// EINVAL for a signal number that does not exist.
pub fn set_parent_death_signal(signal: Option<Signal>) -> io::Result<()> {
    // SAFETY: takes integers only.
    cvt(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal.map_or(0, Signal::number), 0, 0, 0) })?;
    Ok(())
}
