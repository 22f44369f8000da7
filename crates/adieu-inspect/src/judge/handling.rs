//! The signal is delivered; what keeps the process from acting on it.

use std::time::Duration;

use adieu_core::signal::Signal;

use super::doing::{call, doing, summary};
use super::finding::{Cause, Finding, Question, Severity, mask};
use super::reaction::{Disposition, disposition};
use super::waiting::{child_finding, waits_for_children};
use crate::case::Case;
use crate::facts::{Facts, Relative, Thread, bit};

/// Where an event loop or a sleeping program waits: there a signal wakes it.
const LOOPS: &[&str] = &["epoll_wait", "epoll_pwait", "io_uring_enter", "poll", "ppoll", "select", "pselect6"];

pub(super) fn handler_stuck(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let in_it = |thread: &&Thread| {
        thread.handler.is_some_and(|handler| handler.may_be_for(question.signal)) && (!thread.moved || thread.busy)
    };
    let thread = facts.threads.iter().find(in_it)?;
    let signal = question.signal;
    let sender = thread.handler.and_then(|handler| handler.sender).filter(|sender| *sender > 0);
    let by = sender.map_or_else(String::new, |sender| format!(" (sent by pid {sender})"));
    let sentence = format!("its handler for {signal} has begun{by} and does not return: it {}", doing(thread));
    let finding = Finding::new(Cause::HandlerStuck, Severity::Blocks, sentence)
        .seen(facts, &format!("task/{}/syscall", thread.id), "", call(thread))
        .seen(facts, &format!("task/{}/status", thread.id), "SigBlk", mask(thread.blocked));
    Some(finding.advise(
        "the handler takes a lock that its own thread holds, or does more than signal-safety(7) permits; \
         let it set a flag only",
    ))
}

pub(super) fn shutdown_hooks(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    if case.runtime_id() != "jvm" {
        return None;
    }
    let name = format!("{} handler", question.signal);
    let handler = facts.threads.iter().find(|thread| name.starts_with(&thread.name) && thread.name.len() > 10)?;
    let sentence = format!("Java has {} and runs its shutdown hooks, which have not ended", question.signal);
    Some(
        Finding::new(Cause::ShutdownHooks, Severity::Blocks, sentence)
            .seen(facts, &format!("task/{}/comm", handler.id), "", &handler.name)
            .advise(format!(
                "the thread dump names the hook and where it waits: jstack {0}, or `adieu stop --dump {0}`; give the hook a time-out",
                facts.pid
            )),
    )
}

/// A shell runs the trap only once the command in its foreground has ended (bash(1), SIGNALS).
pub(super) fn shell_waits(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let shell = case.runtime.is_some_and(|runtime| runtime.shell);
    let main = facts.main()?;
    let reads_output = main.sleeps_in.as_deref().is_some_and(|place| place.contains("pipe_read"));
    let waits = waits_for_children(main) || reads_output;
    if !shell || disposition(facts, question.signal) != Disposition::Caught || !waits {
        return None;
    }
    // Once it was asked, the trap would have run.
    let asked = question.asked.is_some();
    let in_the_way = |child: &&Relative| child.state != 'Z' && (asked || is_in_foreground(facts, child));
    let child = facts.children.iter().find(in_the_way)?;
    if asked && is_in_background(facts, child) {
        let sentence = format!(
            "it is a shell whose trap for {} has run, or runs, and it waits for {} (pid {}), which it has started in the background",
            question.signal, child.name, child.pid
        );
        return Some(child_finding(facts, child, sentence).advise(format!(
            "let the trap stop what the script has started, and exit; for now: adieu stop {}",
            child.pid
        )));
    }
    let sentence = format!(
        "it is a shell with a trap for {}, which it runs only once {} (pid {}) has ended",
        question.signal, child.name, child.pid
    );
    Some(child_finding(facts, child, sentence).advise(format!(
        "put the command into the background and `wait` for it, replace the shell by it (exec), or stop pid {}",
        child.pid
    )))
}

/// Whether a shell waits for this child as for a command and not by `wait`, which a trap interrupts. From outside both look
/// the same; but what a script puts into the background starts with SIGINT ignored and reads from /dev/null (POSIX 2.11).
/// In doubt it is not.
fn is_in_foreground(facts: &Facts, child: &Relative) -> bool {
    let interrupt = bit(Signal::INT);
    if (child.ignored | child.caught) & interrupt == 0 {
        return true;
    }
    let same_input = child.input.is_some() && child.input == facts.input;
    child.ignored & interrupt == 0 && same_input && child.input.as_deref() != Some("/dev/null")
}

/// Whether it was started by `command &`, for certain: `wait` is then the only way to wait for it, and a trap interrupts that.
fn is_in_background(facts: &Facts, child: &Relative) -> bool {
    let interrupt = bit(Signal::INT);
    child.ignored & interrupt != 0 && facts.ignored & interrupt == 0
}

