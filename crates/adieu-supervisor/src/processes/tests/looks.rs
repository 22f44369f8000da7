//! How often the memory cgroup of a program is looked at, and by whom.

use std::time::Duration;

use adieu_core::outcome::Outcome;

use super::*;
use crate::options::Hook;
use crate::testing::alone;

#[test]
fn a_plain_init_looks_only_for_a_hook_that_wants_to_know() {
    drop(alone(|| {
        let (mut world, mut processes, _) = started("exec sleep 1000");
        assert_eq!(processes.next(&world.view()), None);
        world.options.post_stop = Some(Hook::Command("true".to_owned()));
        assert_eq!(processes.next(&world.view()), Some(processes.next_look));
        world.options.post_stop = None;
        world.options.sockets = Sockets::Pass;
        assert_eq!(processes.next(&world.view()), Some(processes.next_look));
        processes.main_ended(FIRST, Outcome::Exited(0));
        assert_eq!(processes.next(&world.view()), None, "nobody is left to look at");
    }));
}

/// What is known of the memory cgroup before anybody looks.
fn stale(processes: &mut Processes) {
    processes.trees.get_mut(&FIRST).expect("it was started").oom = Some(("/nowhere".into(), 7));
}

fn is_stale(processes: &Processes) -> bool {
    let place = processes.trees.get(&FIRST).expect("it was started").oom.as_ref();
    place.is_some_and(|(place, _)| place.as_os_str() == "/nowhere")
}

#[test]
fn a_look_is_taken_when_it_is_time_and_the_next_one_a_second_later() {
    drop(alone(|| {
        let (mut world, mut processes, _) = started("exec sleep 1000");
        world.options.sockets = Sockets::Pass;
        processes.next_look = world.now + Duration::from_millis(1);
        stale(&mut processes);
        processes.advance(&world.view());
        assert!(is_stale(&processes), "it is not time yet");
        world.now = processes.next_look;
        processes.advance(&world.view());
        assert!(!is_stale(&processes));
        assert_eq!(processes.next(&world.view()), Some(world.now + Duration::from_secs(1)));
        world.options.sockets = Sockets::Off;
        world.now = world.now + Duration::from_secs(2);
        stale(&mut processes);
        processes.advance(&world.view());
        assert!(is_stale(&processes), "nobody wants to know");
    }));
}

#[test]
fn a_program_that_has_not_moved_keeps_the_count_that_was_taken_first() {
    drop(alone(|| {
        let (_, mut processes, main) = started("exec sleep 1000");
        let known = process::oom_kills(main).map(|(place, kills)| (place, kills + 5));
        processes.trees.get_mut(&FIRST).expect("it was started").oom = known.clone();
        processes.look_at_memory();
        assert_eq!(processes.trees.get(&FIRST).expect("it was started").oom, known);
        processes.main_ended(FIRST, Outcome::Exited(0));
        stale(&mut processes);
        processes.look_at_memory();
        assert!(is_stale(&processes), "of one that has ended nothing can be read");
    }));
}

#[test]
fn whoever_serves_under_a_keeper_is_looked_at() {
    drop(alone(|| {
        let (_, mut processes, main) = started("exec sleep 1000");
        stale(&mut processes);
        processes.serving(FIRST);
        assert!(is_stale(&processes), "a plain init reads nothing for it");
        processes.trees.get_mut(&FIRST).expect("it was started").root = super::super::tree::Root::Keeper(main);
        processes.serving(FIRST);
        assert!(!is_stale(&processes));
    }));
}

#[test]
fn a_plain_init_reads_its_own_count_at_a_start_only_for_a_hook() {
    drop(alone(|| {
        let (mut world, mut processes, _) = started("exec sleep 1000");
        assert_eq!(processes.trees.get(&FIRST).expect("it was started").oom, None);
        world.options.post_stop = Some(Hook::Command("true".to_owned()));
        start(&mut processes, &world, SECOND);
        let ours = process::oom_kills(process::own_pid()).map(|(place, _)| place);
        let noted = processes.trees.get(&SECOND).expect("it was started").oom.clone();
        assert_eq!(noted.map(|(place, _)| place), ours);
    }));
}
