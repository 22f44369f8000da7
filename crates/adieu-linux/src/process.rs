//! Processes as `/proc` shows them (proc(5)).

use std::collections::VecDeque;
use std::fs;
use std::io;

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;

use crate::cvt;
pub use crate::proc::stat::{Stat, parse as parse_stat};
use crate::whole::{read_text, read_whole};

/// Reads and parses `/proc/PID/stat`.
///
/// # Errors
/// ENOENT when there is no such process; `InvalidData` when the line is not as proc(5) says.
pub fn stat(pid: Pid) -> io::Result<Stat> {
    let bytes = read_whole(format!("/proc/{pid}/stat"))?;
    parse_stat(&bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is malformed")))
}

/// The thread group (process) that thread `tid` belongs to.
///
/// # Errors
/// ENOENT when there is no such thread.
pub fn thread_group(tid: i32) -> io::Result<Pid> {
    let text = read_text(format!("/proc/{tid}/status"))?;
    let field = text.lines().find_map(|line| line.strip_prefix("Tgid:"));
    field
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{tid}/status has no Tgid")))
}

/// The numbers that process `pid` has, in our PID namespace first and in its own last: bare, as they mean nothing without the
/// namespace.
///
/// # Errors
/// ENOENT when there is no such process.
pub fn numbers(pid: Pid) -> io::Result<Vec<i32>> {
    let text = read_text(format!("/proc/{pid}/status"))?;
    let field = text.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    Ok(field.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect())
}

/// The living children of `pid`, zombies included, from `/proc/PID/task/*/children`.
///
/// One pass may miss a child while others come and go: callers repeat until the tree is known to be empty.
#[must_use]
pub fn children(pid: Pid) -> Vec<Pid> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for task in tasks.flatten() {
        if let Ok(text) = read_text(task.path().join("children")) {
            found.extend(text.split_ascii_whitespace().filter_map(|number| number.parse::<Pid>().ok()));
        }
    }
    found
}

/// All descendants of `root` (without `root`), parents before children.
#[must_use]
pub fn descendants(root: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut queue = VecDeque::from(children(root));
    while let Some(pid) = queue.pop_front() {
        found.push(pid);
        queue.extend(children(pid));
    }
    found
}

/// The real user of `pid`.
///
/// # Errors
/// ENOENT when there is no such process.
pub fn user(pid: Pid) -> io::Result<u32> {
    let text = read_text(format!("/proc/{pid}/status"))?;
    let field = text.lines().find_map(|line| line.strip_prefix("Uid:"));
    field
        .and_then(|value| value.split_ascii_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/status has no Uid")))
}

/// The file mode creation mask of `pid` (`umask(2)`).
///
/// # Errors
/// ENOENT when there is no such process; `InvalidData` before Linux 4.7.
pub fn umask(pid: Pid) -> io::Result<u32> {
    let text = read_text(format!("/proc/{pid}/status"))?;
    let field = text.lines().find_map(|line| line.strip_prefix("Umask:"));
    field
        .and_then(|value| u32::from_str_radix(value.trim(), 8).ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/status has no Umask")))
}

/// The effective user of this process.
#[must_use]
pub fn own_user() -> u32 {
    // SAFETY: cannot fail and touches no memory.
    unsafe { libc::geteuid() }
}

/// This process.
#[must_use]
pub fn own_pid() -> Pid {
    // SAFETY: cannot fail and touches no memory.
    Pid::new(unsafe { libc::getpid() })
}

/// Sends `signal` to a child of this process that has not been reaped (`kill(2)`): of others the number may have become
/// somebody else's, see [`crate::pidfd`].
///
/// # Errors
/// EPERM when it has become another user's.
pub fn signal_child(pid: Pid, signal: Signal) -> io::Result<()> {
    // SAFETY: takes integers only.
    traced!(cvt(unsafe { libc::kill(pid.number(), signal.number()) }), "send {signal} to a child")?;
    Ok(())
}

/// How often the kernel has killed for memory in the memory cgroup of `pid` (`oom_kill` of `memory.events` in v2, of
/// `memory.oom_control` in v1), with the directory it was read from. `None` where there is no such counter.
#[must_use]
pub fn oom_kills(pid: Pid) -> Option<(std::path::PathBuf, u64)> {
    let text = read_text(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?.trim_start_matches('/'));
        let roots: &[&str] = match controllers {
            "" => &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"],
            names if names.split(',').any(|name| name == "memory") => &["/sys/fs/cgroup/memory"],
            _ => return None,
        };
        // In a container the cgroup is mounted as the root, whatever path the kernel names.
        let places = roots.iter().flat_map(|root| [format!("{root}/{path}"), (*root).to_owned()]);
        places.into_iter().map(std::path::PathBuf::from).find_map(|place| Some((place.clone(), oom_kills_in(&place)?)))
    })
}

/// The counter of [`oom_kills`] in one cgroup directory.
#[must_use]
pub fn oom_kills_in(place: &std::path::Path) -> Option<u64> {
    ["memory.events", "memory.oom_control"].iter().find_map(|file| {
        let text = read_text(place.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_its_parents_child() {
        let me = stat(own_pid()).expect("own stat");
        assert_eq!(me.pid, own_pid());
        assert!(me.ppid.is_some_and(|parent| descendants(parent).contains(&me.pid)));
    }
}
