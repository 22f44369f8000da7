//! Finds out what a thread waits for in its system call, from the call's arguments, the process's memory and the kernel's lists.
//! Where that cannot be told, nothing is said.

use adieu_core::ids::Pid;
use adieu_linux::proc::{self, fds, locks, status};
use adieu_linux::{clock, memory, process};
use std::collections::BTreeMap;

use super::{Awaited, Call, Facts, Relative, Thread, relatives};

/// Fills it in for all threads.
pub(super) fn read(facts: &mut Facts) {
    let mut sockets = Vec::new();
    sockets.extend(facts.listener_inodes.iter().zip(&facts.listeners).map(|(inode, listener)| {
        let client = Awaited::Client { address: listener.address };
        (*inode, client)
    }));
    sockets.extend(facts.connections.iter().map(|connection| {
        let peer = Awaited::Peer { address: connection.peer, idle: connection.idle };
        (connection.inode, peer)
    }));
    let siblings = Siblings::of(facts);
    let mut others = Others { pid: facts.pid, sockets, pipes: BTreeMap::new() };
    let found: Vec<Option<Awaited>> =
        facts.threads.iter().map(|thread| awaited(facts.pid, thread, &mut others, &siblings)).collect();
    for (thread, found) in facts.threads.iter_mut().zip(found) {
        thread.waits_for = found;
    }
}

fn awaited(pid: Pid, thread: &Thread, others: &mut Others, siblings: &Siblings) -> Option<Awaited> {
    let call = thread.call?;
    let descriptor = call.first as i32;
    match call.name? {
        "read" | "readv" | "pread64" | "recvfrom" | "recvmsg" => on_descriptor(pid, descriptor, true, others),
        "accept" | "accept4" => {
            on_descriptor(pid, descriptor, true, others).filter(|found| matches!(found, Awaited::Client { .. }))
        }
        "write" | "writev" | "pwrite64" | "sendto" | "sendmsg" | "fsync" | "fdatasync" => {
            on_descriptor(pid, descriptor, false, others)
        }
        "flock" | "fcntl" => {
            let holder = locks::taken(pid)?.pid;
            let file = path_of(pid, descriptor)?;
            Some(Awaited::FileLock { file, holder: holder.and_then(relatives::read) })
        }
        "poll" => on_polled(pid, &call, others),
        "futex" => on_word(pid, thread.id, &call, siblings),
        "clock_nanosleep" => {
            const ABSOLUTE: u64 = 1;
            const MONOTONIC: u64 = 1;
            let [clock, flags, address, ..] = call.arguments;
            match (flags & ABSOLUTE != 0, clock) {
                (false, _) => time(pid, address).map(|seconds| Awaited::Time { seconds, left: false }),
                (true, MONOTONIC) => {
                    let now = clock::now().since_origin().as_secs_f64();
                    time(pid, address).map(|until| Awaited::Time { seconds: (until - now).max(0.0), left: true })
                }
                (true, _) => None,
            }
        }
        "nanosleep" => time(pid, call.first).map(|seconds| Awaited::Time { seconds, left: false }),
        _ => None,
    }
}

fn on_descriptor(pid: Pid, descriptor: i32, reads: bool, others: &mut Others) -> Option<Awaited> {
    let link = std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
    match fds::parse_link(link.as_os_str()) {
        fds::Target::Socket(inode) => others.of_socket(inode),
        fds::Target::Pipe(inode) => Some(Awaited::Pipe { reads, others: others.of_pipe(inode, reads)? }),
        fds::Target::Path(path) => Some(Awaited::File { path: path.to_string_lossy().into_owned() }),
        fds::Target::Anonymous(_) => None,
    }
}

fn path_of(pid: Pid, descriptor: i32) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// One descriptor that is waited for without a limit.
fn on_polled(pid: Pid, call: &Call, others: &mut Others) -> Option<Awaited> {
    let [address, number, limit, ..] = call.arguments;
    if number != 1 || limit as i32 >= 0 {
        return None;
    }
    let entry = memory::read(pid.number(), address, 4).ok()?;
    on_descriptor(pid, i32::from_ne_bytes(entry.try_into().ok()?), true, others)
}

/// Who is at the other end of what a process has open.
struct Others {
    pid: Pid,
    sockets: Vec<(u64, Awaited)>,
    /// Those asked for: all descriptors of all processes are looked through for each.
    pipes: BTreeMap<(u64, bool), Vec<Relative>>,
}

impl Others {
    fn of_socket(&self, inode: u64) -> Option<Awaited> {
        self.sockets.iter().find(|(other, _)| *other == inode).map(|(_, found)| found.clone())
    }

    /// Other processes that hold the other end of a pipe: the one that is written to if `reads`. `None` for all but a few.
    fn of_pipe(&mut self, inode: u64, reads: bool) -> Option<Vec<Relative>> {
        const PIPES: usize = 4;
        if !self.pipes.contains_key(&(inode, reads)) && self.pipes.len() >= PIPES {
            return None;
        }
        let pid = self.pid;
        Some(self.pipes.entry((inode, reads)).or_insert_with(|| other_ends(pid, inode, reads)).clone())
    }
}

