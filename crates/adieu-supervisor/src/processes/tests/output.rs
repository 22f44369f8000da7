//! The output of a program that a reload has started: it goes where ours goes, and its last lines are kept.

use std::fs::{self, File};
use std::io::{PipeWriter, Read, Write};
use std::process::{Child, Command, Stdio};

use adieu_core::outcome::Outcome;
use adieu_linux::poll::Readiness;

use super::super::output::{Relay, Tail};
use super::*;
use crate::interests::{Interests, Source};
use crate::testing::{alone, start_alone};

const REQUEST: Option<RequestId> = Some(RequestId::FIRST);

fn sources(processes: &Processes) -> Vec<Source> {
    let mut interests = Interests::default();
    processes.interests(&mut interests);
    interests.into_sources()
}

#[test]
fn what_a_reload_starts_is_relayed_to_both_our_outputs_and_its_last_lines_are_kept() {
    let said = alone(|| {
        let (world, mut processes) = (plain(), shell("echo to-output; echo to-error >&2; read x"));
        assert!(try_start(&mut processes, &world, FIRST, (REQUEST, None)).is_ok());
        assert_eq!(sources(&processes), [Source::Output(FIRST, 0), Source::Output(FIRST, 1)]);
        // Its end is heard before what it said last is read.
        assert_eq!(end_of(&mut processes), Outcome::Exited(1));
        let mut lines = processes.last_lines(FIRST).expect("it is known");
        lines.sort();
        assert_eq!(lines, ["to-error", "to-output"]);
        processes.relay(FIRST, 0);
        assert_eq!(sources(&processes), [], "both are at their end");
        processes.relay(SECOND, 0);
    });
    if let Some(said) = said {
        assert!(said.contains("to-output\n") && said.contains("to-error\n"), "{said}");
    }
}

#[test]
fn the_outputs_of_a_living_program_are_relayed_one_by_one() {
    drop(alone(|| {
        // It ends when the file is there.
        let script = "echo one; exec >&-; echo two >&2; while ! [ -e end ]; do sleep 0.01; done";
        let (world, mut processes) = (plain(), shell(script));
        assert!(try_start(&mut processes, &world, FIRST, (REQUEST, None)).is_ok());
        until("the first output", || {
            processes.relay(FIRST, 0);
            processes.last_lines(FIRST).expect("it is known") == ["one"]
        });
        until("its end", || {
            processes.relay(FIRST, 0);
            sources(&processes) == [Source::Output(FIRST, 1)]
        });
        processes.relay(FIRST, 7);
        until("the second output", || {
            processes.relay(FIRST, 1);
            processes.last_lines(FIRST).expect("it is known") == ["one", "two"]
        });
        fs::write("end", "").expect("a file");
        assert_eq!(end_of(&mut processes), Outcome::Exited(0));
    }));
}

#[test]
fn the_first_generation_writes_directly() {
    let said = alone(|| {
        let (_, mut processes, _) = started("echo directly");
        assert_eq!(sources(&processes), []);
        assert_eq!(end_of(&mut processes), Outcome::Exited(0));
        assert_eq!(processes.last_lines(FIRST), Some(Vec::new()));
    });
    assert!(said.is_none_or(|said| said.contains("directly\n")));
}

fn relay() -> (Relay, File) {
    let (reader, writer) = super::super::output::pipe().expect("a pipe");
    (Relay::new(reader, true).expect("a relay"), writer.into())
}

#[test]
fn a_relay_waits_for_input_and_is_open_until_all_is_written() {
    drop(alone(|| {
        let (mut relay, mut writer) = relay();
        let mut tail = Tail::default();
        assert!(relay.is_open());
        assert_eq!(relay.interest().map(|(_, readiness)| readiness), Some(Readiness::READ));
        relay.advance(&mut tail);
        assert!(relay.is_open() && tail.lines().is_empty(), "nothing has come");
        writer.write_all(b"something\nand a ").expect("room");
        relay.advance(&mut tail);
        writer.write_all(b"bit\n").expect("room");
        drop(writer);
        relay.advance(&mut tail);
        assert_eq!(tail.lines(), ["something", "and a bit"]);
        assert!(!relay.is_open() && relay.interest().is_none());
    }));
}