pub(super) fn shell_keeps(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let shell = case.runtime.is_some_and(|runtime| runtime.shell);
    let default = disposition(facts, question.signal) == Disposition::Default && question.signal.is_catchable();
    let child = facts.children.iter().find(|child| child.state != 'Z')?;
    (shell && default && !facts.is_init()).then(|| {
        let sentence = format!(
            "it is a shell: it ends and does not pass {} on to {} (pid {}), which goes on",
            question.signal, child.name, child.pid
        );
        Finding::new(Cause::ShellKeepsSignal, Severity::Warning, sentence)
            .seen(facts, "exe", "", facts.program.as_deref().unwrap_or("?"))
            .seen_in(format!("/proc/{}/status", child.pid), "PPid", facts.pid)
            .advise(format!(
                "let the script replace itself (exec {}), stop the child instead, or `adieu stop --tree {}`",
                child.name, facts.pid
            ))
    })
}

/// So many seconds long a program that computes may be on its start.
const STARTING: f64 = 5.0;

pub(super) fn main_thread(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let runtime = case.runtime.filter(|runtime| runtime.main_thread_handles)?;
    let main = facts.main()?;
    if disposition(facts, question.signal) != Disposition::Caught {
        return None;
    }
    let (signal, label) = (question.signal, runtime.label);
    // One that answers its clients meanwhile comes back to its loop.
    if main.busy && !facts.answers {
        // Where handlers run between any two steps, a computation of its own delays none; one long call into C does.
        let (severity, when) = match question.asked {
            Some(_) => (Severity::Blocks, ""),
            None if facts.age < STARTING => (Severity::Note, ", as programs do that start"),
            None if runtime.event_loop => (Severity::Blocks, ""),
            None => (Severity::Note, ": if that is one long call into C, none runs before it ends"),
        };
        let sentence = format!("{label} runs handlers on its main thread, which computes without a pause{when}");
        return Some(
            Finding::new(Cause::MainThreadBusy, severity, sentence)
                .seen(facts, "syscall", "", "running")
                .seen(facts, "stat", "utime", format!("rising all of {} ms", facts.watched_ms))
                .advise(format!("{signal} is looked at when that computation ends; move it off the main thread")),
        );
    }
    let waits = main.call.and_then(|call| call.name).filter(|name| runtime.event_loop && !LOOPS.contains(name))?;
    (!main.moved).then(|| {
        let sentence =
            format!("{label} runs handlers on its main thread, which waits in {waits} instead of its event loop");
        Finding::new(Cause::MainThreadStuck, Severity::Blocks, sentence)
            .seen(facts, "syscall", "", call(main))
            .seen(facts, "wchan", "", main.sleeps_in.as_deref().unwrap_or("?"))
            .advise(format!(
                "{signal} is looked at when that call returns; do not wait synchronously on the main thread"
            ))
    })
}

/// Asked already, and nothing else explains it.
pub(super) fn no_effect(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let asked = question.asked?;
    let signal = question.signal;
    if disposition(facts, signal) == Disposition::Ignored || facts.waiting() & bit(signal) != 0 {
        return None;
    }
    let after = match asked.as_secs_f64().round() as u64 {
        0 => String::new(),
        seconds => format!(" for {}", adieu_core::duration::format(Duration::from_secs(seconds))),
    };
    let sentence = format!("it has had {signal}{after} and goes on: {}", summary(facts));
    let mut finding =
        Finding::new(Cause::NoEffect, Severity::Blocks, sentence).seen(facts, "status", "SigCgt", mask(facts.caught));
    if let Some(main) = facts.main() {
        finding = finding.seen(facts, "syscall", "", call(main));
    }
    Some(finding.advise(what_then(case)))
}

/// What to do about one that goes on, by what is known of such programs and by what its main thread waits in.
fn what_then(case: &Case) -> &'static str {
    /// These are taken up again after a handler that was installed with SA_RESTART (signal(7)).
    const TAKEN_UP_AGAIN: &[&str] =
        &["accept", "accept4", "read", "readv", "recvfrom", "recvmsg", "flock", "fcntl", "wait4", "waitid", "futex"];
    let known = case.runtime.map_or("", |runtime| runtime.goes_on);
    let call = case.facts.main().and_then(|main| main.call?.name).unwrap_or_default();
    if !known.is_empty() {
        known
    } else if TAKEN_UP_AGAIN.contains(&call) {
        "a handler that only sets a flag does not end such a call, which the kernel takes up again (SA_RESTART, as by \
         signal(3)): install it without that flag, or let it wake the program up by a pipe or signalfd"
    } else {
        "its handler does not lead to its end; what its threads do may tell why (`adieu stop --dump`)"
    }
}