fn other_ends(pid: Pid, inode: u64, reads: bool) -> Vec<Relative> {
    /// So many are enough for people.
    const FEW: usize = 3;
    /// `O_ACCMODE`; in it O_RDONLY is 0, O_WRONLY 1, O_RDWR 2.
    const MODE: u32 = 3;
    let holds = |other: &Pid| {
        let open = fds::list(*other).unwrap_or_default();
        open.iter().filter(|(_, target)| *target == fds::Target::Pipe(inode)).any(|(descriptor, _)| {
            let mode = fds::info(*other, *descriptor).map_or(0, |info| info.flags & MODE);
            if reads { mode != 0 } else { mode != 1 }
        })
    };
    let others = proc::processes().unwrap_or_default().into_iter().filter(|other| *other != pid);
    others.filter(holds).take(FEW).filter_map(relatives::read).collect()
}

/// `struct timespec`, in seconds.
fn time(pid: Pid, address: u64) -> Option<f64> {
    let bytes = memory::read(pid.number(), address, 16).ok()?;
    let (seconds, nanos) = bytes.split_at_checked(8)?;
    let seconds = i64::from_ne_bytes(seconds.try_into().ok()?);
    let nanos = i64::from_ne_bytes(nanos.try_into().ok()?);
    (seconds >= 0 && (0..1_000_000_000).contains(&nanos)).then(|| seconds as f64 + nanos as f64 / 1e9)
}

/// The threads by the ids that they have in their own pid namespace: there the C library knows them.
struct Siblings {
    inner: Vec<(i32, i32, String)>,
    same: bool,
    parent: Option<Pid>,
}

impl Siblings {
    fn of(facts: &Facts) -> Self {
        let same = facts.pids.len() < 2;
        let inner = |id: i32| {
            if same { Some(id) } else { status::of_thread(facts.pid, id).ok()?.pids.last().copied() }
        };
        let known = facts.threads.iter().filter_map(|thread| Some((inner(thread.id)?, thread.id, thread.name.clone())));
        let parent = status::read(facts.pid).ok().and_then(|status| status.parent);
        Self { inner: known.collect(), same, parent }
    }

    fn find(&self, inner: u32) -> Option<(i32, String)> {
        let inner = i32::try_from(inner).ok()?;
        self.inner.iter().find(|(known, ..)| *known == inner).map(|(_, id, name)| (*id, name.clone()))
    }
}

/// What the word says that a thread waits on (futex(2)). glibc's `pthread_join` waits on the id of the other thread; its
/// `pthread_mutex_t` has the lock, which is 2 while somebody waits, and two words later the owner's id; a mutex with priority
/// inheritance has the owner's id in the word itself.
fn on_word(pid: Pid, own: i32, call: &Call, siblings: &Siblings) -> Option<Awaited> {
    const COMMAND: u64 = 0x7f;
    const PRIVATE: u64 = 0x80;
    const WAIT: u64 = 0;
    const WAIT_BITSET: u64 = 9;
    const LOCK_PI: [u64; 2] = [6, 13];
    const OWNER: u32 = 0x3fff_ffff;
    const CONTENDED: u32 = 2;
    let [address, operation, expected, ..] = call.arguments;
    let words = memory::read(pid.number(), address, 12).ok()?;
    let word = |at: usize| words.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let (value, owner) = (word(0)?, word(8)?);
    let lock = |owner: u32| match siblings.find(owner) {
        Some((thread, name)) => Some(Awaited::Lock { thread, name, process: None }),
        // One in memory that processes share.
        None if operation & PRIVATE == 0 && siblings.same && owner > 1 => {
            let thread = i32::try_from(owner).ok()?;
            let process = relatives::read(process::thread_group(thread).ok()?)?;
            Some(Awaited::Lock { thread, name: process.name.clone(), process: Some(process) })
        }
        None => {
            let thread = i32::try_from(owner).ok().filter(|thread| siblings.same && *thread > 1)?;
            let parent = process::thread_group(thread).ok().filter(|group| Some(*group) == siblings.parent)?;
            Some(Awaited::LockAtFork { thread, parent: relatives::read(parent)? })
        }
    };
    let joined = || {
        let (thread, name) = siblings.find(value).filter(|(thread, _)| *thread != own)?;
        Some(Awaited::Thread { thread, name })
    };
    match operation & COMMAND {
        command if LOCK_PI.contains(&command) => lock(value & OWNER),
        WAIT | WAIT_BITSET if value != expected as u32 => None,
        // In a pid namespace of its own a thread may have that very number.
        WAIT | WAIT_BITSET if value == CONTENDED => lock(owner).or_else(joined),
        WAIT | WAIT_BITSET => joined(),
        _ => None,
    }
}
