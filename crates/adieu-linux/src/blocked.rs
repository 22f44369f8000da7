//! What the threads of another process wait to read from, as the system calls they are in tell: `/proc/PID/task/TID/syscall`
//! (proc(5)). Needs PTRACE_MODE_ATTACH over the process.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use adieu_core::ids::Pid;

use crate::memory;

#[cfg(target_arch = "x86_64")]
const POLLS: &[i64] = &[libc::SYS_poll, libc::SYS_ppoll];
#[cfg(not(target_arch = "x86_64"))]
const POLLS: &[i64] = &[libc::SYS_ppoll];
#[cfg(target_arch = "x86_64")]
const SELECTS: &[i64] = &[libc::SYS_select, libc::SYS_pselect6];
#[cfg(not(target_arch = "x86_64"))]
const SELECTS: &[i64] = &[libc::SYS_pselect6];
#[cfg(target_arch = "x86_64")]
const EPOLLS: &[i64] = &[libc::SYS_epoll_wait, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2];
#[cfg(not(target_arch = "x86_64"))]
const EPOLLS: &[i64] = &[libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2];
const READS: &[i64] = &[libc::SYS_read, libc::SYS_readv, libc::SYS_recvfrom, libc::SYS_recvmsg];
const IDLE: &[i64] = &[libc::SYS_io_uring_enter, libc::SYS_futex, libc::SYS_rt_sigtimedwait];
/// Descriptors that one call is believed to name.
const MOST: u64 = 65_536;

/// What the threads of a process wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocked {
    /// Descriptors that a thread waits to read from, and which thread that is. Nothing else wakes it from there.
    pub readers: HashMap<i32, i32>,
    /// Descriptors among those that a thread waits for input from (poll, select, epoll).
    pub watched: HashSet<i32>,
    /// A thread waits in a way that does not tell for what (io_uring).
    pub unclear: bool,
    /// A thread waits for io_uring, and no other does anything but wait for threads, rings or signals: what is read is read
    /// by a ring.
    pub by_ring: bool,
}

impl Blocked {
    /// Whether `fd` is read only when there is something to be read: a thread waits for input from it before, or a ring does.
    /// A read that has begun already is not one of these.
    #[must_use]
    pub fn is_read_when_told(&self, fd: i32) -> bool {
        self.watched.contains(&fd) || self.by_ring
    }

    /// Whether somebody waits for input from `fd`, or may.
    #[must_use]
    pub fn may_be_for(&self, fd: i32) -> bool {
        self.unclear || self.readers.contains_key(&fd) || self.watched.contains(&fd)
    }
}

/// Looks at all threads of `pid`. A thread that runs, or that may not be looked at, waits for nothing.
///
/// # Errors
/// ENOENT when there is no such process; EACCES, EPERM when it may not be looked at.
pub fn threads_of(pid: Pid) -> io::Result<Blocked> {
    // Whether looking is permitted is the same for all threads.
    fs::read(format!("/proc/{pid}/syscall"))?;
    let mut found = Blocked::default();
    let mut idle = true;
    for entry in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let tid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some((tid, (call, [first, second, _]))) = tid.and_then(|tid| Some((tid, system_call(pid, tid)?))) else {
            idle = false;
            continue;
        };
        idle &= IDLE.contains(&call);
        if READS.contains(&call) {
            found.readers.insert(first as i32, tid);
        } else if POLLS.contains(&call) {
            found.watched.extend(polled(tid, first, second).unwrap_or_default());
        } else if SELECTS.contains(&call) {
            found.watched.extend(selected(tid, first, second).unwrap_or_default());
        } else if EPOLLS.contains(&call) {
            found.watched.extend(registered(pid, first).unwrap_or_default());
        } else if call == libc::SYS_io_uring_enter {
            found.unclear = true;
        }
    }
    found.by_ring = found.unclear && idle;
    Ok(found)
}

/// The descriptor that a thread waits to read from.
#[must_use]
pub fn reads_from(pid: Pid, tid: i32) -> Option<i32> {
    let (call, [fd, ..]) = system_call(pid, tid)?;
    READS.contains(&call).then_some(fd as i32)
}

/// The system call that a thread waits in, with its first arguments.
fn system_call(pid: Pid, tid: i32) -> Option<(i64, [u64; 3])> {
    let line = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).ok()?;
    let mut words = line.split_ascii_whitespace();
    let call = words.next()?.parse().ok()?;
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    Some((call, [argument()?, argument()?, argument()?]))
}

