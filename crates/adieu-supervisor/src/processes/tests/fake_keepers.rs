//! What a keeper says, by a channel whose other end the test has, and what it means that it is gone.

use std::os::fd::{AsFd, OwnedFd};

use adieu_core::signal::Signal;
use adieu_linux::scm_rights;

use super::super::keeper::Message;
use super::super::tree::{Reach, Root};
use super::*;
use crate::interests::{Interests, Source};
use crate::testing::alone;
use crate::view::Out;

const STARTED: u8 = 10;
const EMPTY: u8 = 13;

fn message(tag: u8, value: u8) -> [u8; 5] {
    [tag, value, 0, 0, 0]
}

/// A program under a keeper that the test plays: a shell of its own, with the program as its child.
fn kept(script: &str) -> (World, Processes, Pid, OwnedFd) {
    let (mut world, mut processes, keeper) = started(script);
    world.options.sockets = Sockets::Auto;
    let (ours, theirs) = scm_rights::pair().expect("a pair");
    let tree = processes.trees.get_mut(&FIRST).expect("it was started");
    (tree.root, tree.main, tree.channel) = (Root::Keeper(keeper), None, Some(ours));
    (tree.reach, tree.keeps_stops) = (Reach::NotYet(Vec::new()), false);
    (world, processes, keeper, theirs)
}

#[test]
fn a_keeper_is_heard_until_it_has_said_the_last() {
    drop(alone(|| {
        for last in [Some(message(EMPTY, 0)), None] {
            let (_, mut processes, keeper, theirs) = kept("exec sleep 1000");
            let listens = |processes: &Processes| {
                let mut interests = Interests::default();
                processes.interests(&mut interests);
                interests.into_sources() == [Source::Keeper(std::cmp::Reverse(FIRST))]
            };
            assert!(listens(&processes) && processes.hear(FIRST).is_none());
            scm_rights::send(theirs.as_fd(), &message(STARTED, 5), None).expect("it is open");
            assert!(matches!(processes.hear(FIRST), Some((Message::Started(pid), None)) if pid == Pid::new(5)));
            assert!(listens(&processes));
            if let Some(last) = last {
                scm_rights::send(theirs.as_fd(), &last, None).expect("it is open");
            }
            drop(theirs);
            let heard = processes.hear(FIRST).expect("the last");
            assert_eq!(matches!(heard.0, Message::Empty), last.is_some());
            assert_eq!(matches!(heard.0, Message::Gone), last.is_none());
            assert!(!listens(&processes) && processes.hear(FIRST).is_none());
            assert_eq!((processes.keeper(FIRST), processes.has_keeper(FIRST)), (Some(keeper), true));
            assert!(processes.direct().is_empty());
        }
    }));
}

#[test]
fn the_processes_of_a_keeper_are_those_below_it() {
    drop(alone(|| {
        let (world, mut processes, keeper, _channel) = kept("sleep 1000 & sleep 1000 & wait");
        grown(&processes, FIRST, 2);
        assert_eq!(processes.members(FIRST), process::descendants(keeper));
        let mut direct = world;
        direct.options.sockets = Sockets::Off;
        let other = start(&mut processes, &direct, SECOND);
        grown(&processes, SECOND, 3);
        let (of_it, of_other) = (processes.members(FIRST), processes.members(SECOND));
        assert_eq!((of_other.len(), of_other[0]), (3, other));
        assert!(!of_other.contains(&keeper) && !of_other.iter().any(|pid| of_it.contains(pid)));
        assert_eq!(processes.direct(), [SECOND]);
    }));
}

#[test]
fn a_stopped_keeper_is_continued_to_see_that_it_is_over() {
    drop(alone(|| {
        let (_, mut processes, keeper, _channel) = kept("sleep 1000; exit 3");
        grown(&processes, FIRST, 1);
        stop(keeper);
        processes.kill(FIRST, &mut Out::default());
        assert_eq!(wait_for(&mut processes, keeper), (Changed::Exited(3), Role::Other));
    }));
}

#[test]
fn of_a_lost_keeper_the_first_child_is_the_program_where_nobody_has_said_which() {
    drop(alone(|| {
        for told in [false, true] {
            let (_, mut processes, keeper, _channel) = kept("sleep 1000 & sleep 1001 & wait");
            grown(&processes, FIRST, 2);
            let below = process::children(keeper);
            if told {
                processes.main_started(FIRST, below[1]);
            }
            process::signal_child(keeper, Signal::KILL).expect("our child");
            assert_eq!(wait_for(&mut processes, keeper), (Changed::Signaled(Signal::KILL), Role::Other));
            let mut out = Out::default();
            let first = processes.lose_keeper(FIRST, &mut out);
            assert_eq!(first, if told { None } else { Some(below[0]) });
            let text = "the keeper of generation 1 was killed; its processes are looked after directly";
            assert_eq!(out.texts(), [text]);
            assert_eq!((processes.keeper(FIRST), processes.has_keeper(FIRST)), (None, false));
            assert_eq!(processes.members(FIRST), below);
            let mut out = Out::default();
            assert_eq!(processes.lose_keeper(FIRST, &mut out), None, "it is lost once");
            assert!(out.texts().is_empty());
            processes.kill(FIRST, &mut Out::default());
            until("all gone", || processes.reap().is_empty() && processes.childless);
        }
    }));
}

#[test]
fn a_tree_under_a_keeper_is_not_gone_by_what_is_seen_of_it() {
    drop(alone(|| {
        let (_, mut processes, keeper, _channel) = kept("exec sleep 1000");
        let tree = processes.trees.get_mut(&FIRST).expect("it was started");
        (tree.main, tree.channel) = (Some(Pid::new(i32::MAX)), None);
        assert!(!processes.is_tree_gone(FIRST), "its keeper lives");
        processes.main_ended(FIRST, adieu_core::outcome::Outcome::Exited(0));
        assert!(processes.is_tree_gone(FIRST), "nobody is below {keeper}");
    }));
}
