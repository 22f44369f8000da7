//! One process that keeps being the same process: a pidfd, and the start time that belongs to it.
//!
//! **Invariant.** What was read between two answers of the pidfd that the process is there belongs to that process: its
//! number cannot be given to another one before it is reaped.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::proc::{Unread, stat};

/// Why there is nothing to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// No process has this pid.
    #[error("there is no process {0}")]
    Gone(Pid),
    /// The number is one of a thread; its process is the second.
    #[error("{0} is a thread of process {1}")]
    Thread(i32, Pid),
    /// It is there and `/proc` does not show it: mounted with `hidepid=`, or not mounted.
    #[error("process {0} is there, but /proc does not show it to this user (hidepid=)")]
    Hidden(Pid),
    /// The kernel refused.
    #[error("process {0} cannot be opened: errno {1}")]
    System(Pid, i32),
}

/// A process, held by its pidfd.
#[derive(Debug)]
pub struct Target {
    pid: Pid,
    start_time: u64,
    pidfd: Pidfd,
}

impl Target {
    /// Takes hold of the process that has this pid now.
    ///
    /// # Errors
    /// [`NoTarget`].
    pub fn open(pid: Pid) -> Result<Self, NoTarget> {
        let pidfd = Pidfd::open(pid).map_err(|error| match error.raw_os_error() {
            Some(libc_errno::ESRCH) => NoTarget::Gone(pid),
            // A thread that leads no group, and numbers that no process can have.
            Some(libc_errno::EINVAL | libc_errno::ENOENT) => leader(pid),
            errno => NoTarget::System(pid, errno.unwrap_or(0)),
        })?;
        let start_time = match stat::read(pid) {
            Ok(stat) => stat.start_time,
            Err(Unread::Absent | Unread::Denied) if is_there(&pidfd) => return Err(NoTarget::Hidden(pid)),
            Err(_) => return Err(NoTarget::Gone(pid)),
        };
        // Still not reaped: so it had the number when its start time was read.
        if is_there(&pidfd) { Ok(Self { pid, start_time, pidfd }) } else { Err(NoTarget::Gone(pid)) }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// When it started, in clock ticks since boot.
    #[must_use]
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// Whether it is there, as a zombie perhaps: until its parent has waited for it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        is_there(&self.pidfd)
    }

    /// Whether it has ended, be it reaped or not. The other threads of a process whose main thread has ended still run.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        use adieu_linux::poll::{Readiness, poll};
        let ready = poll(&[(self.pidfd.as_fd(), Readiness::READ)], Some(std::time::Duration::ZERO));
        ready.is_ok_and(|ready| ready.first().is_some_and(|one| one.readable || one.hung_up))
    }

    /// Whether this user may send it signals.
    #[must_use]
    pub fn may_signal(&self) -> bool {
        self.pidfd.probe().is_ok()
    }

    /// Sends a signal to it and to nobody else, whoever has its pid by now.
    ///
    /// # Errors
    /// ESRCH when it was reaped; EPERM without the right.
    pub fn send(&self, signal: Signal) -> io::Result<()> {
        self.pidfd.send(signal)
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// The errors of `pidfd_open(2)` that are told apart; the same numbers on every Linux.
mod libc_errno {
    pub(super) const ENOENT: i32 = 2;
    pub(super) const ESRCH: i32 = 3;
    pub(super) const EINVAL: i32 = 22;
}

fn leader(pid: Pid) -> NoTarget {
    match adieu_linux::process::thread_group(pid.number()) {
        Ok(leader) if leader != pid => NoTarget::Thread(pid.number(), leader),
        _ => NoTarget::Gone(pid),
    }
}

fn is_there(pidfd: &Pidfd) -> bool {
    pidfd.probe().map_or_else(|error| error.raw_os_error() != Some(libc_errno::ESRCH), |()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_held_until_it_is_reaped_and_not_its_successor() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("started");
        let target = Target::open(Pid::new(child.id() as i32)).expect("it is there");
        assert!(target.is_there() && !target.has_ended() && target.may_signal());
        target.send(Signal::KILL).expect("ours");
        while !target.has_ended() {
            std::thread::yield_now();
        }
        assert!(target.is_there(), "nobody has waited for it");
        child.wait().expect("it has ended");
        assert!(!target.is_there() && target.has_ended());
        assert_eq!(target.send(Signal::KILL).expect_err("gone").raw_os_error(), Some(libc_errno::ESRCH));
    }

    #[test]
    fn what_cannot_be_held_says_why() {
        for pid in [i32::MAX, 0, -1].map(Pid::new) {
            assert_eq!(Target::open(pid).expect_err("nobody"), NoTarget::Gone(pid));
        }
        let (send, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        let me = adieu_linux::process::own_pid();
        let threads = adieu_linux::proc::threads(me).expect("ours");
        let other = threads.into_iter().find(|tid| *tid != me.number()).expect("just started");
        assert_eq!(Target::open(Pid::new(other)).expect_err("a thread"), NoTarget::Thread(other, me));
        drop(send);
        assert!(thread.join().expect("no panic").is_err());
    }
}
