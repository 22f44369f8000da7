//! The threads of a process: masks, what each waits for, and whether it moves.

use std::time::Duration;

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_linux::memory;
use adieu_linux::proc::{self, Unread, frame, stat, status, syscall, words};

use super::{Call, Handler, Thread, Unreadable};

/// Beyond this many threads only masks are read.
const DETAILED: usize = 256;

pub(super) fn read(pid: Pid, unreadable: &mut Vec<Unreadable>) -> Vec<Thread> {
    let mut denied = false;
    let ids = proc::threads(pid).unwrap_or_else(|_| vec![pid.number()]);
    let mut found = Vec::with_capacity(ids.len());
    for (at, id) in ids.into_iter().enumerate() {
        // One that has ended since it was listed.
        let Some(mut thread) = masks_of(pid, id) else { continue };
        if at < DETAILED {
            denied |= details(pid, &mut thread);
        }
        found.push(thread);
    }
    if denied {
        unreadable.push(Unreadable { file: "syscall".to_owned(), why: Unread::Denied.to_string() });
    }
    found.sort_by_key(|thread| (thread.id != pid.number(), thread.id));
    found
}

/// The masks of all threads and nothing else.
pub(super) fn masks(pid: Pid) -> Vec<Thread> {
    let ids = proc::threads(pid).unwrap_or_else(|_| vec![pid.number()]);
    ids.into_iter().filter_map(|id| masks_of(pid, id)).collect()
}

fn masks_of(pid: Pid, id: i32) -> Option<Thread> {
    let status = status::of_thread(pid, id).ok()?;
    Some(Thread {
        id,
        name: words::comm(pid, id).unwrap_or_default(),
        state: status.state,
        blocked: status.blocked,
        pending: status.pending,
        moved: true,
        ..Thread::default()
    })
}

/// True when it may not be looked at closely.
fn details(pid: Pid, thread: &mut Thread) -> bool {
    thread.sleeps_in = words::wchan(pid, thread.id);
    thread.stack = words::stack(pid, thread.id);
    let stack = match syscall::read(pid, thread.id) {
        Ok(syscall::Call::Waiting { number, arguments, stack }) => {
            let [first, ..] = arguments;
            thread.call = Some(Call { name: syscall::name(number), number, first, arguments });
            if syscall::name(number) == Some("rt_sigtimedwait") {
                let set = memory::read(pid.number(), first, size_of::<u64>()).ok();
                thread.awaits = set.and_then(|set| set.try_into().ok()).map_or(0, u64::from_ne_bytes);
            }
            stack
        }
        Ok(syscall::Call::Outside { stack }) => stack,
        Ok(syscall::Call::Running) => return false,
        Err(error) => return error == Unread::Denied,
    };
    if thread.blocked != 0
        && let Ok(Some(frame)) = frame::read(pid, stack, thread.blocked)
    {
        let (told, sender) = frame.sender.unzip();
        // Without that, of the signals that it blocks the one that was sent: mostly there is no other.
        let signal =
            told.or_else(|| (frame.blocks.count_ones() == 1).then(|| frame.blocks.trailing_zeros() as i32 + 1));
        thread.handler = Some(Handler { signal: signal.and_then(Signal::from_number), blocks: frame.blocks, sender });
    }
    false
}

/// What a thread had done by a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    state: char,
    /// How often it has left the processor, of its own will or at all.
    waits: u64,
    switches: u64,
    user: u64,
    system: u64,
}

impl Work {
    fn of(pid: Pid, id: i32) -> Option<Self> {
        let status = status::of_thread(pid, id).ok()?;
        let stat = stat::parse(&proc::bytes(pid, &format!("task/{id}/stat")).ok()?)?;
        Some(Self {
            state: status.state,
            waits: status.waits,
            switches: status.switches,
            user: stat.user_ticks,
            system: stat.system_ticks,
        })
    }

    /// Whether it has computed all the time since `before`: always able to run, never in the kernel for long. Not measured by
    /// how much it got of the processor, which depends on who else wants it.
    fn computes_since(&self, before: &Self) -> bool {
        let always_runs = self.state == 'R' && before.state == 'R' && self.waits == before.waits;
        let (user, system) = (self.user.saturating_sub(before.user), self.system.saturating_sub(before.system));
        // A tick that finds the processor at an interrupt counts as the system's.
        always_runs && user > 0 && user >= 4 * system
    }
}

/// So often masks are looked at: programs block signals for a moment when they fork.
const LOOKS: u32 = 5;

/// Forgets what a thread does not block any more. One that has ended blocks what it did.
pub(super) fn keep_blocked(pid: Pid, threads: &mut [Thread]) {
    for thread in threads.iter_mut().filter(|thread| thread.blocked != 0 && thread.handler.is_none()) {
        thread.blocked &= status::of_thread(pid, thread.id).map_or(u64::MAX, |status| status.blocked);
    }
}

/// Watches for a while which threads run.
pub(super) fn look_again(pid: Pid, threads: &mut [Thread], window: Duration) {
    let before: Vec<_> = threads.iter().map(|thread| Work::of(pid, thread.id)).collect();
    for _ in 0..LOOKS {
        std::thread::sleep(window / LOOKS);
        keep_blocked(pid, threads);
    }
    for (thread, before) in threads.iter_mut().zip(before) {
        if let (Some(before), Some(after)) = (before, Work::of(pid, thread.id)) {
            thread.moved = before != after;
            thread.busy = after.computes_since(&before);
        }
    }
}
