//! Every order of events in which at most so many things happen that are not a matter of course: all states, not a sample.

use std::collections::HashSet;

use super::super::{Event, Policy};
use super::world::{Left, Move, World};
use super::{plain, policies};
use crate::restart::Restart;

fn is_a_proof() -> bool {
    std::env::var_os("ADIEU_PROVE").is_some()
}

#[derive(Debug, Default)]
struct Found {
    states: usize,
    steps: usize,
    exits: usize,
    most_alive: usize,
}

/// Visits every state that can be reached, and leaves none out.
fn search(policy: &Policy, left: Left) -> Found {
    let mut found = Found::default();
    let mut first = World::new(policy.clone(), left);
    first.tell(Event::Start);
    let mut seen = HashSet::from([first.key()]);
    let mut open = std::collections::VecDeque::from([first]);
    while let Some(world) = open.pop_front() {
        found.states += 1;
        found.exits += usize::from(world.exited.is_some());
        found.most_alive = found.most_alive.max(world.lives.len());
        world.clone().ends_in_time();
        world.clone().comes_to_rest(true);
        world.clone().comes_to_rest(false);
        for step in world.possible() {
            let mut after = world.clone();
            after.take(step);
            found.steps += 1;
            if seen.insert(after.key()) {
                open.push_back(after);
            }
        }
    }
    found
}

#[test]
fn probe_sizes() {
    for policy in policies() {
        for left in [
            Left { reloads: 1, faults: 1, stops: 1, forces: 0, pauses: 0 },
            Left { reloads: 1, faults: 2, stops: 1, forces: 0, pauses: 0 },
            Left { reloads: 2, faults: 1, stops: 1, forces: 0, pauses: 0 },
            Left { reloads: 2, faults: 1, stops: 2, forces: 1, pauses: 1 },
        ] {
            let began = std::time::Instant::now();
            let found = search(&policy, left);
            println!("{} {:?} {:?} {} {left:?}: {found:?} {:?}", policy.overlap, policy.restart, policy.linger, policy.pre_stop, began.elapsed());
        }
    }
}
