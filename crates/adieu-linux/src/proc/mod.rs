//! Somebody else's process as `/proc` shows it (proc(5)): one file per kind of file, each with a pure parser over bytes and a
//! function that reads. What a process calls itself is foreign input: any byte but NUL can be in it.

pub mod cgroup;
pub mod fds;
pub mod frame;
pub mod locks;
pub mod mounts;
pub mod stat;
pub mod status;
pub mod syscall;
pub mod words;

use std::fs;
use std::io;
use std::path::Path;

use adieu_core::ids::Pid;

/// Why something of a process could not be read. A process can vanish, or change its user, between any two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unread {
    /// The process, the thread or the file is not there (ENOENT, ESRCH): it has ended, is hidden (`hidepid=`), or the kernel
    /// was built without that file.
    #[error("not there")]
    Absent,
    /// It is there and may not be read (EACCES, EPERM): ptrace(2) says who may.
    #[error("may not be read")]
    Denied,
    /// Not as proc(5) says.
    #[error("malformed")]
    Malformed,
    /// Another error of the kernel.
    #[error("errno {0}")]
    Other(i32),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => Self::Absent,
            Some(libc::EACCES | libc::EPERM) => Self::Denied,
            Some(errno) => Self::Other(errno),
            None => Self::Malformed,
        }
    }
}

/// The bytes of `/proc/PID/FILE`.
///
/// # Errors
/// [`Unread`].
pub fn bytes(pid: Pid, file: &str) -> Result<Vec<u8>, Unread> {
    Ok(crate::whole::read_whole(format!("/proc/{pid}/{file}"))?)
}

/// The numbers that name entries of a directory of `/proc`: processes, threads, descriptors. In no order.
pub(crate) fn numbers(directory: impl AsRef<Path>) -> Result<Vec<i32>, Unread> {
    let entries = fs::read_dir(directory)?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// All processes that this process may see.
///
/// # Errors
/// [`Unread`] when `/proc` is not mounted.
pub fn processes() -> Result<Vec<Pid>, Unread> {
    Ok(numbers("/proc")?.into_iter().map(Pid::new).collect())
}

/// The threads of a process, in order of their ids. The main thread has the id of the process.
///
/// # Errors
/// [`Unread`].
pub fn threads(pid: Pid) -> Result<Vec<i32>, Unread> {
    let mut found = numbers(format!("/proc/{pid}/task"))?;
    found.sort_unstable();
    Ok(found)
}

/// The program file that a process runs.
///
/// # Errors
/// [`Unread`]; `Absent` for kernel threads and zombies too.
pub fn executable(pid: Pid) -> Result<std::path::PathBuf, Unread> {
    Ok(fs::read_link(format!("/proc/{pid}/exe"))?)
}

/// The identity of one of its namespaces (`net`, `pid`, `mnt`), as `net:[4026531833]` (namespaces(7)).
///
/// # Errors
/// [`Unread`].
pub fn namespace(pid: Pid, kind: &str) -> Result<String, Unread> {
    Ok(fs::read_link(format!("/proc/{pid}/ns/{kind}"))?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_listed_with_its_main_thread() {
        let me = crate::process::own_pid();
        assert!(processes().expect("/proc is mounted").contains(&me));
        assert!(threads(me).expect("we are there").contains(&me.number()));
        assert_eq!(executable(me).expect("we are there"), std::env::current_exe().expect("known"));
        assert_eq!(namespace(me, "net"), namespace(Pid::new(std::process::id() as i32), "net"));
    }

    #[test]
    fn what_is_not_there_is_told_from_what_may_not_be_read() {
        assert_eq!(bytes(Pid::new(i32::MAX), "stat"), Err(Unread::Absent));
        assert_eq!(Unread::from(io::Error::from_raw_os_error(libc::ESRCH)), Unread::Absent);
        assert_eq!(Unread::from(io::Error::from_raw_os_error(libc::EPERM)), Unread::Denied);
        assert_eq!(Unread::from(io::Error::from_raw_os_error(libc::EIO)), Unread::Other(libc::EIO));
    }
}
