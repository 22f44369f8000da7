//! Signals to many: whom a kill reaches, and that it is said once.

use std::cell::Cell;

use adieu_core::outcome::Outcome;
use adieu_core::signal::Signal;

use super::super::kill::{kill_all, signal_each};
use super::*;
use crate::processes::kill_tree;
use crate::testing::alone;
use crate::view::Out;

#[test]
fn a_kill_reaches_all_and_is_told_once() {
    drop(alone(|| {
        let (_, mut processes, main) = started("trap '' TERM; setsid sleep 1000 & sleep 1000 & wait; sleep 1000");
        grown(&processes, FIRST, 3);
        until("the programs", || {
            processes.names_of(FIRST).iter().filter(|name| name.ends_with("(sleep)")).count() == 2
        });
        let members = processes.members(FIRST);
        let mut out = Out::default();
        processes.kill(FIRST, &mut out);
        processes.kill(FIRST, &mut out);
        assert_eq!(out.texts().len(), 1);
        let text = out.texts()[0];
        assert!(text.starts_with(&format!("generation 1: the grace period is spent, killing {main} (sh)")), "{text}");
        assert!(members.iter().all(|pid| text.contains(&format!("{pid} ("))), "{text}");
        assert_eq!(end_of(&mut processes), Outcome::Signaled(Signal::KILL));
        until("all gone", || processes.reap().is_empty() && processes.childless);
        assert!(members.iter().all(|pid| state_of(*pid).is_none()));
    }));
}

#[test]
fn nobody_to_kill_is_nothing_to_tell() {
    drop(alone(|| {
        let (_, mut processes, _) = started("exit 0");
        assert_eq!(end_of(&mut processes), Outcome::Exited(0));
        until("no child", || processes.reap().is_empty() && processes.childless);
        let mut out = Out::default();
        processes.kill(FIRST, &mut out);
        assert!(out.texts().is_empty());
        // It is told when there is somebody.
        assert!(!processes.trees.get(&FIRST).expect("it was started").said_killed);
    }));
}

#[test]
fn a_signal_to_each_continues_the_stopped() {
    drop(alone(|| {
        let (_, mut processes, main) = started("exec sleep 1000");
        stop(main);
        // Those that are gone are passed over.
        signal_each(&[Pid::new(i32::MAX), main], Signal::TERM);
        assert_eq!(end_of(&mut processes), Outcome::Signaled(Signal::TERM));
    }));
}

#[test]
fn a_running_process_is_not_continued() {
    drop(alone(|| {
        let script =
            "trap 'echo cont >> got' CONT; trap 'echo usr >> got' USR1; echo > up; while :; do sleep 0.01; done";
        let (_, _processes, main) = started(script);
        until("the traps", || std::fs::read("up").is_ok_and(|up| !up.is_empty()));
        signal_each(&[main], Signal::USR1);
        until("the trap", || std::fs::read_to_string("got").is_ok_and(|got| !got.is_empty()));
        assert_eq!(std::fs::read_to_string("got").expect("it was written"), "usr\n");
    }));
}

#[test]
fn a_tree_is_killed_with_its_root() {
    drop(alone(|| {
        let (_, mut processes, main) = started("setsid sleep 1000 & wait");
        grown(&processes, FIRST, 2);
        let all = processes.members(FIRST);
        kill_tree(main);
        assert_eq!(end_of(&mut processes), Outcome::Signaled(Signal::KILL));
        until("all gone", || processes.reap().is_empty() && processes.childless);
        assert!(all.iter().all(|pid| state_of(*pid).is_none()));
    }));
}

#[test]
fn a_kill_looks_again_until_nobody_lives() {
    drop(alone(|| {
        let (_, processes, main) = started("exec sleep 1000");
        let passes = Cell::new(0);
        kill_all(Some(main), || {
            passes.set(passes.get() + 1);
            processes.members(FIRST)
        });
        until("its end", || state_of(main) == Some('Z'));
        assert!(passes.get() >= 2, "after a kill it looks again");
    }));
}

#[test]
fn a_whole_group_goes_at_once_whoever_of_it_is_named() {
    drop(alone(|| {
        let (_, mut processes, main) = started("sleep 1000 & sleep 1000 & wait");
        grown(&processes, FIRST, 3);
        let all = processes.members(FIRST);
        // One pass names one of them alone: the others are in its group, which was made in the tree.
        let named = Cell::new(false);
        kill_all(Some(main), || if named.replace(true) { Vec::new() } else { vec![all[2]] });
        until("all gone", || {
            drop(processes.reap());
            processes.childless
        });
        assert!(all.iter().all(|pid| state_of(*pid).is_none()));
    }));
}

#[test]
fn a_group_that_is_not_of_the_tree_is_spared() {
    drop(alone(|| {
        // The command leads a group; a member of that group is named, its leader is not.
        let (world, mut processes) = (plain(), shell("exit 0"));
        let leader =
            processes.shell(&world.view(), FIRST).run("sleep 1000 & echo > up; wait", &[], None).expect("it runs");
        until("a child of it", || process::children(leader).len() == 1);
        let child = process::children(leader)[0];
        kill_all(None, || if state_of(child).is_some_and(|state| state != 'Z') { vec![child] } else { Vec::new() });
        // The shell has lost its child and ends well: it was not killed.
        assert_eq!(wait_for(&mut processes, leader), (Changed::Exited(0), Role::Command));
    }));
}
