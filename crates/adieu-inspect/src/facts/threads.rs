//! The threads of a process: masks, what each waits for, and whether it moves.

use std::time::Duration;

use adieu_core::signal::Signal;
use adieu_linux::proc::{self, Unread, frame, stat, status, syscall, words};

use super::{Call, Handler, Thread, Unreadable};

/// Beyond this many threads only masks are read.
const DETAILED: usize = 256;

pub(super) fn read(pid: i32, unreadable: &mut Vec<Unreadable>) -> Vec<Thread> {
    let mut denied = false;
    let ids = proc::threads(pid).unwrap_or_else(|_| vec![pid]);
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
    found.sort_by_key(|thread| (thread.id != pid, thread.id));
    found
}

/// The masks of all threads and nothing else.
pub(super) fn masks(pid: i32) -> Vec<Thread> {
    let ids = proc::threads(pid).unwrap_or_else(|_| vec![pid]);
    ids.into_iter().filter_map(|id| masks_of(pid, id)).collect()
}

fn masks_of(pid: i32, id: i32) -> Option<Thread> {
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
fn details(pid: i32, thread: &mut Thread) -> bool {
    thread.sleeps_in = words::wchan(pid, thread.id);
    thread.stack = words::stack(pid, thread.id);
    let stack = match syscall::read(pid, thread.id) {
        Ok(syscall::Call::Waiting { number, arguments: [first, ..], stack }) => {
            thread.call = Some(Call { name: syscall::name(number), number, first });
            stack
        }
        Ok(syscall::Call::Outside { stack }) => stack,
        Ok(syscall::Call::Running) => return false,
        Err(error) => return error == Unread::Denied,
    };
    if thread.id == pid || thread.blocked != 0 {
        let frame = frame::read(pid, stack).ok().flatten();
        thread.handler =
            frame.and_then(|frame| Some(Handler { signal: Signal::from_number(frame.signal)?, sender: frame.sender }));
    }
    false
}

/// What a thread had done by a moment.
fn work(pid: i32, id: i32) -> Option<(u64, u64)> {
    let switches = status::of_thread(pid, id).ok()?.switches;
    let ticks = stat::parse(&proc::bytes(pid, &format!("task/{id}/stat")).ok()?)?.cpu_ticks;
    Some((switches, ticks))
}

/// Watches for a while which threads run.
pub(super) fn look_again(pid: i32, threads: &mut [Thread], window: Duration) {
    let before: Vec<_> = threads.iter().map(|thread| work(pid, thread.id)).collect();
    std::thread::sleep(window);
    let window_ticks = window.as_millis() as u64 * stat::ticks_per_second() / 1000;
    for (thread, before) in threads.iter_mut().zip(before) {
        let (Some(before), Some(after)) = (before, work(pid, thread.id)) else {
            continue;
        };
        thread.moved = before != after;
        // A busy machine gives it less than all of the time.
        let used = after.1.saturating_sub(before.1);
        thread.busy = used > 0 && used * 4 >= window_ticks && syscall_is_running(pid, thread.id);
    }
}

fn syscall_is_running(pid: i32, id: i32) -> bool {
    matches!(syscall::read(pid, id), Ok(syscall::Call::Running) | Err(_))
}
