//! What descriptors a process has open: `/proc/PID/fd` and `/proc/PID/fdinfo` (proc_pid_fd(5), proc_pid_fdinfo(5)).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use adieu_core::ids::Pid;

use super::Unread;

/// What a descriptor refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A socket with this inode.
    Socket(u64),
    /// A pipe with this inode.
    Pipe(u64),
    /// Something without a name: `[signalfd]`, `[eventpoll]`, ...
    Anonymous(String),
    /// A file; ` (deleted)` is appended by the kernel when it is gone.
    Path(PathBuf),
}

/// Parses what the link says.
#[must_use]
pub fn parse_link(target: &OsStr) -> Target {
    let inode =
        |kind: &str| target.to_str()?.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse::<u64>().ok();
    if let Some(inode) = inode("socket") {
        return Target::Socket(inode);
    }
    if let Some(inode) = inode("pipe") {
        return Target::Pipe(inode);
    }
    match target.as_bytes().strip_prefix(b"anon_inode:") {
        Some(name) => Target::Anonymous(String::from_utf8_lossy(name).into_owned()),
        None => Target::Path(target.into()),
    }
}

/// All descriptors of a process. Those that are closed during the walk are left out.
///
/// # Errors
/// [`Unread`]; `Denied` without PTRACE_MODE_READ over the process.
pub fn list(pid: Pid) -> Result<Vec<(i32, Target)>, Unread> {
    let mut found = Vec::new();
    for fd in super::numbers(format!("/proc/{pid}/fd"))? {
        if let Ok(target) = fs::read_link(format!("/proc/{pid}/fd/{fd}")) {
            found.push((fd, parse_link(target.as_os_str())));
        }
    }
    Ok(found)
}

/// The part of a file of `fdinfo` that adieu uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Info {
    /// Open flags (`O_CLOEXEC`, `O_NONBLOCK`, ...).
    pub flags: u32,
    /// The signals that a signalfd reads; bit n-1 stands for signal n.
    pub signals: Option<u64>,
    /// The process that a pidfd refers to, unless it has ended.
    pub pid: Option<Pid>,
}

/// Parses a file of `fdinfo`.
#[must_use]
pub fn parse_info(bytes: &[u8]) -> Option<Info> {
    let text = String::from_utf8_lossy(bytes);
    let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    Some(Info {
        flags: u32::from_str_radix(field("flags")?, 8).ok()?,
        signals: field("sigmask").and_then(super::status::mask),
        pid: field("Pid").and_then(|pid| pid.parse().ok()).filter(|pid: &i32| *pid > 0).map(Pid::new),
    })
}

/// Reads it of one descriptor.
///
/// # Errors
/// [`Unread`].
pub fn info(pid: Pid, fd: i32) -> Result<Info, Unread> {
    parse_info(&super::bytes(pid, &format!("fdinfo/{fd}"))?).ok_or(Unread::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn links_of_every_kind() {
        assert_eq!(parse_link(OsStr::new("socket:[12]")), Target::Socket(12));
        assert_eq!(parse_link(OsStr::new("pipe:[7]")), Target::Pipe(7));
        assert_eq!(parse_link(OsStr::new("anon_inode:[signalfd]")), Target::Anonymous("[signalfd]".into()));
        for path in ["/x y", "socket:[x]", "socket:[99999999999999999999]", "pipe:", ""] {
            assert_eq!(parse_link(OsStr::new(path)), Target::Path(path.into()));
        }
        assert_eq!(parse_link(OsStr::from_bytes(b"/\xff")), Target::Path(OsStr::from_bytes(b"/\xff").into()));
    }

    #[test]
    fn our_own_pair_is_listed() {
        let (one, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let (me, listed) = (crate::process::own_pid(), list(crate::process::own_pid()).expect("our own"));
        for fd in [one.as_raw_fd(), other.as_raw_fd()] {
            assert!(listed.iter().any(|(number, target)| *number == fd && matches!(target, Target::Socket(_))));
            assert_ne!(info(me, fd).expect("open").flags & libc::O_CLOEXEC as u32, 0);
        }
        assert_eq!(info(me, 1_000_000), Err(Unread::Absent));
    }

    #[test]
    fn a_signalfd_says_what_it_reads() {
        let text = b"pos:\t0\nflags:\t02004002\nmnt_id:\t15\nino:\t1\nsigmask:\t0000000000004000\n";
        let info = parse_info(text).expect("parses");
        assert_eq!((info.signals, info.flags, info.pid), (Some(0x4000), 0o2004002, None));
        assert_eq!(parse_info(b"pos:\t0\n"), None);
    }
}
