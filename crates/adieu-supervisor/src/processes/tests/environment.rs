//! What a program finds in its environment, and which command is in force.

use std::fs;

use adieu_core::outcome::Outcome;

use super::*;
use crate::testing::{alone, alone_with};

/// What the program of generation 1 has in its environment.
fn environment(processes: &mut Processes, world: &World, generation: Generation) -> Vec<String> {
    let main = start(processes, world, generation);
    let _ended = wait_for(processes, main);
    assert_eq!(processes.outcome(generation), Some(Outcome::Exited(0)));
    fs::read_to_string("environment").expect("it was written").lines().map(str::to_owned).collect()
}

#[test]
fn a_program_is_told_whose_it_is() {
    let ours = [
        ("NOTIFY_SOCKET", "/x"),
        ("LISTEN_FDS", "1"),
        ("WATCHDOG_PID", "1"),
        ("ADIEU_GRACE", "ours"),
        ("ADIEU_SOMETHING", "ours"),
        ("ADIEU_RUNTIME_DIR", "{}"),
        ("KEPT", "kept"),
    ];
    drop(alone_with(&ours, || {
        let (world, mut processes) = (plain(), shell("env > environment"));
        let found = environment(&mut processes, &world, FIRST);
        for wanted in ["ADIEU_NAME=web", "ADIEU_GENERATION=1", "ADIEU_GRACE=30000ms", "ADIEU_PARKS=no", "KEPT=kept"] {
            assert_eq!(found.iter().filter(|line| *line == wanted).count(), 1, "{wanted} in {found:?}");
        }
        assert!(found.iter().any(|line| line.starts_with("ADIEU_RUNTIME_DIR=/")));
        for ours in ["NOTIFY_SOCKET=", "LISTEN_FDS=", "WATCHDOG_PID=", "ADIEU_SOMETHING=", "ADIEU_GRACE=ours"] {
            assert!(!found.iter().any(|line| line.starts_with(ours)), "{ours} in {found:?}");
        }
        processes.may_duplicate = Some(true);
        let found = environment(&mut processes, &world, SECOND);
        assert!(found.contains(&"ADIEU_PARKS=yes".to_owned()) && found.contains(&"ADIEU_GENERATION=2".to_owned()));
    }));
}

fn change(command: &[&str], environment: &[(&str, Option<&str>)]) -> Change {
    let entry = |(key, value): &(&str, Option<&str>)| ((*key).to_owned(), value.map(str::to_owned));
    let command: Vec<String> = command.iter().map(ToString::to_string).collect();
    Change { environment: environment.iter().map(entry).collect(), command: Some(command) }
}

#[test]
fn what_a_reload_changes_is_kept_once_its_generation_serves() {
    drop(alone_with(&[("GONE", "1")], || {
        let (world, mut processes) = (plain(), shell("env > environment"));
        let before = processes.command_in_force().to_vec();
        let new = ["/bin/sh", "-c", "env > environment; true"];
        let change = change(&new, &[("NEW", Some("1")), ("GONE", None), ("ADIEU_NAME", Some("other"))]);
        assert!(try_start(&mut processes, &world, SECOND, (None, Some(&change))).is_ok());
        let main = processes.main(SECOND).expect("it runs");
        let _ended = wait_for(&mut processes, main);
        assert_eq!(processes.command(SECOND).expect("it is known"), new);
        assert_eq!(processes.command_in_force(), before, "it does not serve yet");
        let found = fs::read_to_string("environment").expect("it was written");
        assert!(found.contains("NEW=1\n") && !found.contains("GONE=1\n"));
        assert!(found.contains("ADIEU_NAME=web\n") && !found.contains("ADIEU_NAME=other\n"), "what we tell wins");

        // It has failed: nothing of it is left.
        let found = environment(&mut processes, &world, Generation::new(3));
        assert!(found.contains(&"GONE=1".to_owned()) && !found.contains(&"NEW=1".to_owned()));

        processes.serving(SECOND);
        assert_eq!(processes.command_in_force(), new);
        let found = environment(&mut processes, &world, Generation::new(4));
        assert!(!found.contains(&"GONE=1".to_owned()) && found.contains(&"NEW=1".to_owned()));
        processes.forget(SECOND);
        processes.serving(SECOND);
        assert_eq!(processes.command_in_force(), new, "of one that is gone nothing is taken");
    }));
}

#[test]
fn an_empty_new_command_is_the_old_one() {
    drop(alone(|| {
        let (world, mut processes) = (plain(), shell("exit 4"));
        let empty = change(&[], &[]);
        assert!(try_start(&mut processes, &world, FIRST, (None, Some(&empty))).is_ok());
        assert_eq!(end_of(&mut processes), Outcome::Exited(4));
    }));
}

#[test]
fn a_command_beside_a_generation_has_its_environment_and_its_facts_and_reads_what_it_is_given() {
    drop(alone(|| {
        let (world, mut processes) = (plain(), shell("exit 0"));
        let change = change(&[], &[("OF_IT", Some("1"))]);
        assert!(try_start(&mut processes, &world, FIRST, (None, Some(&change))).is_ok());
        let view = world.view();
        let facts = [("ADIEU_EVENT", "test".to_owned())];
        let run = processes.shell(&view, FIRST).run("env > environment; cat > input", &facts, Some("said"));
        let pid = run.expect("it runs");
        assert_eq!(process::stat(pid).expect("it is there").pgrp, pid.number());
        assert_eq!(wait_for(&mut processes, pid), (Changed::Exited(0), Role::Command));
        let found = fs::read_to_string("environment").expect("it was written");
        for wanted in ["OF_IT=1\n", "ADIEU_EVENT=test\n", "ADIEU_NAME=web\n", "ADIEU_GENERATION=1\n"] {
            assert!(found.contains(wanted), "{wanted} in {found}");
        }
        assert_eq!(fs::read_to_string("input").expect("it was written"), "said");

        // Of a generation that is gone there is only what all are told.
        let pid = processes.shell(&view, SECOND).run("env > environment", &[], None).expect("it runs");
        assert_eq!(wait_for(&mut processes, pid).0, Changed::Exited(0));
        let found = fs::read_to_string("environment").expect("it was written");
        assert!(found.contains("ADIEU_GENERATION=2\n") && !found.contains("OF_IT"));
    }));
}
