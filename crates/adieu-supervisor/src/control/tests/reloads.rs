//! The clients of a reload: how far it is, and when it is answered.

use adieu_core::outcome::Outcome;
use adieu_core::switch::{Event, Failure, Generation};

use super::*;
use crate::testing::{World, alone};

const SECOND: Generation = Generation::new(2);
const ENDED: Outcome = Outcome::Exited(1);

/// A client that has asked for a reload.
fn asks(control: &mut Control, wait: Wait) -> (UnixStream, RequestId) {
    let (stream, id) = client(control);
    let request = control.ask_reload(Some((id, wait)), Change::default());
    (stream, request)
}

#[test]
fn requests_are_numbered_from_the_first_and_keep_what_they_change() {
    let mut control = control();
    let change = Change { environment: Vec::new(), command: Some(vec!["new".to_owned()]) };
    assert_eq!(control.ask_reload(None, change), RequestId::FIRST);
    assert_eq!(control.ask_reload(None, Change::default()), RequestId::FIRST.next());
    let command = |request| control.change(Some(request)).map(|change| change.command.clone());
    assert_eq!(command(RequestId::FIRST), Some(Some(vec!["new".to_owned()])));
    assert_eq!(command(RequestId::FIRST.next()), Some(None));
    assert_eq!(command(RequestId::new(3)), None);
    assert!(control.change(None).is_none());
}

#[test]
fn each_client_is_answered_when_its_reload_is_as_far_as_it_waits_for() {
    drop(alone(|| {
        let world = World::reloading();
        let steps = [
            Step::Queued,
            Step::Starting(SECOND),
            Step::Switched(SECOND),
            Step::Settled(SECOND),
            Step::Drained(SECOND),
        ];
        for (wait, told) in [(Wait::Switched, 3), (Wait::Settled, 4), (Wait::Drained, 5)] {
            let mut control = control();
            let (stream, request) = asks(&mut control, wait);
            let (other, _) = asks(&mut control, wait);
            for (at, step) in steps.into_iter().enumerate() {
                control.progress(&world.view(), request, step, &format!("step {at}"), &[]);
                control.advance();
            }
            let progress = |at: usize| Reply::Progress { step: steps[at], text: format!("step {at}") };
            let mut expected: Vec<_> = (0..told).map(progress).collect();
            expected.push(Reply::Done { code: code::DONE, message: None, output: Vec::new() });
            assert_eq!(answers(&stream), (expected, true), "{wait:?}");
            assert_eq!(answers(&other), (Vec::new(), false), "its own has not begun");
        }
    }));
}

#[test]
fn a_later_step_answers_too_and_once() {
    let world = World::reloading();
    let mut control = control();
    let (stream, request) = asks(&mut control, Wait::Switched);
    control.progress(&world.view(), request, Step::Drained(SECOND), "alone", &[]);
    control.progress(&world.view(), request, Step::Drained(SECOND), "alone", &[]);
    assert_eq!(dones(&stream), [(code::DONE, String::new())]);
}

#[test]
fn what_a_reload_changes_is_forgotten_when_it_has_succeeded_or_failed() {
    let world = World::reloading();
    for (step, kept) in [
        (Step::Queued, true),
        (Step::Starting(SECOND), true),
        (Step::Switched(SECOND), false),
        (Step::Failed(Failure::NotReady(SECOND)), false),
    ] {
        let mut control = control();
        let request = control.ask_reload(None, Change::default());
        let other = control.ask_reload(None, Change::default());
        control.progress(&world.view(), request, step, "", &[]);
        assert_eq!(control.change(Some(request)).is_some(), kept, "{step:?}");
        assert!(control.change(Some(other)).is_some());
    }
}

#[test]
fn a_failed_reload_is_answered_with_its_reason_and_the_output() {
    let world = World::reloading();
    let mut control = control();
    let (stream, request) = asks(&mut control, Wait::Settled);
    let output = ["last words".to_owned()];
    control.progress(&world.view(), request, Step::Failed(Failure::Exited(SECOND, ENDED)), "it died", &output);
    let done = Reply::Done { code: code::RELOAD_FAILED, message: Some("it died".to_owned()), output: output.to_vec() };
    assert_eq!(answers(&stream).0, [done]);
}

#[test]
fn a_reload_that_a_stop_has_ended_is_a_finding() {
    let mut world = World::reloading();
    let _actions = world.tell(Event::Stop);
    let mut control = control();
    let (stream, request) = asks(&mut control, Wait::Settled);
    control.progress(&world.view(), request, Step::Failed(Failure::Stopping), "stopping", &[]);
    assert_eq!(dones(&stream), [(code::FINDING, "stopping".to_owned())]);
}

/// Nobody serves, and the command before is to come back.
fn nobody_serves() -> World {
    let mut options = crate::testing::options();
    options.overlap = false;
    let mut world = World::new(options);
    let first = Generation::FIRST;
    let events = [
        Event::Start,
        Event::Ready(first),
        Event::Reload(RequestId::FIRST),
        Event::MainExited(first, Outcome::Exited(0)),
        Event::TreeGone(first),
        Event::MainExited(SECOND, ENDED),
    ];
    for event in events {
        let _actions = world.tell(event);
    }
    assert!(world.view().switch.serving().is_none() && !world.view().switch.is_stopping());
    world
}

#[test]
fn a_failed_reload_is_answered_when_the_command_before_it_is_back() {
    for (again, expected) in [(true, code::RELOAD_FAILED), (false, code::FINDING)] {
        let world = nobody_serves();
        let mut control = control();
        let (stream, request) = asks(&mut control, Wait::Switched);
        let (waits, other) = asks(&mut control, Wait::Switched);
        let (step, output) = (Step::Failed(Failure::Exited(SECOND, ENDED)), ["last words".to_owned()]);
        control.progress(&world.view(), request, step, "it died", &output);
        let text = "it died; the command before it comes back".to_owned();
        assert_eq!(answers(&stream), (vec![Reply::Progress { step, text }], false));
        // Its own reload is over: no step of it answers the client any more.
        control.progress(&world.view(), request, Step::Switched(SECOND), "", &[]);
        assert_eq!(answers(&stream).0, []);
        control.answer_failed(again);
        let done = Reply::Done { code: expected, message: Some("it died".to_owned()), output: output.to_vec() };
        assert_eq!(answers(&stream).0, [done]);
        control.answer_failed(again);
        assert_eq!(answers(&stream).0, [], "answered once");
        assert_eq!(answers(&waits).0, [], "{other} goes on");
    }
}