/// The descriptors in an array of `struct pollfd` that are asked for input.
fn polled(tid: i32, array: u64, count: u64) -> Option<Vec<i32>> {
    let bytes = memory::read(tid, array, usize::try_from(count.min(MOST)).ok()? * 8).ok()?;
    let one = |entry: &[u8]| {
        let fd = i32::from_ne_bytes(entry.get(..4)?.try_into().ok()?);
        let events = i16::from_ne_bytes(entry.get(4..6)?.try_into().ok()?);
        (events & libc::POLLIN != 0).then_some(fd)
    };
    Some(bytes.chunks_exact(8).filter_map(one).collect())
}

/// The descriptors in the set of those to be read of `select(2)`.
fn selected(tid: i32, count: u64, set: u64) -> Option<Vec<i32>> {
    let count = usize::try_from(count.min(MOST)).ok()?;
    let bytes = memory::read(tid, set, count.div_ceil(64) * 8).ok()?;
    let word = |fd: usize| Some(u64::from_ne_bytes(bytes.get(fd / 64 * 8..fd / 64 * 8 + 8)?.try_into().ok()?));
    let is_in = |fd: &usize| word(*fd).is_some_and(|word| word >> (fd % 64) & 1 == 1);
    Some((0..count).filter(is_in).filter_map(|fd| i32::try_from(fd).ok()).collect())
}

/// The descriptors that an epoll instance watches for input.
fn registered(pid: Pid, epoll: u64) -> Option<Vec<i32>> {
    let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{epoll}")).ok()?;
    let one = |line: &str| {
        let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
        let fd = words.next()?.parse().ok()?;
        let events = u32::from_str_radix(words.nth(1)?, 16).ok()?;
        (events & libc::EPOLLIN as u32 != 0).then_some(fd)
    };
    Some(text.lines().filter_map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::net::UnixStream;

    /// Runs `wait` in a thread until it is seen to wait for a socket, then ends its wait.
    fn seen(wait: impl FnOnce(UnixStream) + Send + 'static) -> (i32, Blocked) {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        let (fd, pid) = (theirs.as_raw_fd(), crate::process::own_pid());
        let thread = std::thread::spawn(move || wait(theirs));
        let found = loop {
            let found = threads_of(pid).expect("our own threads");
            if found.may_be_for(fd) {
                break found;
            }
            std::thread::yield_now();
        };
        ours.write_all(b"x").expect("it reads");
        thread.join().expect("no panic");
        assert!(!threads_of(pid).expect("our own threads").may_be_for(fd));
        (fd, found)
    }

    #[test]
    fn a_thread_that_waits_in_a_read_is_found() {
        let (fd, found) = seen(|mut socket| socket.read_exact(&mut [0; 1]).expect("it comes"));
        let tid = found.readers[&fd];
        assert_eq!(reads_from(crate::process::own_pid(), tid), None, "it has read");
        assert!(!found.watched.contains(&fd));
    }

    #[test]
    fn a_thread_that_waits_for_one_of_several_is_found() {
        let (fd, found) = seen(|socket| {
            drop(crate::poll::poll(&[(socket.as_fd(), crate::poll::Readiness::READ)], None));
        });
        assert!(found.watched.contains(&fd) && !found.readers.contains_key(&fd));
        let (fd, found) = seen(|socket| {
            // SAFETY: an all-zero fd_set is an empty one; the descriptor is below FD_SETSIZE; null means no set, no limit.
            unsafe {
                let mut set: libc::fd_set = std::mem::zeroed();
                libc::FD_SET(socket.as_raw_fd(), &raw mut set);
                let none = std::ptr::null_mut();
                libc::select(socket.as_raw_fd() + 1, &raw mut set, none, none, std::ptr::null_mut());
            }
        });
        assert!(found.watched.contains(&fd));
        let (fd, found) = seen(|socket| {
            // SAFETY: the event structs are valid for their calls, and the descriptors are open.
            unsafe {
                let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
                let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
                libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event);
                libc::epoll_wait(epoll, &raw mut event, 1, -1);
                libc::close(epoll);
            }
        });
        assert!(found.watched.contains(&fd));
    }
}
