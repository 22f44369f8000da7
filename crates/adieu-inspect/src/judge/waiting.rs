//! Asked already, and it waits for somebody who can be named: a child, the holder of a lock, another thread, a peer.

use super::doing::{call, doing};
use super::finding::{Cause, Finding, Question, Severity};
use super::reaction::handles;
use crate::case::Case;
use crate::facts::{Awaited, Facts, Relative, Thread, bit};

/// Asked already: it waits for a child of its own.
pub(super) fn child(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    question.asked?;
    let shell = case.runtime.is_some_and(|runtime| runtime.shell);
    if shell || !handles(facts, question.signal) {
        return None;
    }
    let child = facts.children.iter().find(|child| child.state != 'Z')?;
    let waiter = facts.threads.iter().find(|thread| waits_for_children(thread))?;
    let sentence = format!("it has {} and waits for its child {} (pid {})", question.signal, child.name, child.pid);
    Some(
        child_finding(facts, child, sentence)
            .seen(facts, &format!("task/{}/syscall", waiter.id), "", call(waiter))
            .advise(format!("see why that one does not end: adieu doctor {}", child.pid)),
    )
}

/// Asked already: its main thread waits for somebody who can be named.
pub(super) fn main_thread(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    question.asked?;
    // Java's main thread waits for Java's own first thread all its life.
    if case.runtime_id() == "jvm" || !handles(facts, question.signal) || facts.waiting() & bit(question.signal) != 0 {
        return None;
    }
    let main = facts.main().filter(|main| !main.moved)?;
    let sibling = |id: i32| facts.threads.iter().find(|thread| thread.id == id);
    let (cause, advice) = advised(main, main.waits_for.as_ref()?)?;
    let mut sentence = format!("it has had {} and its main thread {}", question.signal, doing(main));
    if let Some(Awaited::Thread { thread, .. } | Awaited::Lock { thread, process: None, .. }) = &main.waits_for
        && let Some(other) = sibling(*thread).filter(|other| other.id != main.id)
    {
        sentence.push_str(&format!(", which {}", doing(other)));
    }
    let finding = Finding::new(cause, Severity::Blocks, sentence).seen(facts, "syscall", "", call(main));
    let finding = match &main.waits_for {
        Some(Awaited::FileLock { .. }) => finding.seen_in("/proc/locks".to_owned(), "->", facts.pid),
        _ => finding,
    };
    Some(finding.advise(advice))
}

/// What it means that a main thread waits for this, and what to do about it; `None` for what is no hold-up.
fn advised(main: &Thread, awaited: &Awaited) -> Option<(Cause, String)> {
    Some(match awaited {
        Awaited::FileLock { holder: Some(holder), .. } => {
            (Cause::WaitsForLock, format!("see why that one does not let go of it: adieu doctor {}", holder.pid))
        }
        Awaited::FileLock { holder: None, file } => {
            (Cause::WaitsForLock, format!("see who has it open, and end that one: fuser {file}"))
        }
        Awaited::Lock { process: Some(process), .. } => {
            (Cause::WaitsForLock, format!("see why that one does not let go of it: adieu doctor {}", process.pid))
        }
        Awaited::Lock { thread, .. } if *thread == main.id => (
            Cause::WaitsForLock,
            "do not take a lock twice in one thread; a destructor, an exit handler or a signal handler may do so"
                .to_owned(),
        ),
        Awaited::Lock { .. } => {
            (Cause::WaitsForLock, "let that thread give the lock up before it waits for anything else".to_owned())
        }
        Awaited::LockAtFork { .. } => (
            Cause::WaitsForLock,
            "a program with threads must start another program right after fork (fork(2)): use posix_spawn, or fork before \
             there are threads"
                .to_owned(),
        ),
        Awaited::Thread { .. } => {
            (Cause::WaitsForThread, "tell that thread to end before it is waited for, or do not wait for it".to_owned())
        }
        Awaited::Pipe { others, .. } => {
            let advice = match others.first() {
                Some(other) => format!(
                    "end pid {}, or let it close the pipe (O_CLOEXEC keeps descriptors from children)",
                    other.pid
                ),
                None => "let it close its own copy of the other end".to_owned(),
            };
            (Cause::WaitsForPeer, advice)
        }
        Awaited::Peer { .. } => {
            (Cause::WaitsForPeer, "give that wait a time-out, or end the connection from the other side".to_owned())
        }
        Awaited::Client { .. } | Awaited::File { .. } | Awaited::Time { .. } => return None,
    })
}

pub(super) fn child_finding(facts: &Facts, child: &Relative, sentence: String) -> Finding {
    Finding::new(Cause::WaitsForChild, Severity::Blocks, sentence)
        .seen(facts, "wchan", "", facts.main().and_then(|main| main.sleeps_in.as_deref()).unwrap_or("?"))
        .seen_in(format!("/proc/{}/status", child.pid), "PPid", facts.pid)
}

pub(super) fn waits_for_children(thread: &Thread) -> bool {
    let by_call = thread.call.and_then(|call| call.name).is_some_and(|name| matches!(name, "wait4" | "waitid"));
    by_call || thread.sleeps_in.as_deref() == Some("do_wait")
}
