//! Signals on their way to a main process.

use adieu_core::outcome::Outcome;
use adieu_core::signal::Signal;
use adieu_linux::errno;
use adieu_linux::pidfd::Pidfd;

use super::super::tree::{Reach, Tree};
use super::*;
use crate::testing::alone;

fn tree(processes: &mut Processes) -> &mut Tree {
    processes.trees.get_mut(&FIRST).expect("it was started")
}

/// As if a keeper had not told yet which process it is.
fn unknown(processes: &mut Processes) -> Pid {
    let tree = tree(processes);
    tree.reach = Reach::NotYet(Vec::new());
    tree.keeps_stops = false;
    tree.main.take().expect("it is known")
}

#[test]
fn early_signals_wait_for_the_process_that_they_are_for() {
    drop(alone(|| {
        let (_, mut processes, _) = started("exec sleep 1000");
        let main = unknown(&mut processes);
        assert!(processes.signal_main(FIRST, Signal::USR1).expect("it is known").is_ok());
        assert_eq!(processes.reap(), [], "nobody has got it yet");
        processes.main_started(FIRST, main);
        assert_eq!(processes.main(FIRST), Some(main));
        assert_eq!(end_of(&mut processes), Outcome::Signaled(Signal::USR1));
    }));
}

#[test]
fn nothing_is_kept_for_a_process_that_has_ended() {
    drop(alone(|| {
        let (_, mut processes, _) = started("exec sleep 1000");
        let _main = unknown(&mut processes);
        processes.main_ended(FIRST, Outcome::Exited(125));
        assert!(processes.signal_main(FIRST, Signal::USR1).expect("it is known").is_ok());
        assert!(matches!(&tree(&mut processes).reach, Reach::NotYet(early) if early.is_empty()));
    }));
}

#[test]
fn a_stopped_program_is_continued_to_see_its_signal() {
    drop(alone(|| {
        for asks_kernel in [true, false] {
            let (_, mut processes, main) = started("exec sleep 1000");
            tree(&mut processes).keeps_stops = asks_kernel;
            stop(main);
            for stays in [Signal::STOP, Signal::TSTP] {
                assert!(processes.signal_main(FIRST, stays).expect("it is known").is_ok());
                assert_eq!(state_of(main), Some('T'), "{stays}");
            }
            assert!(processes.signal_main(FIRST, Signal::TERM).expect("it is known").is_ok());
            assert_eq!(end_of(&mut processes), Outcome::Signaled(Signal::TERM));
        }
    }));
}

#[test]
fn a_running_program_gets_its_signal_alone() {
    drop(alone(|| {
        // A continue would be noticed.
        let script =
            "trap 'echo cont >> got' CONT; trap 'echo usr >> got' USR1; echo ready > up; while :; do sleep 0.01; done";
        let (_, mut processes, main) = started(script);
        until("the traps", || std::fs::read("up").is_ok_and(|up| !up.is_empty()));
        assert!(processes.signal_main(FIRST, Signal::USR1).expect("it is known").is_ok());
        until("the trap", || std::fs::read_to_string("got").is_ok_and(|got| got == "usr\n"));
        tree(&mut processes).reach = Reach::Pidfd(Pidfd::open(main).expect("our child"));
        tree(&mut processes).keeps_stops = false;
        assert!(processes.signal_main(FIRST, Signal::USR1).expect("it is known").is_ok());
        until("the trap", || std::fs::read_to_string("got").is_ok_and(|got| got == "usr\nusr\n"));
    }));
}

#[test]
fn who_was_reaped_is_not_there_any_more() {
    drop(alone(|| {
        let (_, mut processes, _) = started("exit 0");
        assert_eq!(end_of(&mut processes), Outcome::Exited(0));
        let sent = processes.signal_main(FIRST, Signal::TERM).expect("it is known");
        assert_eq!(sent.expect_err("it is gone").raw_os_error(), Some(errno::ESRCH));
    }));
}

#[test]
fn the_number_of_a_reaped_process_is_free_before_its_end_is_looked_at() {
    drop(alone(|| {
        let (_, mut processes, main) = started("exit 0");
        let mut changes = Vec::new();
        until("its end", || {
            changes = processes.reap();
            !changes.is_empty()
        });
        assert_eq!(changes, [(main, Changed::Exited(0))]);
        assert!(processes.signal_main(FIRST, Signal::TERM).is_some_and(|sent| sent.is_err()));
        assert_eq!(processes.role_of(main, Changed::Exited(0)), Role::Main(FIRST), "it is still to be told");
    }));
}

#[test]
fn a_program_with_a_descriptor_keeps_it() {
    drop(alone(|| {
        let (_, mut processes, main) = started("exit 0");
        tree(&mut processes).reach = Reach::Pidfd(Pidfd::open(main).expect("our child"));
        assert_eq!(end_of(&mut processes), Outcome::Exited(0));
        assert!(matches!(tree(&mut processes).reach, Reach::Pidfd(_)));
        let sent = processes.signal_main(FIRST, Signal::TERM).expect("it is known");
        assert_eq!(sent.expect_err("it is gone").raw_os_error(), Some(errno::ESRCH));
    }));
}
