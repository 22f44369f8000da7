//! What starts, what does not, and which codes tell why.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use adieu_core::outcome::{Outcome, code};
use adieu_core::signal::Signal;
use adieu_linux::spawn::Report;

use super::*;
use crate::process_table::ProcessTable;
use crate::testing::{alone, processes};
use crate::view::Out;

const ENOENT: i32 = 2;
const ENOEXEC: i32 = 8;

#[test]
fn a_program_runs_in_a_group_of_its_own_and_its_code_is_heard() {
    drop(alone(|| {
        let (_, mut processes, main) = started("read x; exit 7");
        assert_eq!(processes.living_main(FIRST), Some(main));
        assert_eq!(process::stat(main).expect("not reaped yet").pgrp, main.number());
        assert_eq!(end_of(&mut processes), Outcome::Exited(7));
        assert_eq!((processes.living_main(FIRST), processes.main(FIRST)), (None, Some(main)));
    }));
}

#[test]
fn a_signal_that_ends_a_program_is_told_from_a_code() {
    drop(alone(|| {
        let (_, mut processes, _) = started("kill -USR1 $$");
        assert_eq!(end_of(&mut processes), Outcome::Signaled(Signal::USR1));
    }));
}

fn file(name: &str, content: &[u8]) -> String {
    fs::write(name, content).expect("a file");
    fs::set_permissions(name, fs::Permissions::from_mode(0o755)).expect("its mode");
    format!("./{name}")
}

#[test]
fn a_program_that_cannot_be_executed_says_so_at_once_and_ends_as_in_a_shell() {
    drop(alone(|| {
        let world = plain();
        let garbage = file("garbage", b"\0not a program");
        let lost = file("lost", b"#!/no/such/interpreter\n");
        for (path, errno, code) in [(garbage, ENOEXEC, code::NOT_EXECUTABLE), (lost, ENOENT, code::NOT_FOUND)] {
            let mut processes = processes(&[&path]);
            let report = try_start(&mut processes, &world, FIRST, (None, None)).expect("a child was made");
            assert_eq!(report, Some(Report::ExecFailed(errno)));
            let mut out = Out::default();
            processes.exec_failed(FIRST, "why".to_owned(), &mut out);
            assert_eq!(out.texts(), ["generation 1: why"]);
            assert_eq!(processes.not_executed(FIRST), Some("why"));
            assert_eq!(end_of(&mut processes), Outcome::Exited(code));
            assert!(!processes.may_start_again(FIRST, Outcome::Exited(code)));
        }
    }));
}

#[test]
fn a_working_directory_that_is_gone_is_told_apart() {
    drop(alone(|| {
        let (world, mut processes) = (plain(), shell("exit 0"));
        processes.directory = Some(PathBuf::from("/no/such/directory"));
        let report = try_start(&mut processes, &world, FIRST, (None, None)).expect("a child was made");
        assert_eq!(report, Some(Report::DirectoryFailed(ENOENT)));
        assert_eq!(end_of(&mut processes), Outcome::Exited(126));
    }));
}

#[test]
fn a_failed_start_leaves_no_generation_and_is_explained_until_the_next() {
    drop(alone(|| {
        let (world, mut processes) = (plain(), processes(&["no-such-program-anywhere"]));
        let error = try_start(&mut processes, &world, FIRST, (None, None)).expect_err("there is none");
        assert_eq!(error.exit_code(), code::NOT_FOUND);
        assert!(processes.generations().is_empty());
        assert_eq!(processes.start_failure(), None);
        processes.start_failed(&error);
        assert!(processes.start_failure().is_some_and(|why| why.contains("no-such-program-anywhere")));
        processes.prepare(&world.view());
        assert_eq!(processes.start_failure(), None);
    }));
}

#[test]
fn what_fails_besides_the_program_is_ours() {
    let error = || io::Error::from_raw_os_error(ENOENT);
    assert_eq!(StartError::Listen(error()).exit_code(), code::RUN_FAILED);
    assert_eq!(StartError::System(error()).exit_code(), code::RUN_FAILED);
    assert!(StartError::Listen(error()).to_string().starts_with("cannot listen: "));
}

#[test]
fn descriptors_are_passed_from_three_on() {
    drop(alone(|| {
        let (world, mut processes) = (plain(), shell("echo first >&3; echo second >&4"));
        let ((mut first, to_first), (mut second, to_second)) = (io::pipe().expect("pipe"), io::pipe().expect("pipe"));
        let pass = vec![to_first.into(), to_second.into()];
        let start =
            Start { generation: FIRST, request: None, change: None, variables: Vec::new(), pass, watch_connects: true };
        assert_eq!(processes.start(&world.view(), start).expect("it starts"), None);
        let (mut one, mut two) = (String::new(), String::new());
        first.read_to_string(&mut one).expect("text");
        second.read_to_string(&mut two).expect("text");
        assert_eq!((one.as_str(), two.as_str()), ("first\n", "second\n"));
    }));
}

#[test]
fn a_plain_init_takes_its_program_with_it() {
    drop(alone(|| {
        let (world, mut processes) = (plain(), shell("exec sleep 1000"));
        // The kernel counts the thread that has started it as its parent.
        std::thread::scope(|scope| drop(scope.spawn(|| start(&mut processes, &world, FIRST)).join()));
        assert_eq!(end_of(&mut processes), Outcome::Signaled(Signal::KILL));
    }));
}

#[test]
fn an_ignored_hangup_stays_ignored() {
    drop(alone(|| {
        let script = "kill -HUP $$; exit 5";
        let (world, mut processes) = (plain(), shell(script));
        start(&mut processes, &world, FIRST);
        assert_eq!(end_of(&mut processes), Outcome::Signaled(Signal::HUP));
        let mut under_nohup = shell(script);
        under_nohup.ignored_hangup = true;
        start(&mut under_nohup, &world, FIRST);
        assert_eq!(end_of(&mut under_nohup), Outcome::Exited(5));
    }));
}

#[test]
fn whether_descriptors_can_be_duplicated_is_found_out_once_and_only_where_sockets_matter() {
    drop(alone(|| {
        let (mut world, mut processes) = (plain(), shell("exit 0"));
        processes.prepare(&world.view());
        assert_eq!(processes.may_duplicate(), None);
        world.options.sockets = Sockets::Pass;
        processes.prepare(&world.view());
        assert!(processes.may_duplicate().is_some());
        processes.may_duplicate = Some(true);
        processes.prepare(&world.view());
        assert_eq!(processes.may_duplicate(), Some(true));
    }));
}
