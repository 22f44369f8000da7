//! A reload with one thing going wrong after each of its steps.

use super::super::{Action, Event, Generation};
use super::world::World;
use super::{policies, policy};
use crate::outcome::Outcome;
use crate::restart::Restart;
use crate::signal::Signal;

const KILLED: Outcome = Outcome::Signaled(Signal::KILL);

/// What can go wrong at any moment.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Dies(Generation),
    BothDie,
    Stop,
    Force,
    Reload,
    TimePasses,
}

const FAULTS: [Fault; 7] =
    [Fault::Dies(1), Fault::Dies(2), Fault::BothDie, Fault::Stop, Fault::Force, Fault::Reload, Fault::TimePasses];

fn dies(world: &mut World, generation: Generation) {
    if world.programs.get(&generation).is_some_and(|program| !program.main_gone) {
        world.tell(Event::MainExited(generation, KILLED));
        world.tell(Event::TreeGone(generation));
    }
}

impl Fault {
    fn strike(self, world: &mut World) {
        match self {
            Self::Dies(generation) => dies(world, generation),
            Self::BothDie => [1, 2].into_iter().for_each(|generation| dies(world, generation)),
            Self::Stop => world.step(Event::Stop),
            Self::Force => world.step(Event::Force),
            Self::Reload => world.step(Event::Reload(99)),
            Self::TimePasses => world.step(Event::Timeout),
        }
    }
}

/// What a program and its driver do when all goes well.
fn next_of_a_good_run(world: &World) -> Option<Event> {
    if let Some(generation) = world.switching {
        return Some(Event::Switched(generation));
    }
    for (generation, program) in &world.programs {
        if program.main_gone {
            return Some(Event::TreeGone(*generation));
        }
        if program.pre_stop {
            return Some(Event::PreStopDone(*generation));
        }
        let asked = world.performed.contains(&Action::AskMain(*generation));
        if asked || program.killed {
            return Some(Event::MainExited(*generation, Outcome::Exited(0)));
        }
        if !program.ready {
            return Some(Event::Ready(*generation));
        }
        if program.watches_queues {
            return Some(Event::QueuesEmpty(*generation));
        }
        if program.watches_owed {
            return Some(Event::Drained(*generation));
        }
    }
    if world.requests.is_empty() {
        return Some(Event::Reload(1));
    }
    world.machine.poll_timeout().map(|_| Event::Timeout)
}

/// Runs a reload; the fault strikes after step number `at`. False when the run was shorter.
fn with_fault(mut world: World, fault: Fault, at: usize) -> bool {
    world.step(Event::Start);
    let mut struck = false;
    for number in 0..100 {
        if number == at {
            struck = true;
            // The driver answers a switch at once: nothing can be heard in between.
            if world.switching.is_none() {
                fault.strike(&mut world);
            }
        }
        match next_of_a_good_run(&world) {
            Some(event) if world.exited.is_none() => world.step(event),
            _ => break,
        }
    }
    if world.exited.is_none() && world.requests.values().any(Option::is_none) {
        world.fail(&format!("{fault:?} after step {at}: a reload was never answered"));
    }
    world.liveness();
    struck
}

#[test]
fn whatever_goes_wrong_at_any_step_somebody_serves_and_every_reload_is_answered() {
    for policy in policies() {
        for fault in FAULTS {
            let steps = (0..100).take_while(|at| with_fault(World::new(policy.clone()), fault, *at)).count();
            assert!((5..100).contains(&steps), "{policy:?} {fault:?}: {steps} steps");
        }
    }
}

#[test]
fn a_switch_that_fails_leaves_the_old_one_serving() {
    for restart in [Restart::Never, Restart::Always] {
        let mut world = World::new(policy(true, restart, false, false));
        for event in [Event::Start, Event::Ready(1), Event::Reload(1), Event::Ready(2), Event::SwitchFailed(2)] {
            world.step(event);
        }
        assert_eq!(world.machine.serving(), Some(1));
        assert_eq!(world.requests[&1], Some(false));
        world.liveness();
    }
}

#[test]
fn one_that_dies_while_settling_gives_the_connections_back() {
    let mut world = World::new(policy(true, Restart::Never, false, false));
    for event in [Event::Start, Event::Ready(1), Event::Reload(1), Event::Ready(2), Event::Switched(2)] {
        world.step(event);
    }
    world.step(Event::MainExited(2, KILLED));
    assert_eq!(world.switching, Some(1));
    world.step(Event::Switched(1));
    assert_eq!(world.machine.serving(), Some(1));
    assert_eq!(world.requests[&1], Some(false));
    // And the next reload works.
    world.step(Event::TreeGone(2));
    for event in [Event::Reload(2), Event::Ready(3), Event::Switched(3)] {
        world.step(event);
    }
    assert_eq!(world.machine.serving(), Some(3));
    world.liveness();
}

#[test]
fn without_overlap_a_newcomer_that_fails_makes_place_for_the_command_before() {
    let mut world = World::new(policy(false, Restart::Never, false, false));
    for event in [Event::Start, Event::Ready(1), Event::Reload(1), Event::Drained(1)] {
        world.step(event);
    }
    world.step(Event::MainExited(1, Outcome::Exited(0)));
    world.step(Event::TreeGone(1));
    assert!(world.performed.contains(&Action::Spawn(2, Some(1))));
    world.step(Event::MainExited(2, Outcome::Exited(1)));
    assert_eq!(world.requests[&1], Some(false));
    world.step(Event::TreeGone(2));
    assert!(world.performed.contains(&Action::Spawn(3, None)), "the command before: {:?}", world.performed);
    world.step(Event::Ready(3));
    assert_eq!(world.machine.serving(), Some(3));
    world.liveness();
}

/// Found by the long search: it was replaced before it was ready, and is all there is when its successor has died.
#[test]
fn one_that_becomes_ready_after_its_successor_has_died_serves() {
    let mut world = World::new(policy(true, Restart::OnFailure, false, false));
    for event in [Event::Start, Event::Reload(1), Event::Ready(2), Event::Switched(2), Event::MainExited(2, KILLED)] {
        world.step(event);
    }
    world.step(Event::Ready(1));
    assert_eq!(world.switching, Some(1));
    world.step(Event::Switched(1));
    world.step(Event::TreeGone(2));
    assert_eq!((world.machine.serving(), world.machine.poll_timeout()), (Some(1), None));
    world.liveness();
}

#[test]
fn a_reload_that_waited_for_an_empty_place_goes_on_when_somebody_serves_after_all() {
    let mut world = World::new(policy(true, Restart::OnFailure, false, false));
    for event in [Event::Start, Event::Reload(1), Event::Ready(2), Event::Switched(2), Event::MainExited(2, KILLED)] {
        world.step(event);
    }
    for event in [Event::Reload(2), Event::Ready(1), Event::Switched(1)] {
        world.step(event);
    }
    assert!(world.performed.contains(&Action::Spawn(3, Some(2))), "{:?}", world.performed);
    world.step(Event::MainExited(1, Outcome::Exited(0)));
    world.liveness();
}
