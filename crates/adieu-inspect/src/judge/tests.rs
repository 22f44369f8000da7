use std::time::Duration;

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;

use super::*;
use crate::facts::{Call, Facts, Handler, Relative, Thread, bit};

const TERM: Question = Question { signal: Signal::TERM, asked: None };

/// A process that handles SIGTERM and waits in its event loop.
fn healthy() -> Facts {
    let call = Call { name: Some("epoll_wait"), ..Call::default() };
    Facts {
        pids: vec![7],
        state: 'S',
        caught: bit(Signal::TERM),
        permitted: true,
        threads: vec![Thread { id: 7, state: 'S', call: Some(call), ..Thread::default() }],
        ..Facts::of(Pid::new(7))
    }
}

fn first(facts: &Facts, question: &Question) -> (Cause, Severity) {
    let findings = judge(&Case::of(facts.clone()), question);
    let first = findings.first().expect("never empty");
    assert!(!first.sentence.is_empty() && !first.evidence.is_empty(), "{first:?}");
    assert!(first.severity == Severity::Note || !first.advice.is_empty() || first.cause == Cause::KernelThread);
    (first.cause, first.severity)
}

#[test]
fn a_healthy_process_is_left_alone() {
    assert_eq!(first(&healthy(), &TERM), (Cause::Handled, Severity::Note));
    let default = Facts { caught: 0, ..healthy() };
    assert_eq!(first(&default, &TERM), (Cause::EndsAtOnce, Severity::Note));
    let by_descriptor = Facts { caught: 0, read_from_descriptor: bit(Signal::TERM), ..blocks(healthy()) };
    assert_eq!(first(&by_descriptor, &TERM), (Cause::Handled, Severity::Note));
}

fn blocks(mut facts: Facts) -> Facts {
    facts.threads.iter_mut().for_each(|thread| thread.blocked = bit(Signal::TERM));
    facts
}

#[test]
fn one_thread_that_lets_it_through_is_enough() {
    let mut facts = blocks(healthy());
    assert_eq!(first(&facts, &TERM).0, Cause::Blocked);
    facts.threads.push(Thread { id: 8, state: 'S', ..Thread::default() });
    assert_eq!(first(&facts, &TERM).0, Cause::Handled);
}

#[test]
fn a_signal_that_was_sent_and_does_not_wait_was_fetched() {
    let asked = Question { asked: Some(std::time::Duration::from_secs(1)), ..TERM };
    let mut facts = Facts { caught: 0, ..blocks(healthy()) };
    assert_eq!(first(&facts, &asked).0, Cause::NoEffect);
    facts.pending = bit(Signal::TERM);
    assert_eq!(first(&facts, &asked).0, Cause::Blocked);
}

#[test]
fn a_part_of_a_server_that_ignores_the_stop_on_purpose_is_in_good_health() {
    let part = |title: &str| {
        let mut facts = Facts { ignored: bit(Signal::TERM), arguments: vec![title.to_owned()], ..healthy() };
        facts.parent = Some(Relative::of(Pid::new(6)));
        facts
    };
    let checkpointer = part("postgres: 15/main: checkpointer ");
    assert_eq!(first(&checkpointer, &TERM), (Cause::LeftToMaster, Severity::Note));
    let asked = Question { asked: Some(std::time::Duration::from_secs(2)), ..TERM };
    assert_eq!(first(&checkpointer, &asked), (Cause::LeftToMaster, Severity::Blocks));
    assert_eq!(first(&part("postgres: adieu adieu [local] idle"), &TERM).0, Cause::Ignored);
    assert_eq!(first(&part("gunicorn: worker [checkpointer]"), &TERM).0, Cause::Ignored);
}

#[test]
fn a_mask_that_the_handler_itself_brings_is_not_the_cause() {
    let mut facts = blocks(healthy());
    facts.threads[0].handler = Some(Handler { signal: None, blocks: bit(Signal::TERM), sender: None });
    assert_eq!(first(&facts, &TERM).0, Cause::HandlerStuck);
    facts.threads[0].moved = true;
    assert_eq!(first(&facts, &TERM).0, Cause::Handled, "a handler that still works");
}

