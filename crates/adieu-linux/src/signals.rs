//! Receiving signals through a descriptor (`signalfd(2)`), and what a child inherits (`signal(7)`).

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use adieu_core::signal::Signal;

use crate::{cvt, cvt_long};

/// The signals that this process ignored when it first asked; SIGPIPE had been added by then (see [`crate::entry`]), so it is
/// never empty where /proc can be read.
static INHERITED_IGNORES: OnceLock<u64> = OnceLock::new();

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Which one.
    pub signal: Signal,
    /// The kernel sent it (a terminal's Ctrl-C, say) and no process.
    pub from_kernel: bool,
}

/// All signals of this process, as a descriptor to poll. Signals are blocked for as long as the process lives.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks every signal in the calling thread and reads them from now on. SIGCHLD gets its
    /// default disposition, as an inherited "ignore" would reap children behind our back; SIGPIPE is ignored.
    ///
    /// # Errors
    /// EMFILE, ENOMEM.
    pub fn block_all() -> io::Result<Self> {
        INHERITED_IGNORES.get_or_init(ignored_mask);
        // What is blocked is kept for us even where it is ignored; only an ignored SIGCHLD would reap by itself.
        // SAFETY: SIG_DFL and SIG_IGN run no code of ours.
        unsafe {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
        let all = full_set();
        // SAFETY: `all` is an initialized set; the old mask is not asked for.
        cvt(unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) })?;
        // SAFETY: `all` is initialized; -1 asks for a new descriptor.
        let fd = cvt(unsafe { libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
        // SAFETY: just created by the kernel for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes the next pending signal; `None` when there is none.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn read(&self) -> io::Result<Option<Received>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` has `size` writable bytes, and every bit pattern of the struct is valid.
        let got = cvt_long(unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) } as i64);
        match got {
            Ok(_) => {
                // SAFETY: zeroed at first and then filled in by the kernel.
                let info = unsafe { info.assume_init() };
                let number = i32::try_from(info.ssi_signo).unwrap_or(0);
                let from_kernel = info.ssi_code == libc::SI_KERNEL;
                Ok(Signal::from_number(number).map(|signal| Received { signal, from_kernel }))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigfillset initializes the set.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// The signals that this process ignores, from `/proc/self/status`: ask before [`SignalFd::block_all`] and before any
/// runtime changes SIGPIPE. Bit n-1 stands for signal n.
#[must_use]
pub fn ignored_mask() -> u64 {
    let text = crate::whole::read_text("/proc/self/status").unwrap_or_default();
    let field = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    field.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Whether this process ignores `signal` now (`sigaction(2)`).
#[must_use]
pub fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only asks; `action` is filled in by the call, and all-zero is a valid value if it fails.
    unsafe {
        libc::sigaction(signal.number(), std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Gives a child what a program expects to start with: default dispositions, an empty mask. `keep_ignoring` stays
/// ignored (SIGHUP, under nohup).
pub(crate) fn reset_for_child(keep_ignoring: Option<Signal>) {
    // Handlers become defaults by exec itself; what is ignored does not. Without /proc it may be any of them.
    let inherited = INHERITED_IGNORES.get().copied().filter(|mask| *mask != 0).unwrap_or(u64::MAX);
    let pipe = 1 << (libc::SIGPIPE - 1);
    for number in (1..=64).filter(|number| (inherited | pipe) & (1 << (number - 1)) != 0) {
        let keep = keep_ignoring.is_some_and(|signal| signal.number() == number);
        // The kernel's own struct, longer than on any architecture: disposition, then flags, restorer and mask, all empty.
        let action = [if keep { libc::SIG_IGN } else { libc::SIG_DFL }, 0, 0, 0, 0, 0];
        let none = std::ptr::null_mut::<libc::c_void>();
        // Not libc's `signal`: that one leaves out the two signals which libc keeps for itself, and those are inherited too.
        // SAFETY: SIG_DFL and SIG_IGN run no code of ours; `action` is longer than what is read; a set is eight bytes long.
        // EINVAL for KILL and STOP is expected.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, action.as_ptr(), none, size_of::<u64>()) };
    }
    let mut none = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset initializes the set before it is used.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Stops this process by `signal`, one of STOP, TSTP, TTIN, TTOU, and returns when it is continued; or at once, where the
/// kernel stops nobody because no shell could continue it (an orphaned process group).
///
/// # Errors
/// None in practice.
pub fn stop_self(signal: Signal) -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: integers and an initialized set; SIG_DFL runs no code of ours. STOP cannot be blocked and stops in `raise`, the
    // others stop in the call that unblocks them.
    unsafe {
        libc::signal(signal.number(), libc::SIG_DFL);
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal.number());
        traced!(cvt(libc::raise(signal.number())), "stop by {signal}")?;
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
    Ok(())
}

/// Ends this process by `signal`'s default action, so that the parent sees the same wait status as the child had.
/// Returns only if the signal does not end a process.
pub fn die_of(signal: Signal) {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: integers and an initialized set; core dumps are switched off first: the child has written its own.
    unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(signal.number(), libc::SIG_DFL);
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal.number());
        libc::raise(signal.number());
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Sends `signal` to process group `group` (`killpg(3)`): one pass, may miss a fork in flight.
///
/// # Errors
/// ESRCH when there is no such group; EPERM.
pub fn signal_group(group: i32, signal: Signal) -> io::Result<()> {
    // SAFETY: takes integers only.
    traced!(cvt(unsafe { libc::killpg(group, signal.number()) }), "send {signal} to a group")?;
    Ok(())
}
