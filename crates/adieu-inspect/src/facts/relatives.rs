//! Parents, children, tracers: other processes, seen from a distance.

use adieu_core::ids::Pid;
use adieu_linux::proc::{executable, stat, status, words};
use adieu_linux::process;

use super::relative::{Relative, shorten};

/// More than this many descendants are not looked at one by one.
const MANY: usize = 1000;

pub(super) struct Family {
    pub(super) children: Vec<Relative>,
    pub(super) descendants: Vec<Relative>,
}

pub(super) fn family(pid: Pid) -> Family {
    let children: Vec<Relative> = process::children(pid).into_iter().take(MANY).filter_map(read).collect();
    let descendants = process::descendants(pid).into_iter().take(MANY).filter_map(read).collect();
    Family { children, descendants }
}

pub(super) fn read(pid: Pid) -> Option<Relative> {
    let stat = stat::read(pid).ok()?;
    let arguments: Vec<String> =
        words::cmdline(pid).unwrap_or_default().iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let status = status::read(pid).ok()?;
    Some(Relative {
        pid,
        line: shorten(&arguments, &stat.comm),
        name: stat.comm,
        state: stat.state,
        program: executable(pid).ok().map(|path| path.to_string_lossy().into_owned()),
        session: stat.session,
        ignored: status.ignored,
        caught: status.caught,
        input: input(pid),
    })
}

/// What the standard input of a process is.
pub(super) fn input(pid: Pid) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/{pid}/fd/0")).ok()?;
    Some(link.to_string_lossy().into_owned())
}
