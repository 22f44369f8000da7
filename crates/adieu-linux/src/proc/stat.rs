//! `/proc/PID/stat` and `/proc/PID/task/TID/stat` (proc_pid_stat(5)).

use adieu_core::ids::Pid;

use super::Unread;

/// `PF_KTHREAD` (`include/linux/sched.h`).
const KERNEL_THREAD: u64 = 0x0020_0000;
/// `PF_EXITING`.
const EXITING: u64 = 4;

/// The part of the line that adieu uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Process id; in the file of a thread, its id.
    pub pid: Pid,
    /// Command name, at most 15 bytes, as the process set it; non-UTF-8 replaced.
    pub comm: String,
    /// State letter: R, S, D, Z, T, t, X, I.
    pub state: char,
    /// Parent, if it is in our pid namespace.
    pub ppid: Option<Pid>,
    /// Process group.
    pub pgrp: i32,
    /// Session.
    pub session: i32,
    /// It is on its way out (PF_EXITING): its descriptors may be closed already, its parent may not have heard of it yet.
    pub exiting: bool,
    /// Whether it is a thread of the kernel (PF_KTHREAD).
    pub kernel_thread: bool,
    /// Processor time in user mode so far, in clock ticks.
    pub user_ticks: u64,
    /// The same in the kernel.
    pub system_ticks: u64,
    /// Start time in clock ticks since boot: with the pid it names one process for ever.
    pub start_time: u64,
}

/// Parses the line. The name may contain spaces, newlines and parentheses: it ends at the last `)`.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|b| *b == b'(')?;
    let close = line.iter().rposition(|b| *b == b')')?;
    let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
    let comm = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let flags = number(6)?;
    Some(Stat {
        pid,
        comm,
        state: fields.first()?.chars().next()?,
        ppid: Pid::nonzero(fields.get(1)?.parse().ok()?),
        pgrp: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        exiting: flags & EXITING != 0,
        kernel_thread: flags & KERNEL_THREAD != 0,
        user_ticks: number(11)?,
        system_ticks: number(12)?,
        start_time: number(19)?,
    })
}

/// Reads it of a process.
///
/// # Errors
/// [`Unread`].
pub fn read(pid: Pid) -> Result<Stat, Unread> {
    parse(&super::bytes(pid, "stat")?).ok_or(Unread::Malformed)
}

/// Clock ticks in a second (`sysconf(3)`, _SC_CLK_TCK).
#[must_use]
pub fn ticks_per_second() -> u64 {
    // SAFETY: takes an integer only.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_shift_the_fields() {
        let line = b"42 (a) (b\n) c) S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 2 3";
        let stat = parse(line).expect("parses");
        assert_eq!(
            (stat.comm.as_str(), stat.state, stat.ppid, stat.start_time),
            ("a) (b\n) c", 'S', Some(Pid::new(7)), 12345)
        );
        assert_eq!((stat.user_ticks, stat.system_ticks, stat.kernel_thread), (5, 6, false));
    }

    #[test]
    fn truncated_lines_are_refused() {
        for line in [&b""[..], b"42", b"42 (x", b"42 (x) S", b"x (y) S 1 2 3", b")(", b")"] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn kernel_threads_are_told_by_their_flag() {
        let line = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 3 0 0 20 0 1 0 2 0 0";
        assert!(parse(line).expect("parses").kernel_thread);
    }
}
