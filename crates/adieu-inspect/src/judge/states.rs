//! What holds a process whatever the signal: it has ended, is frozen, stopped, traced, or sleeps in the kernel.

use adieu_core::signal::Signal;

use super::finding::{Cause, Finding, Question, Severity};
use super::reaction::is_deadly;
use crate::case::Case;
use crate::facts::Thread;

pub(super) fn zombie(case: &Case, _question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let others_run = facts.threads.iter().skip(1).any(|thread| !matches!(thread.state, 'Z' | 'X'));
    if !matches!(facts.state, 'Z' | 'X') || others_run {
        return None;
    }
    let (who, advice) = match &facts.parent {
        Some(parent) => (
            format!("its parent {} (pid {}) has not waited for it", parent.name, parent.pid),
            format!("nothing is left to stop: repair or end pid {}, and the entry goes away", parent.pid),
        ),
        None => ("its parent has not waited for it".to_owned(), "nothing is left to stop".to_owned()),
    };
    let sentence = format!("it has ended already (zombie): {who}");
    let finding = Finding::new(Cause::Zombie, Severity::Blocks, sentence).seen(facts, "stat", "state", facts.state);
    Some(
        match &facts.parent {
            Some(parent) => finding.seen(facts, "status", "PPid", parent.pid),
            None => finding,
        }
        .advise(advice),
    )
}

pub(super) fn kernel_thread(case: &Case, _question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    facts.kernel_thread.then(|| {
        Finding::new(Cause::KernelThread, Severity::Blocks, "it is a thread of the kernel: signals do not end it").seen(
            facts,
            "stat",
            "flags",
            "PF_KTHREAD",
        )
    })
}

pub(super) fn not_permitted(case: &Case, _question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    (!facts.permitted).then(|| {
        let sentence = format!("it belongs to user {}: this user may not send it signals", facts.user);
        Finding::new(Cause::NotPermitted, Severity::Blocks, sentence)
            .seen(facts, "status", "Uid", facts.user)
            .advise("ask again as that user or as root")
    })
}

pub(super) fn frozen(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let frozen = facts.frozen.as_ref().filter(|frozen| frozen.v1 || !is_deadly(facts, question.signal))?;
    let what = if frozen.v1 { "it does not even die of SIGKILL" } else { "its handlers do not run" };
    Some(
        Finding::new(Cause::Frozen, Severity::Blocks, format!("its cgroup is frozen: until it is thawed, {what}"))
            .seen_in(frozen.file.display().to_string(), "", &frozen.value)
            .advise(format!("thaw it: echo {} > {}", frozen.thaw, frozen.file.display())),
    )
}

pub(super) fn traced(case: &Case, _question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let tracer = facts.tracer.as_ref()?;
    let stopped = facts.threads.iter().any(|thread| thread.state == 't') || facts.state == 't';
    // A tracer that only watches (strace) lets it run.
    stopped.then(|| {
        let sentence = format!("{} (pid {}) traces it and holds it", tracer.name, tracer.pid);
        Finding::new(Cause::Traced, Severity::Blocks, sentence)
            .seen(facts, "status", "TracerPid", tracer.pid)
            .seen(facts, "stat", "state", facts.state)
            .advise(format!("let go of it in {} (detach or continue), or end pid {}", tracer.name, tracer.pid))
    })
}

pub(super) fn stopped(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let stopped = facts.state == 'T' && ![Signal::KILL, Signal::CONT].contains(&question.signal);
    stopped.then(|| {
        let sentence = format!("it is stopped (SIGSTOP, Ctrl-Z, or a background job that uses the terminal): {} waits until it is continued", question.signal);
        Finding::new(Cause::Stopped, Severity::Blocks, sentence)
            .seen(facts, "stat", "state", 'T')
            .advise(format!("kill -CONT {} after the signal; `adieu stop` does so", facts.pid))
    })
}

pub(super) fn dumps_core(case: &Case, _question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    facts.dumps_core.then(|| {
        Finding::new(Cause::DumpsCore, Severity::Blocks, "it is dying already and writes its core dump")
            .seen(facts, "status", "CoreDumping", 1)
            .advise("wait for the dump, or SIGKILL ends it without")
    })
}

pub(super) fn uninterruptible(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let stuck = |thread: &&Thread| thread.state == 'D' && !thread.moved;
    let thread = facts.threads.iter().find(stuck)?;
    let vfork = waits_for_vfork(thread);
    if vfork && is_deadly(facts, question.signal) {
        return None;
    }
    let (on, advice) = if vfork {
        let child = facts.children.last().map(|child| format!(" {} (pid {})", child.name, child.pid));
        let child = child.unwrap_or_default();
        (
            format!("until its child{child} has started a program or ended (vfork)"),
            "end that child, or SIGKILL".to_owned(),
        )
    } else {
        let what = hangs_on(thread);
        (what, "what it waits for must answer (a disk, a network file system); no signal ends such a sleep".to_owned())
    };
    let name = if thread.id == facts.pid.number() {
        "its main thread".to_owned()
    } else {
        format!("its thread {}", thread.id)
    };
    let sentence = format!("{name} sleeps uninterruptibly {on}");
    let mut finding = Finding::new(Cause::Uninterruptible, Severity::Blocks, sentence).seen(
        facts,
        &format!("task/{}/stat", thread.id),
        "state",
        'D',
    );
    if let Some(place) = thread.sleeps_in.as_ref().or(thread.stack.first()) {
        finding = finding.seen(facts, &format!("task/{}/wchan", thread.id), "", place);
    }
    Some(finding.advise(advice))
}

fn waits_for_vfork(thread: &Thread) -> bool {
    let in_stack = thread.stack.iter().chain(&thread.sleeps_in).any(|place| place.contains("vfork"));
    in_stack || thread.call.and_then(|call| call.name).is_some_and(|name| name == "vfork")
}

fn hangs_on(thread: &Thread) -> String {
    let call = thread.call.map(|call| call.name.map_or_else(|| format!("system call {}", call.number), str::to_owned));
    match (call, &thread.sleeps_in) {
        (Some(call), Some(place)) => format!("in {call} ({place})"),
        (Some(call), None) => format!("in {call}"),
        (None, Some(place)) => format!("in the kernel's {place}"),
        (None, None) => "in the kernel".to_owned(),
    }
}
