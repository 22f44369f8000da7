//! What the process has set up for the signal: default, ignored, blocked, caught.

use adieu_core::signal::Signal;

use super::finding::{Cause, Finding, Question, Severity, mask};
use super::reaction::{Disposition, disposition, ends_by_default, handles};
use crate::case::Case;
use crate::facts::bit;
use crate::runtime::Effect;

pub(super) fn init_without_handler(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let signal = question.signal;
    let without =
        disposition(facts, signal) == Disposition::Default && signal.is_catchable() && !handles(facts, signal);
    if !facts.is_init() || !without || !ends_by_default(signal) {
        return None;
    }
    let what = if case.runtime.is_some_and(|runtime| runtime.shell) {
        "it is a shell as process 1 of its pid namespace: the kernel drops signals that it has no trap for, and it passes none on"
    } else {
        "it is process 1 of its pid namespace: the kernel drops signals that such a process has no handler for"
    };
    let pids: Vec<String> = facts.pids.iter().map(ToString::to_string).collect();
    Some(
        Finding::new(Cause::InitWithoutHandler, Severity::Blocks, what)
            .seen(facts, "status", "NSpid", pids.join(" "))
            .seen(facts, "status", "SigCgt", mask(facts.caught))
            .advise(format!(
                "start it under an init (`adieu run -- ...`, docker run --init), or install a handler for {signal}"
            )),
    )
}

pub(super) fn ignored(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let signal = question.signal;
    if disposition(facts, signal) != Disposition::Ignored {
        return None;
    }
    let title = facts.arguments.first().map_or("", String::as_str);
    if let (Some(words), Some(parent)) =
        (case.runtime.and_then(|runtime| runtime.left_to_master(title)), facts.parent.as_ref())
    {
        let sentence = format!("it ignores {signal} on purpose: {words}");
        let severity = if question.asked.is_some() { Severity::Blocks } else { Severity::Note };
        return Some(
            Finding::new(Cause::LeftToMaster, severity, sentence)
                .seen(facts, "status", "SigIgn", mask(facts.ignored))
                .advise(format!("stop the server: adieu stop {}", parent.pid)),
        );
    }
    let (origin, advice) = origin(case, signal);
    let as_it_should = case.is_shell_at_a_prompt() && signal == Signal::TERM && question.asked.is_none();
    let severity = if as_it_should { Severity::Note } else { Severity::Blocks };
    let finding = Finding::new(Cause::Ignored, severity, format!("it ignores {signal}{origin}"));
    let finding = finding.seen(facts, "status", "SigIgn", mask(facts.ignored));
    let inherited = facts.parent.as_ref().filter(|_| facts.parent_ignores & bit(signal) != 0);
    Some(
        match inherited {
            Some(parent) => {
                finding.seen_in(format!("/proc/{}/status", parent.pid), "SigIgn", mask(facts.parent_ignores))
            }
            None => finding,
        }
        .advise(advice),
    )
}

/// Where it comes from that a signal is ignored: `execve` keeps it, so mostly from whoever started the program.
fn origin(case: &Case, signal: Signal) -> (String, String) {
    let facts = &case.facts;
    let both = bit(Signal::INT) | bit(Signal::QUIT);
    let parent = facts.parent.as_ref().filter(|_| facts.parent_ignores & bit(signal) != 0);
    let start_clean = "start it with `adieu run -- ...`, which gives it default dispositions".to_owned();
    if [Signal::INT, Signal::QUIT].contains(&signal) && facts.ignored & both == both {
        let text = ": a non-interactive shell starts what it puts into the background (`command &`) like this";
        return (text.to_owned(), format!("send SIGTERM, or {start_clean}"));
    }
    if signal == Signal::HUP && facts.ignored & both == 0 {
        return (
            ": it was started with nohup, or protects itself in the same way".to_owned(),
            "send SIGTERM".to_owned(),
        );
    }
    if case.is_shell_at_a_prompt() && signal == Signal::TERM {
        return (": interactive shells do".to_owned(), "send SIGHUP, as a closing terminal does".to_owned());
    }
    if let Some(parent) = parent {
        let text = format!(", and so does its parent {} (pid {}): it has inherited that", parent.name, parent.pid);
        return (text, start_clean);
    }
    let text = ": it has asked for that itself, or whoever started it did (trap '' in a shell, SIG_IGN)".to_owned();
    (text, format!("let it handle {signal}, or {start_clean}"))
}

