//! `/proc/PID/task/TID/syscall`: the system call that a thread waits in (proc_pid_syscall(5)).

use adieu_core::ids::Pid;

use super::Unread;

/// What a thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It runs, or could.
    Running,
    /// It waits, but in no system call: for a page of memory, say, or stopped.
    Outside {
        /// Stack pointer.
        stack: u64,
    },
    /// It waits in a system call.
    Waiting {
        /// Its number on this machine.
        number: i64,
        /// Its arguments.
        arguments: [u64; 6],
        /// Stack pointer.
        stack: u64,
    },
}

/// Parses the line.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Call> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    if first == "running" {
        return Some(Call::Running);
    }
    let number: i64 = first.parse().ok()?;
    let mut hex = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    if number < 0 {
        return Some(Call::Outside { stack: hex()? });
    }
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = hex()?;
    }
    Some(Call::Waiting { number, arguments, stack: hex()? })
}

/// Reads it of one thread.
///
/// # Errors
/// [`Unread`]; `Denied` without PTRACE_MODE_ATTACH over the process.
pub fn read(pid: Pid, tid: i32) -> Result<Call, Unread> {
    parse(&super::bytes(pid, &format!("task/{tid}/syscall"))?).ok_or(Unread::Malformed)
}

macro_rules! names {
    ($($(#[$condition:meta])* $call:ident => $name:literal,)*) => {
        /// The name of a system call that threads wait in; `None` for those that end by themselves.
        #[must_use]
        pub fn name(number: i64) -> Option<&'static str> {
            $($(#[$condition])* if number == libc::$call as i64 { return Some($name); })*
            None
        }
    };
}

names! {
    SYS_read => "read",
    SYS_write => "write",
    SYS_readv => "readv",
    SYS_writev => "writev",
    SYS_pread64 => "pread64",
    SYS_pwrite64 => "pwrite64",
    SYS_recvfrom => "recvfrom",
    SYS_recvmsg => "recvmsg",
    SYS_sendto => "sendto",
    SYS_sendmsg => "sendmsg",
    SYS_accept => "accept",
    SYS_accept4 => "accept4",
    SYS_connect => "connect",
    SYS_openat => "openat",
    SYS_fsync => "fsync",
    SYS_fdatasync => "fdatasync",
    SYS_flock => "flock",
    SYS_fcntl => "fcntl",
    SYS_ioctl => "ioctl",
    SYS_futex => "futex",
    SYS_nanosleep => "nanosleep",
    SYS_clock_nanosleep => "clock_nanosleep",
    SYS_wait4 => "wait4",
    SYS_waitid => "waitid",
    SYS_ppoll => "ppoll",
    SYS_pselect6 => "pselect6",
    SYS_epoll_pwait => "epoll_pwait",
    SYS_rt_sigsuspend => "rt_sigsuspend",
    SYS_rt_sigtimedwait => "rt_sigtimedwait",
    SYS_semtimedop => "semtimedop",
    SYS_msgrcv => "msgrcv",
    SYS_mq_timedreceive => "mq_timedreceive",
    SYS_restart_syscall => "restart_syscall",
    SYS_io_uring_enter => "io_uring_enter",
    SYS_unlinkat => "unlinkat",
    SYS_clone => "clone",
    SYS_clone3 => "clone3",
    SYS_execve => "execve",
    SYS_exit_group => "exit_group",
    SYS_exit => "exit",
    #[cfg(target_arch = "x86_64")]
    SYS_vfork => "vfork",
    #[cfg(target_arch = "x86_64")]
    SYS_fork => "fork",
    #[cfg(target_arch = "x86_64")]
    SYS_open => "open",
    #[cfg(target_arch = "x86_64")]
    SYS_poll => "poll",
    #[cfg(target_arch = "x86_64")]
    SYS_select => "select",
    #[cfg(target_arch = "x86_64")]
    SYS_pause => "pause",
    #[cfg(target_arch = "x86_64")]
    SYS_epoll_wait => "epoll_wait",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_the_line() {
        assert_eq!(parse(b"running\n"), Some(Call::Running));
        assert_eq!(parse(b"-1 0x7ffd 0x7f00\n"), Some(Call::Outside { stack: 0x7ffd }));
        let line = b"0 0x3 0x4 0x5 0x6 0x7 0x8 0x7ffd 0x7f00\n";
        assert_eq!(parse(line), Some(Call::Waiting { number: 0, arguments: [3, 4, 5, 6, 7, 8], stack: 0x7ffd }));
        for bad in [&b""[..], b"-1", b"0 0x3", b"0 3 4 5 6 7 8 9 9", b"x", b"\xff", b"0 0x1ffffffffffffffff"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_thread_that_sleeps_is_seen_in_its_call() {
        let (wake, sleep) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || sleep.recv());
        let me = crate::process::own_pid();
        let found = || {
            super::super::threads(me).expect("we are there").into_iter().any(|tid| match read(me, tid) {
                Ok(Call::Waiting { number, .. }) => name(number) == Some("futex"),
                Ok(Call::Running | Call::Outside { .. }) | Err(_) => false,
            })
        };
        while !found() {
            std::thread::yield_now();
        }
        drop(wake);
        assert!(sleeper.join().expect("no panic").is_err(), "nothing was sent");
    }
}
