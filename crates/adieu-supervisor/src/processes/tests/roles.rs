//! What a child of ours was, and what its news mean.

use adieu_core::outcome::Outcome;
use adieu_core::signal::Signal;

use super::*;
use crate::testing::alone;

#[test]
fn children_are_told_apart() {
    drop(alone(|| {
        // Its orphan becomes a child of ours.
        let (world, mut processes, main) = started("sh -c 'exit 3' & echo $! > orphan; exit 1");
        let command = processes.shell(&world.view(), FIRST).run("exit 2", &[], None).expect("it runs");
        assert_eq!(wait_for(&mut processes, main), (Changed::Exited(1), Role::Main(FIRST)));
        // A main process that has ended is none any more: its number may be somebody else's.
        assert_eq!(processes.role_of(main, Changed::Exited(1)), Role::Other);
        let orphan = std::fs::read_to_string("orphan").expect("it was written").trim().parse().expect("a pid");
        let mut roles = Vec::new();
        until("both ends", || {
            for (pid, change) in processes.reap() {
                roles.push((pid, processes.role_of(pid, change)));
            }
            // Whichever ended while the main process was waited for is gone.
            state_of(command).is_none() && state_of(orphan).is_none()
        });
        assert!(!roles.contains(&(orphan, Role::Command)) && !roles.contains(&(command, Role::Other)), "{roles:?}");
        assert_eq!(processes.role_of(command, Changed::Exited(2)), Role::Other, "it is over");
    }));
}

#[test]
fn a_command_is_one_until_it_has_ended() {
    drop(alone(|| {
        let (world, mut processes) = (plain(), shell("exit 0"));
        let command = processes.shell(&world.view(), FIRST).run("exit 2", &[], None).expect("it runs");
        assert_eq!(processes.role_of(command, Changed::Stopped(Signal::STOP)), Role::Other);
        assert_eq!(processes.role_of(command, Changed::Continued), Role::Other);
        assert_eq!(wait_for(&mut processes, command), (Changed::Exited(2), Role::Command));
        assert_eq!(processes.role_of(command, Changed::Exited(2)), Role::Other);
    }));
}

#[test]
fn a_pause_is_no_end() {
    drop(alone(|| {
        let (_, processes, main) = started("exec sleep 1000");
        for (change, outcome) in [
            (Changed::Exited(4), Some(Outcome::Exited(4))),
            (Changed::Signaled(Signal::TERM), Some(Outcome::Signaled(Signal::TERM))),
            (Changed::Stopped(Signal::TSTP), None),
            (Changed::Continued, None),
        ] {
            assert_eq!(processes.outcome_of(FIRST, change), outcome);
        }
        // Without a terminal nobody stops with it.
        stop(main);
        assert_eq!(processes.outcome_of(FIRST, Changed::Stopped(Signal::STOP)), None);
        assert_eq!(state_of(main), Some('T'));
    }));
}

#[test]
fn stops_are_no_news_without_a_terminal() {
    drop(alone(|| {
        let (_, mut processes, main) = started("exec sleep 1000");
        stop(main);
        assert_eq!(processes.reap(), []);
    }));
}