pub(super) fn blocked(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let (signal, bit) = (question.signal, bit(question.signal));
    let reads = facts.fetched() & bit != 0;
    let in_handler =
        facts.threads.iter().any(|thread| thread.handler.is_some_and(|handler| handler.may_be_for(signal)));
    let blocked = facts.blocked_everywhere() & bit != 0 && signal.is_catchable();
    // Sent and not waiting: a thread has fetched it (sigwait(3)), whatever it made of it.
    let fetched = question.asked.is_some() && facts.waiting() & bit == 0;
    // It may let its handler run whenever it comes round, between two waits: only one that waits is held back for certain.
    let comes_round = facts.caught & bit != 0
        && facts.waiting() & bit == 0
        && facts.threads.iter().any(|thread| thread.moved && thread.handler.is_none());
    if comes_round || !blocked || reads || in_handler || fetched || disposition(facts, signal) == Disposition::Ignored {
        return None;
    }
    let threads = match facts.threads.len() {
        1 => "it blocks".to_owned(),
        number => format!("all {number} threads of it block"),
    };
    let waits = if facts.waiting() & bit != 0 { ", where one is waiting" } else { "" };
    let origin = if facts.caught & bit == 0 {
        ": it has no handler either, so the mask was handed down by whoever started it"
    } else {
        " although it has a handler"
    };
    let main = facts.main().map_or(0, |main| main.blocked);
    let finding = Finding::new(Cause::Blocked, Severity::Blocks, format!("{threads} {signal}{waits}{origin}")).seen(
        facts,
        "status",
        "SigBlk",
        mask(main),
    );
    let finding = if facts.waiting() & bit != 0 {
        finding.seen(facts, "status", "ShdPnd", mask(facts.waiting()))
    } else {
        finding
    };
    Some(
        finding.advise(
            "start it with `adieu run -- ...`, which gives it an empty mask, or unblock the signal in the program",
        ),
    )
}

pub(super) fn not_the_graceful_one(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let runtime = case.runtime?;
    let (effect, words) = runtime.effect(question.signal)?;
    if runtime.graceful == question.signal || !matches!(effect, Effect::Fast | Effect::WaitsForClients) {
        return None;
    }
    let (label, signal, graceful) = (runtime.label, question.signal, runtime.graceful);
    let sentence = format!("{label} on {signal}: {words}");
    let better = runtime.effect(graceful).map_or_else(String::new, |(_, words)| format!(" ({words})"));
    Some(
        Finding::new(Cause::NotTheGracefulOne, Severity::Note, sentence)
            .seen(facts, "cmdline", "", facts.title())
            .advise(format!("the graceful one is {graceful}{better}")),
    )
}

pub(super) fn what_it_does(case: &Case, question: &Question) -> Option<Finding> {
    let facts = &case.facts;
    let signal = question.signal;
    let known = case.runtime.and_then(|runtime| Some((runtime, runtime.effect(signal)?)));
    let how = |word: &str| match known {
        Some((runtime, (_, words))) => format!("{word}: {} {words}", runtime.label),
        None => word.to_owned(),
    };
    let (cause, sentence) = match disposition(facts, signal) {
        _ if !signal.is_catchable() => (Cause::EndsAtOnce, format!("{signal} cannot be handled")),
        // Rules of their own speak of these.
        Disposition::Ignored => return None,
        Disposition::Default if facts.is_init() && !handles(facts, signal) && ends_by_default(signal) => return None,
        Disposition::Caught => {
            let ends =
                known.is_none_or(|(_, (effect, _))| !matches!(effect, Effect::Reload | Effect::Dump | Effect::Nothing));
            let cause = if ends { Cause::Handled } else { Cause::DoesNotEnd };
            (cause, how(&format!("it handles {signal}")))
        }
        Disposition::Default if handles(facts, signal) => {
            let by_descriptor = facts.read_from_descriptor & bit(signal) != 0;
            let how = if by_descriptor { "reads it from a descriptor (signalfd)" } else { "waits for it (sigwait)" };
            (Cause::Handled, format!("it has no handler for {signal} and {how}"))
        }
        Disposition::Default if ends_by_default(signal) => {
            let cut = facts.connections.iter().filter(|connection| connection.inbound).count();
            let cut = if cut == 0 { String::new() } else { format!(", {cut} connections with it") };
            (Cause::EndsAtOnce, format!("it has no handler for {signal}: the kernel ends it at once{cut}"))
        }
        Disposition::Default => {
            (Cause::DoesNotEnd, format!("{signal} does not end a process that has no handler for it"))
        }
    };
    let (field, value) = ("SigCgt", mask(facts.caught));
    Some(Finding::new(cause, Severity::Note, sentence).seen(facts, "status", field, value))
}
