//! What a keeper says, and a real one. One is forked by a process with a single thread, which no test is: here it is a process of the test's own
//! that becomes one, with its signals blocked from the beginning as they are in the supervisor.

use std::fs;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::options::Sockets;
use crate::process_table::ProcessTable;
use crate::processes::Processes;
use crate::processes::launch;
use crate::processes::tests::{FIRST, grown, plain, shell, start, state_of, try_start, wait_for};
use crate::processes::tree::{Reach, Root};
use crate::testing::{alone, processes, until};
use crate::view::Out;

fn told(message: &[u8]) -> Message {
    let (ours, theirs) = scm_rights::pair().expect("a pair");
    scm_rights::send(theirs.as_fd(), message, None).expect("it is open");
    receive(ours.as_fd()).expect("a message").0
}

#[test]
fn what_a_keeper_says_is_read_as_it_was_written() {
    assert!(matches!(told(&encode(STARTED, 4711)), Message::Started(pid) if pid == Pid::new(4711)));
    assert!(matches!(told(&encode(NOT_STARTED, 11)), Message::NotStarted(11)));
    assert!(matches!(told(&encode(EMPTY, 0)), Message::Empty));
    let change = Change::Signaled(Signal::HUP);
    let message = told(&encode(MAIN, adieu_linux::wait::encode(change)));
    assert!(matches!(message, Message::Main(found) if found == change));
    assert!(matches!(told(&Report::ExecFailed(2).encode()), Message::Child(Report::ExecFailed(2))));
}

#[test]
fn what_no_keeper_says_is_the_end_of_it() {
    assert!(matches!(told(&encode(99, 1)), Message::Gone));
    // A value that is cut short is none.
    assert!(matches!(told(&[STARTED]), Message::Started(pid) if pid == Pid::new(0)));
    let (ours, theirs) = scm_rights::pair().expect("a pair");
    assert!(receive(ours.as_fd()).is_none(), "nothing was said");
    drop(theirs);
    assert!(matches!(receive(ours.as_fd()), Some((Message::Gone, None))));
    let file: OwnedFd = std::fs::File::open("/dev/null").expect("it is there").into();
    assert!(matches!(receive(file.as_fd()), Some((Message::Gone, None))));
}

#[test]
fn a_report_brings_its_descriptor() {
    let (ours, theirs) = scm_rights::pair().expect("a pair");
    scm_rights::send(theirs.as_fd(), &Report::Watching(true).encode(), Some(theirs.as_fd())).expect("it is open");
    let (message, descriptor) = receive(ours.as_fd()).expect("a message");
    assert!(matches!(message, Message::Child(Report::Watching(true))) && descriptor.is_some());
}

/// Tells a process that it is a keeper, and what it is to keep.
const KEEPS: &str = "ADIEU_TEST_KEEPS";

/// Becomes a keeper where this process is to be one; else runs the rest of the test that calls it, alone.
fn keeper_or<F: FnOnce()>(test: F) {
    let Some(script) = std::env::var_os(KEEPS) else { return drop(alone(test)) };
    // The channel came as standard input.
    let channel = std::io::stdin().as_fd().try_clone_to_owned().expect("a duplicate");
    let spec = launch::Spec { command: vec!["/bin/sh".into(), "-c".into(), script], environment: Default::default() };
    let resolved = launch::resolve(&spec, None, &[]).expect("a shell");
    let program = Program {
        path: if spec.command[2] == "cannot" { c"/no/such/file".into() } else { resolved.path },
        arguments: resolved.arguments,
        environment: resolved.environment,
        directory: None,
        own_group: true,
        terminal: None,
        keep_ignoring: None,
        death_signal: None,
        watch: None,
        input: None,
        output: None,
        error_output: None,
        pass: Vec::new(),
        reports: Some(channel),
    };
    let refuses = spec.command[2].to_string_lossy().contains("trap");
    let grace = Duration::from_millis(if refuses { 300 } else { 3_600_000 });
    keep(&program, Signal::TERM, grace)
}

