//! Reads everything at once. The pidfd is asked at the end whether the process is still the one that was meant.

use std::path::Path;
use std::time::Duration;

use adieu_core::ids::Pid;
use adieu_linux::proc::{Unread, cgroup, executable, fds, stat, status, words};
use adieu_linux::process;

use super::{Facts, Relative, Unreadable, net, relatives, threads, waits};
use crate::target::{NoTarget, Target};

/// Reads all of a process; takes `watch` longer than the reading itself, to see which threads
/// move, and what those in the kernel wait for; with none, all are taken to move.
///
/// # Errors
/// [`NoTarget::Gone`] when it is reaped in the middle; then nothing that was read can be believed.
pub fn collect(target: &Target, watch: Duration) -> Result<Facts, NoTarget> {
    let pid = target.pid();
    let mut facts = glance_at(pid)?;
    facts.permitted = target.may_signal();
    facts.threads = threads::read(pid, &mut facts.unreadable);
    if facts.kernel_thread {
        return sure(target, facts);
    }
    sockets_and_descriptors(&mut facts);
    facts.input = relatives::input(pid);
    let family = relatives::family(pid);
    facts.children = family.children;
    net::strangers(&mut facts.listeners, &facts.listener_inodes, &family.descendants, facts.program.as_deref());
    let parent = status::read(pid).ok().and_then(|status| status.parent);
    facts.parent = parent.and_then(relatives::read);
    facts.parent_ignores = parent.and_then(|parent| status::read(parent).ok()).map_or(0, |status| status.ignored);
    let frozen = cgroup::frozen(pid);
    facts.frozen = keep(&mut facts.unreadable, "cgroup", frozen).flatten();
    if !watch.is_zero() {
        threads::look_again(pid, &mut facts.threads, watch);
        waits::read(&mut facts);
        facts.watched_ms = u64::try_from(watch.as_millis()).unwrap_or(u64::MAX);
        // Only what computes all the time is asked whether it does so for its clients.
        if facts.main().is_some_and(|main| main.busy) {
            facts.answers = net::sent_within(&facts, watch);
        }
    }
    // What may have changed while we watched.
    if let Ok(now) = glance_at(pid) {
        facts.state = now.state;
        facts.pending = now.pending;
        facts.tracer = now.tracer;
    }
    sure(target, facts)
}

fn sure(target: &Target, facts: Facts) -> Result<Facts, NoTarget> {
    let same = target.is_there() && facts.start_time == target.start_time();
    if same { Ok(facts) } else { Err(NoTarget::Gone(target.pid())) }
}

/// The few facts that a table over all processes needs: three files.
///
/// # Errors
/// [`NoTarget::Gone`], [`NoTarget::Hidden`].
pub fn glance(pid: Pid) -> Result<Facts, NoTarget> {
    let mut facts = glance_at(pid)?;
    if facts.threads.first().is_some_and(|main| main.blocked != 0) {
        facts.threads = threads::masks(pid);
    }
    Ok(facts)
}

/// Looks at the masks of short facts again, a while later: what is blocked for a moment only is not blocked.
pub fn look_again(facts: &mut Facts) {
    if facts.blocked_everywhere() != 0 {
        threads::keep_blocked(facts.pid, &mut facts.threads);
    }
}

fn glance_at(pid: Pid) -> Result<Facts, NoTarget> {
    let gone = |error| match error {
        Unread::Denied => NoTarget::Hidden(pid),
        Unread::Absent | Unread::Malformed | Unread::Other(_) => NoTarget::Gone(pid),
    };
    let stat = stat::read(pid).map_err(gone)?;
    let status = status::read(pid).map_err(gone)?;
    let mut facts = Facts {
        start_time: stat.start_time,
        age: age(stat.start_time),
        name: stat.comm,
        state: stat.state,
        kernel_thread: stat.kernel_thread,
        user: status.users[0],
        pids: status.pids,
        dumps_core: status.dumps_core,
        ignored: status.ignored,
        caught: status.caught,
        pending: status.shared_pending,
        tracer: status.tracer.map(tracer),
        permitted: process::own_user() == 0 || status.users.contains(&process::own_user()),
        ..Facts::of(pid)
    };
    facts.threads = vec![super::Thread {
        id: pid.number(),
        name: facts.name.clone(),
        state: stat.state,
        blocked: status.blocked,
        pending: status.pending,
        moved: true,
        ..super::Thread::default()
    }];
    if stat.kernel_thread || stat.state == 'Z' {
        return Ok(facts);
    }
    let arguments = keep(&mut facts.unreadable, "cmdline", words::cmdline(pid)).unwrap_or_default();
    facts.arguments = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let program = keep(&mut facts.unreadable, "exe", executable(pid));
    facts.program = program.map(|path| path.to_string_lossy().into_owned());
    Ok(facts)
}

/// Somebody traces it, whether or not we may see more of that.
fn tracer(pid: Pid) -> Relative {
    relatives::read(pid).unwrap_or(Relative { name: "?".to_owned(), ..Relative::of(pid) })
}

fn sockets_and_descriptors(facts: &mut Facts) {
    let pid = facts.pid;
    let Some(open) = keep(&mut facts.unreadable, "fd", fds::list(pid)) else { return };
    for (fd, target) in &open {
        if matches!(target, fds::Target::Anonymous(name) if name == "[signalfd]") {
            facts.read_from_descriptor |= fds::info(pid, *fd).ok().and_then(|info| info.signals).unwrap_or(0);
        }
    }
    let inodes: Vec<u64> = open
        .iter()
        .filter_map(|(_, target)| if let fds::Target::Socket(inode) = target { Some(*inode) } else { None })
        .collect();
    if let Err(why) = net::read(facts, &inodes) {
        facts.unreadable.push(Unreadable { file: "net".to_owned(), why });
    }
}

/// Notes what could not be read.
fn keep<T>(unreadable: &mut Vec<Unreadable>, file: &str, read: Result<T, Unread>) -> Option<T> {
    read.map_err(|why| unreadable.push(Unreadable { file: file.to_owned(), why: why.to_string() })).ok()
}

/// Seconds since a moment that the kernel counts in clock ticks since boot.
fn age(start_time: u64) -> f64 {
    let uptime = std::fs::read_to_string(Path::new("/proc/uptime")).unwrap_or_default();
    let uptime: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    (uptime - start_time as f64 / stat::ticks_per_second() as f64).max(0.0)
}