#[test]
fn what_holds_every_signal_comes_before_what_the_signal_does() {
    let mut facts = Facts { ignored: bit(Signal::TERM), ..blocks(healthy()) };
    assert_eq!(first(&facts, &TERM).0, Cause::Ignored);
    facts.pids = vec![7, 1];
    assert_eq!(first(&facts, &TERM).0, Cause::Ignored, "an init that ignores has asked for it");
    facts.threads[0].state = 'D';
    assert_eq!(first(&facts, &TERM).0, Cause::Uninterruptible);
    facts.threads[0].moved = true;
    assert_eq!(first(&facts, &TERM).0, Cause::Ignored, "a disk that answers");
    facts.state = 'T';
    assert_eq!(first(&facts, &TERM).0, Cause::Stopped);
    facts.tracer = Some(Relative::of(Pid::new(9)));
    assert_eq!(first(&facts, &TERM).0, Cause::Stopped, "a tracer that lets it run");
    facts.state = 't';
    assert_eq!(first(&facts, &TERM).0, Cause::Traced);
    facts.permitted = false;
    assert_eq!(first(&facts, &TERM).0, Cause::NotPermitted);
    facts.state = 'Z';
    assert_eq!(judge(&Case::of(facts.clone()), &TERM).len(), 1);
    assert_eq!(first(&facts, &TERM).0, Cause::Zombie);
    facts.threads.push(Thread { id: 8, state: 'S', ..Thread::default() });
    assert_eq!(first(&facts, &TERM).0, Cause::NotPermitted, "its other threads live");
}

#[test]
fn only_an_init_without_a_handler_is_deaf() {
    let mut facts = Facts { pids: vec![7, 1], ..healthy() };
    assert_eq!(first(&facts, &TERM).0, Cause::Handled);
    facts.caught = 0;
    assert_eq!(first(&facts, &TERM).0, Cause::InitWithoutHandler);
    let kill = Question { signal: Signal::KILL, asked: None };
    assert_eq!(first(&facts, &kill).0, Cause::EndsAtOnce);
    let winch = Question { signal: Signal::WINCH, asked: None };
    assert_eq!(first(&facts, &winch).0, Cause::DoesNotEnd);
}

#[test]
fn what_was_asked_and_goes_on_is_said_to() {
    let asked = Question { asked: Some(Duration::from_secs(30)), ..TERM };
    assert_eq!(first(&healthy(), &asked), (Cause::NoEffect, Severity::Blocks));
    let mut facts = healthy();
    facts.children = vec![Relative { state: 'S', ..Relative::of(Pid::new(8)) }];
    facts.threads[0].call = Some(Call { name: Some("wait4"), ..Call::default() });
    assert_eq!(first(&facts, &asked).0, Cause::WaitsForChild);
    assert_eq!(first(&facts, &TERM).0, Cause::Handled, "nobody has asked it yet");
}

#[test]
fn names_of_causes_are_those_of_the_json() {
    for cause in [Cause::Zombie, Cause::InitWithoutHandler, Cause::NotTheGracefulOne] {
        assert_eq!(serde_json::to_string(&cause).expect("json"), format!("\"{}\"", cause.id()));
    }
}

#[test]
fn a_mask_that_is_opened_between_two_waits_holds_nothing_back() {
    let mut facts = blocks(healthy());
    facts.threads[0].moved = true;
    assert_eq!(first(&facts, &TERM).0, Cause::Handled, "it comes round");
    facts.pending = bit(Signal::TERM);
    assert_eq!(first(&facts, &TERM).0, Cause::Blocked, "and lets nothing through");
    facts = Facts { caught: 0, pending: 0, ..facts };
    assert_eq!(first(&facts, &TERM).0, Cause::Blocked, "without a handler it was handed down");
}

#[test]
fn a_busy_main_thread_delays_its_handlers_only_where_they_wait_for_it() {
    let busy = |program: &str| {
        let mut facts = Facts { program: Some(program.to_owned()), age: 60.0, ..healthy() };
        facts.threads[0].busy = true;
        facts
    };
    assert_eq!(first(&busy("/usr/bin/node"), &TERM), (Cause::MainThreadBusy, Severity::Blocks));
    let starts = Facts { age: 1.0, ..busy("/usr/bin/node") };
    assert_eq!(first(&starts, &TERM), (Cause::MainThreadBusy, Severity::Note));
    let answers = Facts { answers: true, ..busy("/usr/bin/node") };
    assert_eq!(first(&answers, &TERM).0, Cause::Handled, "it comes back to its loop");
    let python = busy("/usr/bin/python3");
    assert_eq!(first(&python, &TERM), (Cause::MainThreadBusy, Severity::Note));
    let asked = Question { asked: Some(Duration::from_secs(2)), ..TERM };
    assert_eq!(first(&python, &asked), (Cause::MainThreadBusy, Severity::Blocks));
}

#[test]
fn a_shell_at_a_prompt_is_in_good_health_and_hung_up() {
    let mut facts = Facts {
        program: Some("/usr/bin/bash".to_owned()),
        ignored: bit(Signal::TERM),
        caught: bit(Signal::INT) | bit(Signal::HUP),
        ..healthy()
    };
    assert_eq!(first(&facts, &TERM), (Cause::Ignored, Severity::Note));
    assert_eq!(Case::of(facts.clone()).graceful(), Signal::HUP);
    facts.caught = 0;
    assert_eq!(first(&facts, &TERM), (Cause::Ignored, Severity::Blocks), "trap '' TERM in a script");
}
