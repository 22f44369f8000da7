//! What `/proc` says of processes, and how one is ended.

use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::until;

/// Everybody.
pub(crate) fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Everybody whose working directory this is.
pub(crate) fn at_work_in(directory: &Path) -> Vec<Pid> {
    let here = directory.canonicalize().expect("the directory is there");
    all().filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|there| there == here)).collect()
}

/// Whether a process is there and has not ended.
pub(crate) fn lives(pid: Pid) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// The state letter of a process.
pub(crate) fn state(pid: Pid) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

/// The parent of a process, whether it has ended or not.
pub(crate) fn parent(pid: Pid) -> Option<Pid> {
    stat(pid)?.get(1)?.parse().ok().and_then(Pid::from_raw)
}

/// The fields of `/proc/PID/stat` from the state on.
pub(crate) fn stat(pid: Pid) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything: the fields begin after the last one.
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

pub(crate) fn command_line(pid: Pid) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Everybody below a process that has not ended, as pidfds that were opened while the parent named was still the parent.
pub(crate) fn descendants(root: Pid) -> Vec<(Pid, OwnedFd)> {
    let living_parent = |pid: Pid| parent(pid).filter(|_| lives(pid));
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    for pid in all() {
        if let Some(parent) = living_parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut above = vec![root];
    while let Some(parent) = above.pop() {
        for &child in children.get(&parent).into_iter().flatten() {
            let Ok(fd) = pidfd_open(child, PidfdFlags::empty()) else {
                continue;
            };
            if living_parent(child) == Some(parent) {
                found.push((child, fd));
                above.push(child);
            }
        }
    }
    found
}

pub(crate) fn kill(pid: Pid, signal: Signal) {
    rustix::process::kill_process(pid, signal).expect("the process is there");
}

/// Kills a process and waits until it is dead.
pub(crate) fn kill_for_good(pid: Pid) {
    kill(pid, Signal::KILL);
    until("it is dead", || !lives(pid));
}
