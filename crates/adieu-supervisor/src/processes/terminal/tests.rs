use adieu_core::outcome::Outcome;
use adieu_core::switch::Generation;
use adieu_linux::signals::SignalFd;
use adieu_linux::{clock, wait};

use super::*;
use crate::process_table::ProcessTable;
use crate::processes::tests::{FIRST, SECOND, end_of, plain, start, state_of, stop};
use crate::processes::{Processes, Role};
use crate::testing::{World, alone_on_terminal, until};

/// A shell starts the test as a job of its own, in front.
const JOB: &str = "set -m; \"$@\"; exit $?";

/// A run of `sleep 1000` on our terminal, with its signals blocked as in the supervisor: else it would be stopped where it
/// takes the terminal from behind.
fn run() -> (World, Processes, SignalFd) {
    let signals = SignalFd::block_all().expect("signals");
    let command = ["sleep", "1000"].map(Into::into);
    (plain(), Processes::new("web", &command, false, clock::now()), signals)
}

fn terminal(processes: &Processes) -> &Terminal {
    processes.terminal().expect("there is one")
}

fn front() -> i32 {
    tty::Terminal::controlling().expect("there is one").foreground().expect("it has one")
}

/// A group that is neither ours nor a program's, put in front.
fn stranger_in_front(processes: &mut Processes, world: &World) -> Pid {
    let stranger =
        processes.shell(&world.view(), Generation::new(9)).run("exec sleep 1000", &[], None).expect("it runs");
    terminal(processes).tty.set_foreground(stranger.number()).expect("it is ours to give");
    assert_eq!(front(), stranger.number());
    stranger
}

#[test]
fn a_job_gives_its_program_the_terminal_and_takes_it_back() {
    drop(alone_on_terminal(JOB, || {
        let (world, mut processes, _signals) = run();
        assert!(!terminal(&processes).is_shared() && terminal(&processes).has_shell);
        assert_eq!(front(), tty::own_group());
        assert!(terminal(&processes).duplicate().is_some());
        let main = start(&mut processes, &world, FIRST);
        assert_eq!((process::stat(main).expect("it lives").pgrp, front()), (main.number(), main.number()));
        assert_eq!(terminal(&processes).front.get(), Some(main.number()), "we have put it there");
        assert!(terminal(&processes).duplicate().is_some(), "so it is ours to give");
        terminal(&processes).take_back();
        assert_eq!(front(), tty::own_group());
        terminal(&processes).give_to(main);
        assert_eq!(front(), main.number());
        terminal(&processes).take_back();
    }));
}

#[test]
fn the_terminal_is_given_to_whoever_serves() {
    drop(alone_on_terminal(JOB, || {
        let (world, mut processes, _signals) = run();
        let first = start(&mut processes, &world, FIRST);
        let second = start(&mut processes, &world, SECOND);
        assert_eq!(
            (front(), terminal(&processes).front.get()),
            (first.number(), Some(first.number())),
            "the second does not serve yet"
        );
        processes.serving(SECOND);
        assert_eq!((front(), terminal(&processes).front.get()), (second.number(), Some(second.number())));
        terminal(&processes).take_back();
    }));
}

#[test]
fn a_terminal_that_others_have_is_left_to_them() {
    drop(alone_on_terminal(JOB, || {
        let (world, mut processes, _signals) = run();
        let main = start(&mut processes, &world, FIRST);
        let stranger = stranger_in_front(&mut processes, &world);
        let terminal = terminal(&processes);
        assert!(terminal.duplicate().is_none());
        terminal.give_to(main);
        terminal.take_back();
        terminal.started(main);
        assert_eq!(front(), stranger.number());
        terminal.front.set(None);
        terminal.started(main);
        assert_eq!(terminal.front.get(), None, "it is not in front");
        process::signal_child(stranger, Signal::KILL).expect("our child");
        until("its end", || matches!(wait::reap_one(stranger, false), Ok(wait::Reaped::Child(..))));
        terminal.take_back();
        assert_eq!(front(), tty::own_group(), "nobody else has it any more");
    }));
}

#[test]
fn what_the_terminal_has_sent_to_us_is_passed_on() {
    drop(alone_on_terminal(JOB, || {
        let (world, mut processes, _signals) = run();
        let main = start(&mut processes, &world, FIRST);
        terminal(&processes).take_back();
        terminal(&processes).pass_on(main, Signal::INT);
        assert_eq!(front(), main.number());
        assert_eq!(end_of(&mut processes), Outcome::Signaled(Signal::INT));
        terminal(&processes).take_back();
    }));
}

