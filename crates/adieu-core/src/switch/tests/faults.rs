//! A reload with one thing going wrong after each of its steps.

use super::super::{Action, Event, Generation};
use super::world::World;
use super::{generation, policies, policy, request};
use crate::outcome::Outcome;
use crate::restart::Restart;
use crate::signal::Signal;

const KILLED: Outcome = Outcome::Signaled(Signal::KILL);
const FIRST: Generation = generation(1);
const SECOND: Generation = generation(2);
const THIRD: Generation = generation(3);

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

const FAULTS: [Fault; 7] = [
    Fault::Dies(FIRST),
    Fault::Dies(SECOND),
    Fault::BothDie,
    Fault::Stop,
    Fault::Force,
    Fault::Reload,
    Fault::TimePasses,
];

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
            Self::BothDie => [FIRST, SECOND].into_iter().for_each(|generation| dies(world, generation)),
            Self::Stop => world.step(Event::Stop),
            Self::Force => world.step(Event::Force),
            Self::Reload => world.step(Event::Reload(request(99))),
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
        return Some(Event::Reload(request(1)));
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
        for event in [
            Event::Start,
            Event::Ready(FIRST),
            Event::Reload(request(1)),
            Event::Ready(SECOND),
            Event::SwitchFailed(SECOND),
        ] {
            world.step(event);
        }
        assert_eq!(world.machine.serving(), Some(FIRST));
        assert_eq!(world.requests[&request(1)], Some(false));
        world.liveness();
    }
}

#[test]
fn one_that_dies_while_settling_gives_the_connections_back() {
    let mut world = World::new(policy(true, Restart::Never, false, false));
    for event in
        [Event::Start, Event::Ready(FIRST), Event::Reload(request(1)), Event::Ready(SECOND), Event::Switched(SECOND)]
    {
        world.step(event);
    }
    world.step(Event::MainExited(SECOND, KILLED));
    assert_eq!(world.switching, Some(FIRST));
    world.step(Event::Switched(FIRST));
    assert_eq!(world.machine.serving(), Some(FIRST));
    assert_eq!(world.requests[&request(1)], Some(false));
    // And the next reload works.
    world.step(Event::TreeGone(SECOND));
    for event in [Event::Reload(request(2)), Event::Ready(THIRD), Event::Switched(THIRD)] {
        world.step(event);
    }
    assert_eq!(world.machine.serving(), Some(THIRD));
    world.liveness();
}

#[test]
fn without_overlap_a_newcomer_that_fails_makes_place_for_the_command_before() {
    let mut world = World::new(policy(false, Restart::Never, false, false));
    for event in [Event::Start, Event::Ready(FIRST), Event::Reload(request(1)), Event::Drained(FIRST)] {
        world.step(event);
    }
    world.step(Event::MainExited(FIRST, Outcome::Exited(0)));
    world.step(Event::TreeGone(FIRST));
    assert!(world.performed.contains(&Action::Spawn(SECOND, Some(request(1)))));
    world.step(Event::MainExited(SECOND, Outcome::Exited(1)));
    assert_eq!(world.requests[&request(1)], Some(false));
    world.step(Event::TreeGone(SECOND));
    assert!(world.performed.contains(&Action::Spawn(THIRD, None)), "the command before: {:?}", world.performed);
    world.step(Event::Ready(THIRD));
    assert_eq!(world.machine.serving(), Some(THIRD));
    world.liveness();
}

/// Found by the long search: it was replaced before it was ready, and is all there is when its successor has died.
#[test]
fn one_that_becomes_ready_after_its_successor_has_died_serves() {
    let mut world = World::new(policy(true, Restart::OnFailure, false, false));
    for event in [
        Event::Start,
        Event::Reload(request(1)),
        Event::Ready(SECOND),
        Event::Switched(SECOND),
        Event::MainExited(SECOND, KILLED),
    ] {
        world.step(event);
    }
    world.step(Event::Ready(FIRST));
    assert_eq!(world.switching, Some(FIRST));
    world.step(Event::Switched(FIRST));
    world.step(Event::TreeGone(SECOND));
    assert_eq!((world.machine.serving(), world.machine.poll_timeout()), (Some(FIRST), None));
    world.liveness();
}

#[test]
fn a_reload_that_waited_for_an_empty_place_goes_on_when_somebody_serves_after_all() {
    let mut world = World::new(policy(true, Restart::OnFailure, false, false));
    for event in [
        Event::Start,
        Event::Reload(request(1)),
        Event::Ready(SECOND),
        Event::Switched(SECOND),
        Event::MainExited(SECOND, KILLED),
    ] {
        world.step(event);
    }
    for event in [Event::Reload(request(2)), Event::Ready(FIRST), Event::Switched(FIRST)] {
        world.step(event);
    }
    assert!(world.performed.contains(&Action::Spawn(THIRD, Some(request(2)))), "{:?}", world.performed);
    world.step(Event::MainExited(FIRST, Outcome::Exited(0)));
    world.liveness();
}
