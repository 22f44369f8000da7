//! Ends: whether a generation may be started again, and what is known when all of it is gone.

use adieu_core::outcome::{Cause, Outcome};
use adieu_core::signal::Signal;

use super::*;
use crate::testing::alone;

#[test]
fn what_failed_by_itself_may_be_started_again() {
    drop(alone(|| {
        let (_, processes, _) = started("exit 1");
        assert!(processes.may_start_again(FIRST, Outcome::Exited(1)));
        assert!(!processes.may_start_again(FIRST, Outcome::Exited(0)));
        assert!(!processes.may_start_again(FIRST, Outcome::Signaled(Signal::KILL)));
        assert!(!processes.may_start_again(SECOND, Outcome::Exited(1)));
    }));
}

#[test]
fn before_a_second_start_what_is_left_is_asked_to_end() {
    drop(alone(|| {
        let world = plain();
        let mut processes = shell("sleep 1000 & exit 9");
        let request = Some(RequestId::new(4));
        assert!(try_start(&mut processes, &world, FIRST, (request, None)).is_ok());
        assert_eq!(processes.starts_again(FIRST), None);
        assert_eq!(end_of(&mut processes), Outcome::Exited(9));
        let left = processes.members(FIRST);
        assert_eq!(left.len(), 1);
        processes.start_again_after(FIRST, Signal::TERM);
        assert_eq!(processes.starts_again(FIRST), Some((request, Outcome::Exited(9))));
        assert_eq!(wait_for(&mut processes, left[0]).0, Changed::Signaled(Signal::TERM));
        assert_eq!(processes.starts_again(SECOND), None);
    }));
}

#[test]
fn a_second_start_after_an_end_that_nobody_saw_counts_as_a_failure() {
    drop(alone(|| {
        let (_, mut processes, _) = started("exec sleep 1000");
        processes.start_again_after(FIRST, Signal::TERM);
        assert_eq!(processes.starts_again(FIRST), Some((None, Outcome::Exited(1))));
    }));
}

/// The memory cgroup of generation 1 as the test has it: it had 3 kills when it was last looked at.
fn with_kills(processes: &mut Processes, now: u64) {
    std::fs::write("memory.events", format!("oom 9\noom_kill {now}\n")).expect("a file");
    processes.trees.get_mut(&FIRST).expect("it was started").oom = Some(("./".into(), 3));
}

#[test]
fn a_kill_for_want_of_memory_is_told_from_other_ends() {
    drop(alone(|| {
        let killed = Outcome::Signaled(Signal::KILL);
        for (outcome, kills, cause) in [
            (killed, 4, Cause::Oom),
            (killed, 3, Cause::Forced),
            (Outcome::Signaled(Signal::TERM), 4, Cause::Forced),
            (Outcome::Exited(137), 4, Cause::Forced),
        ] {
            let (_, mut processes, main) = started("exit 0");
            let started = processes.started(FIRST).expect("it was");
            with_kills(&mut processes, kills);
            let end = processes.retire(FIRST, outcome, Cause::Forced).expect("it is known");
            assert_eq!((end.main, end.started, end.cause), (Some(main), started, cause), "{outcome} after {kills}");
            assert!(processes.generations().is_empty());
            assert!(processes.retire(FIRST, outcome, Cause::Forced).is_none());
        }
    }));
}

#[test]
fn without_a_memory_cgroup_no_kill_is_for_want_of_memory() {
    drop(alone(|| {
        let (_, mut processes, _) = started("exit 0");
        processes.trees.get_mut(&FIRST).expect("it was started").oom = None;
        let end = processes.retire(FIRST, Outcome::Signaled(Signal::KILL), Cause::Signal).expect("it is known");
        assert_eq!(end.cause, Cause::Signal);
    }));
}

#[test]
fn nothing_is_known_of_a_generation_that_never_was() {
    drop(alone(|| {
        let mut processes = shell("exit 0");
        assert_eq!((processes.main(FIRST), processes.outcome(FIRST), processes.started(FIRST)), (None, None, None));
        assert_eq!((processes.command(FIRST), processes.last_lines(FIRST)), (None, None));
        assert_eq!((processes.not_executed(FIRST), processes.keeper(FIRST)), (None, None));
        assert!(!processes.has_keeper(FIRST) && !processes.is_tree_gone(FIRST));
        assert!(processes.signal_main(FIRST, Signal::TERM).is_none());
        assert!(processes.members(FIRST).is_empty() && processes.direct().is_empty());
        assert!(processes.hear(FIRST).is_none());
        processes.main_ended(FIRST, Outcome::Exited(0));
        processes.forget(FIRST);
        assert!(processes.generations().is_empty());
    }));
}
