//! What descriptors another process has: `/proc/PID/fd` and `/proc/PID/fdinfo` (proc(5)), and closing our own in bulk.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;

pub use libc::{O_CLOEXEC, O_NONBLOCK};

use adieu_core::ids::Pid;

use crate::whole::read_text;
use crate::{cvt, cvt_long};

/// The inode of the socket behind descriptor `fd` of `pid`; `None` when it is not a socket.
///
/// # Errors
/// EACCES without PTRACE_MODE_READ over the process; ENOENT when the descriptor or the process is gone.
pub fn socket_inode(pid: Pid, fd: i32) -> io::Result<Option<u64>> {
    Ok(parse_socket_link(fs::read_link(format!("/proc/{pid}/fd/{fd}"))?.as_os_str()))
}

/// All sockets of `pid` as (descriptor, inode).
///
/// # Errors
/// As [`socket_inode`]; descriptors that vanish during the walk are left out.
pub fn sockets(pid: Pid) -> io::Result<Vec<(i32, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Ok(entry) = entry else { continue };
        let target = match fs::read_link(entry.path()) {
            Ok(target) => target,
            // Root may list what it may not look at: that is not the same as nothing.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(_) => continue,
        };
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(fd), Some(inode)) = (number, parse_socket_link(target.as_os_str())) {
            found.push((fd, inode));
        }
    }
    Ok(found)
}

/// How many descriptors this process may have open (RLIMIT_NOFILE, `getrlimit(2)`).
#[must_use]
pub fn limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a struct that the call fills in.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

fn parse_socket_link(target: &OsStr) -> Option<u64> {
    let text = target.to_str()?;
    text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The protocol of the socket behind `fd` of `pid` as the kernel names it: `TCP`, `TCPv6`, `MPTCP`, `UDP`, `UNIX`, ...
///
/// It is the attribute `system.sockprotoname` that the socket file system gives every socket: it needs no right to
/// duplicate the descriptor.
///
/// # Errors
/// As [`socket_inode`]; EOPNOTSUPP when it is not a socket.
pub fn socket_protocol(pid: Pid, fd: i32) -> io::Result<String> {
    let path = CString::new(format!("/proc/{pid}/fd/{fd}")).map_err(io::Error::other)?;
    let mut name = [0u8; 64];
    // SAFETY: both strings end with NUL; `name` has the given length and outlives the call.
    let length = cvt_long(unsafe {
        libc::getxattr(path.as_ptr(), c"system.sockprotoname".as_ptr(), name.as_mut_ptr().cast(), name.len()) as i64
    })?;
    let bytes = name.get(..usize::try_from(length).unwrap_or(0)).unwrap_or_default();
    Ok(OsStr::from_bytes(bytes).to_string_lossy().trim_end_matches('\0').to_owned())
}

/// The open flags of descriptor `fd` of `pid` (`O_NONBLOCK`, `O_CLOEXEC`, ...), from fdinfo.
///
/// # Errors
/// As [`socket_inode`].
pub fn flags(pid: Pid, fd: i32) -> io::Result<i32> {
    let text = crate::whole::read_text(format!("/proc/{pid}/fdinfo/{fd}"))?;
    let octal = text.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim);
    octal
        .and_then(|digits| i32::from_str_radix(digits, 8).ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no flags line in fdinfo"))
}

/// Whether an epoll instance of `pid` waits for descriptor `fd`: it would go on waiting for the old socket, were another put
/// in its place. False where that cannot be seen.
#[must_use]
pub fn is_polled(pid: Pid, fd: i32) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return false };
    let waits = |text: String| {
        text.lines()
            .filter_map(|line| line.strip_prefix("tfd:"))
            .any(|line| line.split_whitespace().next().is_some_and(|number| number.parse() == Ok(fd)))
    };
    entries.flatten().any(|entry| read_text(entry.path()).is_ok_and(waits))
}

/// Closes every descriptor of this process from 3 up that is not in `keep` (`close_range(2)`).
///
/// # Errors
/// None in practice; ENOSYS before Linux 5.9 is answered by closing one by one.
pub fn close_all_but(keep: &[i32]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep {
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: takes integers; the caller (a freshly forked child) owns nothing in the range that is used afterwards.
    let result = cvt_long(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) });
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            for fd in first..=last.min(65_535) {
                // SAFETY: as above; EBADF is expected and harmless.
                drop(cvt(unsafe { libc::close(fd as i32) }));
            }
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

/// Takes ownership of descriptor `fd`, which was inherited from whoever started this process, and closes it on exec.
///
/// # Errors
/// EBADF when it is not open. Taking the same descriptor twice is refused with `AlreadyExists`.
pub fn take(fd: i32) -> io::Result<OwnedFd> {
    static TAKEN: Mutex<Vec<i32>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if fd < 3 || taken.contains(&fd) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // SAFETY: takes integers; fails with EBADF when `fd` is not open.
    cvt(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    taken.push(fd);
    // SAFETY: open (checked above), inherited, and handed out only once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