/// Starts a keeper of a shell with `script`, for the test `name`: what listens to it, and its process.
fn kept(name: &str, script: &str) -> (Processes, Child) {
    let (ours, theirs) = scm_rights::pair().expect("a pair");
    let mut processes = tree_of(ours);
    let child = Command::new("env")
        .args(["--block-signal"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("processes::keeper::tests::{name}"), "--nocapture"])
        .env(KEEPS, script)
        .stdin(Stdio::from(theirs))
        .spawn()
        .expect("it runs");
    processes.childless = false;
    let keeper = Pid::new(i32::try_from(child.id()).expect("a pid"));
    processes.trees.get_mut(&FIRST).expect("it was put in").root = Root::Keeper(keeper);
    (processes, child)
}

/// Generation 1, as it is before anything was heard of it.
fn tree_of(channel: OwnedFd) -> Processes {
    let (world, mut processes) = (plain(), processes(&["true"]));
    let main = start(&mut processes, &world, FIRST);
    assert_eq!(wait_for(&mut processes, main).0, Change::Exited(0));
    let tree = processes.trees.get_mut(&FIRST).expect("it was started");
    (tree.main, tree.outcome, tree.channel) = (None, None, Some(channel));
    (tree.reach, tree.keeps_stops) = (Reach::NotYet(Vec::new()), false);
    processes
}

fn heard(processes: &mut Processes) -> Message {
    let mut heard = None;
    until("a message", || {
        heard = processes.hear(FIRST);
        heard.is_some()
    });
    heard.expect("just heard").0
}

fn main_of(processes: &mut Processes) -> Pid {
    let Message::Started(main) = heard(processes) else { panic!("it says first who was started") };
    processes.main_started(FIRST, main);
    main
}

#[test]
fn no_keeper_is_forked_by_a_process_with_several_threads() {
    let refused = |result: std::io::Result<Fork>| result.is_err_and(|error| error.kind() == std::io::ErrorKind::Other);
    assert!(refused(fork()));
    drop(alone(|| {
        let (mut world, mut processes) = (plain(), shell("exit 0"));
        world.options.sockets = Sockets::Pass;
        let error = try_start(&mut processes, &world, FIRST, (None, None)).expect_err("it cannot be");
        assert_eq!(error.exit_code(), 125);
        assert!(processes.generations().is_empty());
    }));
}

#[test]
fn a_keeper_tells_of_its_program_and_goes_with_the_last_of_it() {
    keeper_or(|| {
        let name = "a_keeper_tells_of_its_program_and_goes_with_the_last_of_it";
        let (mut processes, mut keeper) = kept(name, "sh -c 'while ! [ -e end ]; do sleep 0.01; done' & exit 6");
        let main = main_of(&mut processes);
        assert!(matches!(heard(&mut processes), Message::Main(Change::Exited(6))));
        assert!(state_of(main).is_none(), "the keeper has reaped it");
        assert!(!processes.members(FIRST).is_empty(), "the orphan is below the keeper");
        assert!(processes.hear(FIRST).is_none());
        fs::write("end", "").expect("a file");
        assert!(matches!(heard(&mut processes), Message::Empty));
        assert_eq!(keeper.wait().expect("our child").code(), Some(0));
    });
}

#[test]
fn a_keeper_tells_of_stops_too() {
    keeper_or(|| {
        let (mut processes, mut keeper) = kept("a_keeper_tells_of_stops_too", "exec sleep 1000");
        let main = main_of(&mut processes);
        assert!(processes.signal_main(FIRST, Signal::STOP).expect("it is known").is_ok());
        assert!(matches!(heard(&mut processes), Message::Main(Change::Stopped(Signal::STOP))));
        assert_eq!(state_of(main), Some('T'));
        assert!(processes.signal_main(FIRST, Signal::TERM).expect("it is known").is_ok());
        // Continued is told where it is taken before the end.
        let last = match heard(&mut processes) {
            Message::Main(Change::Continued) => heard(&mut processes),
            other => other,
        };
        assert!(matches!(last, Message::Main(Change::Signaled(Signal::TERM))));
        assert!(matches!(heard(&mut processes), Message::Empty));
        assert_eq!(keeper.wait().expect("our child").code(), Some(0));
    });
}

