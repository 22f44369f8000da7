//! All orders of events up to a bound, by breadth-first search over the states; and long random ones.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::*;

use super::super::{Event, Policy};
use super::policies;
use super::world::World;
use crate::outcome::Outcome;
use crate::restart::Restart;
use crate::signal::Signal;
use crate::timeline::{Entry, Record, replay};

/// States that one policy's search visits; a proof visits more.
fn bound() -> usize {
    if std::env::var_os("ADIEU_PROVE").is_some() { 100_000 } else { 4_000 }
}

const CODES: [Outcome; 2] = [Outcome::Exited(0), Outcome::Signaled(Signal::KILL)];

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Visits states nearest first; returns how many there were, and how many steps the furthest was away.
fn search(policy: &Policy) -> (usize, usize) {
    let mut seen = HashSet::new();
    let mut front = vec![World::new(policy.clone())];
    let (mut visited, mut depth) = (0, 0);
    while !front.is_empty() && visited < bound() {
        let mut next = Vec::new();
        for world in front {
            world.clone().liveness();
            for event in world.possible(&CODES) {
                let mut after = world.clone();
                after.step(event);
                if seen.insert(hash(&after.key())) {
                    visited += 1;
                    next.push(after);
                }
            }
        }
        front = next;
        depth += 1;
    }
    (visited, depth)
}

#[test]
fn every_order_of_events_keeps_the_invariants() {
    for policy in policies() {
        let (visited, depth) = search(&policy);
        // Five steps: start, ready, reload, ready, switched. Less would not see a second generation serve.
        assert!(depth > 5, "{policy:?}: only {visited} states, {depth} steps deep");
    }
}

/// The events of one run, chosen by `choices` among what is possible, some of it nonsense from generations that are gone.
fn random_run(policy: &Policy, choices: &[(u16, bool)]) -> World {
    let mut world = World::new(policy.clone());
    for (choice, nonsense) in choices {
        let mut possible = world.possible(&CODES);
        if *nonsense && world.switching.is_none() && !world.told.is_empty() {
            let generation = super::generation(u32::from(choice % 7));
            if !world.programs.contains_key(&generation) {
                possible = vec![
                    Event::Ready(generation),
                    Event::Drained(generation),
                    Event::QueuesEmpty(generation),
                    Event::PreStopDone(generation),
                    Event::MainExited(generation, CODES[0]),
                    Event::TreeGone(generation),
                    Event::Switched(generation),
                    Event::SwitchFailed(generation),
                    Event::Start,
                ];
                let event = possible[usize::from(*choice) % possible.len()];
                // It says nothing about the world: only the machine hears it.
                world.told.push((world.now, event));
                world.machine.handle(world.now, event);
                if world.machine.poll_action().is_some() {
                    world.fail("did something for a generation that is not there");
                }
                continue;
            }
        }
        let Some(event) = possible.get(usize::from(*choice) % possible.len().max(1)).copied() else { break };
        world.step(event);
    }
    world
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(policies())
}

proptest! {
    #[test]
    fn long_runs_keep_the_invariants_and_end(
        policy in any_policy(),
        choices in prop::collection::vec((any::<u16>(), prop::bool::weighted(0.1)), 0..120),
    ) {
        random_run(&policy, &choices).liveness();
    }

    /// A timeline, also one that was written as JSON and read again, brings about the same actions.
    #[test]
    fn a_recorded_run_replays(
        policy in any_policy(),
        choices in prop::collection::vec((any::<u16>(), prop::bool::weighted(0.1)), 0..120),
    ) {
        let world = random_run(&policy, &choices);
        let entries: Vec<Entry> =
            world.told.iter().map(|(at, event)| Entry { at: *at, what: Record::Input(*event) }).collect();
        let text = serde_json::to_string(&entries).expect("entries can be written");
        let read: Vec<Entry> = serde_json::from_str(&text).expect("and read");
        prop_assert_eq!(&read, &entries);
        prop_assert_eq!(replay(policy, &read), world.performed);
    }
}

#[test]
fn a_program_that_keeps_dying_is_started_ever_less_often_and_a_stop_ends_that() {
    let mut world = World::new(super::policy(true, Restart::Always, false, false));
    world.step(Event::Start);
    let mut waits = Vec::new();
    for generation in (1..10).map(super::generation) {
        world.tell(Event::MainExited(generation, CODES[1]));
        world.tell(Event::TreeGone(generation));
        let began = world.now;
        world.step(Event::Timeout);
        waits.push((world.now - began).as_millis());
    }
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600]);
    world.liveness();
}
