//! Every order of events on every small plan.

use std::collections::HashSet;

use super::*;

/// Visits every state that any order of events and passing time leads to; the world checks each step.
fn explore(plan: Arc<Plan>) -> usize {
    let mut seen = HashSet::new();
    let mut open = vec![World::new(plan)];
    while let Some(world) = open.pop() {
        let nexts = world.possible().into_iter().map(|event| {
            let mut next = world.clone();
            next.step(event);
            next
        });
        let mut later = world.clone();
        let later = later.wait().then_some(later);
        for next in nexts.chain(later) {
            if !next.finished && !seen.contains(&next) {
                seen.insert(next.clone());
                open.push(next);
            }
        }
    }
    seen.len()
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Every acyclic graph of `count` components, each edge from a later to an earlier one.
fn graphs(count: usize) -> Vec<Vec<Vec<&'static str>>> {
    let pairs: Vec<(usize, usize)> = (0..count).flat_map(|to| (0..to).map(move |from| (to, from))).collect();
    let graph = |mask: usize| {
        let mut after = vec![Vec::new(); count];
        for (bit, (to, from)) in pairs.iter().enumerate() {
            if mask >> bit & 1 == 1 {
                after[*to].push(NAMES[*from]);
            }
        }
        after
    };
    (0..1 << pairs.len()).map(graph).collect()
}

fn explore_all(count: usize, phases: &[Phase]) -> usize {
    let build = |after: Vec<Vec<&str>>| {
        let components = NAMES.iter().zip(after).map(|(name, after)| component(name, &after, phases)).collect();
        let policy = Policy { start: Some(Duration::from_secs(5)), ..Policy::default() };
        Arc::new(Plan::new(components, policy).expect("a plan"))
    };
    graphs(count).into_iter().map(build).map(explore).sum()
}

#[test]
fn one_component_with_hooks_that_survive_force_and_one_that_does_not() {
    assert!(explore_all(1, &[Phase::Drain, Phase::Cleanup, Phase::Close]) > 500);
}

#[test]
fn two_components_that_drain_and_close() {
    assert!(explore_all(2, &[Phase::Drain, Phase::Close]) > 500);
}

#[test]
fn three_components_that_close() {
    assert!(explore_all(3, &[Phase::Close]) > 10_000);
}