#[test]
fn a_keeper_holds_nothing_open_that_is_the_programs() {
    keeper_or(|| {
        // Standard input is the channel here, which only the keeper is to have.
        let (mut processes, mut child) =
            kept("a_keeper_holds_nothing_open_that_is_the_programs", "exec sleep 1000 </dev/null");
        let main = main_of(&mut processes);
        let keeper = processes.keeper(FIRST).expect("it has one");
        let open = || fs::read_dir(format!("/proc/{keeper}/fd")).expect("our child").count();
        until("two descriptors beside the standard ones: channel and signals", || open() == 5);
        assert_eq!(process::stat(main).expect("it lives").ppid, Some(keeper));
        // A keeper that is killed leaves its program to us.
        drop(adieu_linux::pidfd::Pidfd::open(keeper).and_then(|keeper| keeper.send(Signal::KILL)));
        assert!(matches!(heard(&mut processes), Message::Gone));
        assert!(!child.wait().expect("our child").success());
        processes.lose_keeper(FIRST, &mut Out::default());
        until("it is ours", || process::stat(main).is_ok_and(|stat| stat.ppid == Some(process::own_pid())));
        assert_eq!(processes.members(FIRST), [main]);
    });
}

#[test]
fn without_its_supervisor_a_keeper_asks_its_program_to_end() {
    keeper_or(|| {
        let name = "without_its_supervisor_a_keeper_asks_its_program_to_end";
        let (mut processes, mut keeper) = kept(name, "exec sleep 1000");
        let main = main_of(&mut processes);
        processes.forget(FIRST);
        assert_eq!(keeper.wait().expect("our child").code(), Some(0));
        assert!(state_of(main).is_none());
    });
}

#[test]
fn without_its_supervisor_a_keeper_asks_what_its_program_has_left() {
    keeper_or(|| {
        let name = "without_its_supervisor_a_keeper_asks_what_its_program_has_left";
        for script in ["sleep 1000 & exit 0", "sleep 1000 & exec sleep 1001"] {
            let (mut processes, mut keeper) = kept(name, script);
            main_of(&mut processes);
            if script.ends_with("exit 0") {
                assert!(matches!(heard(&mut processes), Message::Main(Change::Exited(0))));
            } else {
                grown(&processes, FIRST, 2);
            }
            let below = processes.members(FIRST);
            processes.forget(FIRST);
            assert_eq!(keeper.wait().expect("our child").code(), Some(0));
            assert!(!below.is_empty() && below.iter().all(|pid| state_of(*pid).is_none()));
        }
    });
}

#[test]
fn without_its_supervisor_a_keeper_kills_what_does_not_end_in_time() {
    keeper_or(|| {
        let name = "without_its_supervisor_a_keeper_kills_what_does_not_end_in_time";
        let (mut processes, mut keeper) = kept(name, "trap '' TERM; echo > up; while :; do sleep 0.01; done");
        let main = main_of(&mut processes);
        until("the trap", || fs::read("up").is_ok());
        processes.forget(FIRST);
        assert_eq!(keeper.wait().expect("our child").code(), Some(0));
        assert!(state_of(main).is_none());
    });
}

#[test]
fn a_program_that_is_not_there_is_told_through_the_keeper() {
    keeper_or(|| {
        let (mut processes, mut keeper) = kept("a_program_that_is_not_there_is_told_through_the_keeper", "cannot");
        let first = heard(&mut processes);
        assert!(matches!(first, Message::Child(adieu_linux::spawn::Report::ExecFailed(2))), "{first:?}");
        main_of(&mut processes);
        assert!(matches!(heard(&mut processes), Message::Main(Change::Exited(127))));
        assert!(matches!(heard(&mut processes), Message::Empty));
        assert_eq!(keeper.wait().expect("our child").code(), Some(0));
    });
}