#[test]
fn a_program_goes_on_with_us_and_in_front_only_if_we_are() {
    drop(alone_on_terminal(JOB, || {
        let (world, mut processes, _signals) = run();
        let main = start(&mut processes, &world, FIRST);
        terminal(&processes).take_back();
        stop(main);
        terminal(&processes).continued(main);
        until("it goes on", || state_of(main) != Some('T'));
        assert_eq!(front(), main.number());
        stop(main);
        terminal(&processes).take_back();
        let stranger = stranger_in_front(&mut processes, &world);
        terminal(&processes).continued(main);
        until("it goes on", || state_of(main) != Some('T'));
        assert_eq!(front(), stranger.number(), "it goes on in the background");
    }));
}

#[test]
fn a_program_that_reads_while_we_are_in_front_gets_the_terminal() {
    drop(alone_on_terminal(JOB, || {
        for by in [Signal::TTIN, Signal::TTOU] {
            let (world, mut processes, _signals) = run();
            let main = start(&mut processes, &world, FIRST);
            terminal(&processes).take_back();
            // It was continued meanwhile: nothing is to be done.
            assert_eq!(processes.outcome_of(FIRST, wait::Change::Stopped(by)), None);
            assert_eq!(front(), tty::own_group());
            stop(main);
            assert_eq!(processes.outcome_of(FIRST, wait::Change::Stopped(by)), None);
            until("it goes on", || state_of(main) != Some('T'));
            assert_eq!(front(), main.number());
            terminal(&processes).take_back();
        }
    }));
}

#[test]
fn stops_are_news_on_a_terminal_and_a_stopped_program_is_still_reached() {
    drop(alone_on_terminal(JOB, || {
        let (world, mut processes, _signals) = run();
        let main = start(&mut processes, &world, FIRST);
        let stopped = wait::Change::Stopped(Signal::STOP);
        stop(main);
        assert_eq!(processes.reap(), [(main, stopped)]);
        assert_eq!(processes.role_of(main, stopped), Role::Main(FIRST));
        assert_eq!(processes.living_main(FIRST), Some(main));
        assert!(processes.signal_main(FIRST, Signal::TERM).expect("it is known").is_ok());
        assert_eq!(end_of(&mut processes), Outcome::Signaled(Signal::TERM));
        terminal(&processes).take_back();
    }));
}

/// As a part of something larger: the program stays in our group, and nothing of the terminal is touched.
fn shares_the_terminal(has_shell: bool) {
    let (world, mut processes, _signals) = run();
    assert_eq!((terminal(&processes).is_shared(), terminal(&processes).has_shell), (true, has_shell));
    let main = start(&mut processes, &world, FIRST);
    assert_eq!(process::stat(main).expect("it lives").pgrp, tty::own_group());
    let before = front();
    assert!(terminal(&processes).duplicate().is_none());
    terminal(&processes).started(main);
    terminal(&processes).give_to(main);
    terminal(&processes).take_back();
    assert_eq!((front(), terminal(&processes).front.get()), (before, None));
    stop(main);
    terminal(&processes).continued(main);
    assert_eq!(state_of(main), Some('T'), "the terminal's signals reach it by themselves");
    if !has_shell {
        // Nobody could continue us: we are not stopped.
        terminal(&processes).program_stopped(main, Signal::TSTP);
        assert_eq!(state_of(main), Some('T'));
    }
    assert!(processes.take_terminal().is_some() && processes.terminal().is_none());
}

#[test]
fn the_leader_of_a_session_shares_the_terminal_with_its_program() {
    drop(alone_on_terminal("exec \"$@\"", || shares_the_terminal(false)));
}

#[test]
fn a_part_of_a_pipeline_shares_the_terminal_with_its_program() {
    drop(alone_on_terminal("set -m; \"$@\" | cat; exit $?", || shares_the_terminal(true)));
}

#[test]
fn a_command_of_a_script_shares_the_terminal_with_its_program() {
    drop(alone_on_terminal("\"$@\"; exit $?", || shares_the_terminal(true)));
}

#[test]
fn a_session_without_a_terminal_has_none() {
    drop(alone_on_terminal("setsid --wait \"$@\"; exit $?", || {
        assert!(Terminal::take().is_none());
        assert!(run().1.terminal().is_none());
    }));
}