#[test]
fn one_turn_relays_as_much_as_it_may_and_the_next_goes_on() {
    drop(alone(|| {
        let (mut relay, mut writer) = relay();
        let mut tail = Tail::default();
        // More than a turn takes, less than a pipe holds.
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        writer.write_all(&line.repeat(400)).expect("room");
        drop(writer);
        relay.advance(&mut tail);
        assert_eq!(tail.lines().len(), 20);
        until("the end", || {
            relay.advance(&mut tail);
            !relay.is_open()
        });
        assert!(tail.lines().iter().all(|line| line.len() == 99));
    }));
}

/// Tells a process of a test that its standard error is a pipe.
const PIPED: &str = "ADIEU_TEST_PIPED";

/// The test `name` in a process of its own, with `standard_error` as that.
fn piped(name: &str, standard_error: PipeWriter) -> Child {
    let start = || {
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", &format!("processes::tests::output::{name}"), "--nocapture"])
            .envs([(PIPED, "1"), ("ADIEU_TEST_ALONE", "1")])
            .stdout(Stdio::piped())
            .stderr(standard_error)
            .spawn()
    };
    start_alone(start).expect("it runs")
}

#[test]
fn what_finds_no_room_waits_and_is_written_later() {
    if std::env::var_os(PIPED).is_some() {
        drop(alone(fill_standard_error));
        return;
    }
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = piped("what_finds_no_room_waits_and_is_written_later", writer);
    let mut output = child.stdout.take().expect("its output");
    let (mut byte, mut head) = ([0; 1], Vec::new());
    while !head.ends_with(b"full\n") {
        output.read_exact(&mut byte).expect("it says when it is full");
        head.push(byte[0]);
    }
    let mut all = Vec::new();
    reader.read_to_end(&mut all).expect("bytes");
    let rest = std::io::read_to_string(output).expect("text");
    assert!(child.wait().expect("it ends").success() && rest.contains("1 passed"), "{rest}");
    let text = String::from_utf8_lossy(&all);
    assert_eq!(text.matches("a line\n").count(), 20_000);
}

#[test]
fn output_that_nobody_reads_does_not_hold_the_program() {
    if std::env::var_os(PIPED).is_some() {
        drop(alone(write_for_nobody));
        return;
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = piped("output_that_nobody_reads_does_not_hold_the_program", writer);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn write_for_nobody() {
    let (mut relay, mut writer) = relay();
    let mut tail = Tail::default();
    // Much more than a pipe holds.
    for _ in 0..100 {
        writer.write_all(&[b'x'; 10_000]).expect("it is taken");
        relay.advance(&mut tail);
        assert_eq!(relay.interest().map(|(_, readiness)| readiness), Some(Readiness::READ), "nothing is kept");
    }
    drop(writer);
    relay.advance(&mut tail);
    assert!(!relay.is_open());
}

fn fill_standard_error() {
    let (mut relay, writer) = relay();
    let mut tail = Tail::default();
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || (&writer).write_all("a line\n".repeat(20_000).as_bytes()));
        // Nobody reads yet.
        until("no room", || {
            relay.advance(&mut tail);
            relay.interest().is_some_and(|(_, readiness)| readiness == Readiness::WRITE)
        });
        let kept = tail.lines().len();
        relay.advance(&mut tail);
        assert_eq!(tail.lines().len(), kept, "what waits is written before anything is read");
        let mut stdout = std::io::stdout();
        stdout.write_all(b"full\n").and_then(|()| stdout.flush()).expect("it is read");
        until("the end", || {
            relay.advance(&mut tail);
            !relay.is_open()
        });
        writing.join().expect("no panic").expect("it was read");
    });
}
