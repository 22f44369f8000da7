//! Which processes are whose, and when none is left.

use adieu_core::outcome::Outcome;
use adieu_core::signal::Signal;

use super::*;
use crate::testing::alone;

#[test]
fn a_tree_is_gone_with_the_last_that_its_main_process_has_left() {
    drop(alone(|| {
        let (_, mut processes, main) = started("sleep 1000 & exit 0");
        assert_eq!(end_of(&mut processes), Outcome::Exited(0));
        let left = processes.members(FIRST);
        assert!(left.len() == 1 && left[0] != main, "{left:?}");
        assert!(!processes.is_tree_gone(FIRST));
        processes.signal_all(FIRST, Signal::TERM);
        assert_eq!(wait_for(&mut processes, left[0]), (Changed::Signaled(Signal::TERM), Role::Other));
        assert!(processes.members(FIRST).is_empty() && processes.is_tree_gone(FIRST));
    }));
}

#[test]
fn a_tree_whose_main_process_lives_is_not_gone() {
    drop(alone(|| {
        let (_, mut processes, _) = started("exec sleep 1000");
        assert!(!processes.is_tree_gone(FIRST));
        assert_eq!(processes.direct(), [FIRST]);
        // Nobody has told us of its end, and it is not there.
        let tree = processes.trees.get_mut(&FIRST).expect("it was started");
        let main = tree.main.replace(Pid::new(i32::MAX)).expect("it is known");
        assert!(!processes.is_tree_gone(FIRST), "a process is left");
        process::signal_child(main, Signal::KILL).expect("our child");
        assert_eq!(wait_for(&mut processes, main).1, Role::Other);
        assert!(processes.is_tree_gone(FIRST));
        // It may still be told over the channel.
        let (ours, _theirs) = adieu_linux::scm_rights::pair().expect("a pair");
        processes.trees.get_mut(&FIRST).expect("it was started").channel = Some(ours);
        assert!(!processes.is_tree_gone(FIRST));
    }));
}

#[test]
fn generations_and_commands_are_not_mixed_up() {
    drop(alone(|| {
        let (world, mut processes, one) = started("sleep 1000 & wait");
        let two = start(&mut processes, &world, SECOND);
        let command = processes.shell(&world.view(), FIRST).run("sleep 1000 & wait", &[], None).expect("it runs");
        until("all three and their children", || process::descendants(process::own_pid()).len() == 6);
        let (of_one, of_two) = (processes.members(FIRST), processes.members(SECOND));
        assert!(of_one.len() == 2 && of_one[0] == one, "{of_one:?}");
        assert!(of_two.len() == 2 && of_two[0] == two, "{of_two:?}");
        assert!(!of_one.contains(&command) && !of_two.contains(&command));
        assert_eq!(processes.generations(), [FIRST, SECOND]);
        assert_eq!(processes.direct(), [FIRST, SECOND]);
        until("the program of the shell", || {
            processes.names_of(FIRST).last().is_some_and(|name| name.ends_with("(sleep)"))
        });
        assert_eq!(processes.names_of(FIRST)[0], format!("{one} (sh)"));
    }));
}

#[test]
fn those_that_have_ended_have_no_name() {
    drop(alone(|| {
        let (_, processes, main) = started("exit 0");
        until("a zombie", || state_of(main) == Some('Z'));
        assert_eq!(processes.members(FIRST), [main]);
        assert!(processes.names_of(FIRST).is_empty());
    }));
}

#[test]
fn without_any_child_nobody_is_looked_for_until_the_next_start() {
    drop(alone(|| {
        let (world, mut processes, _) = started("exit 0");
        assert_eq!(end_of(&mut processes), Outcome::Exited(0));
        until("no child", || processes.reap().is_empty() && processes.childless);
        let command = processes.shell(&world.view(), FIRST).run("exit 0", &[], None).expect("it runs");
        assert!(!processes.childless);
        assert_eq!(wait_for(&mut processes, command).1, Role::Command);
        until("no child", || processes.reap().is_empty() && processes.childless);
        let main = start(&mut processes, &world, SECOND);
        assert_eq!(processes.members(SECOND), [main]);
        processes.childless = true;
        assert!(processes.members(SECOND).is_empty(), "what is known is not asked for");
    }));
}
