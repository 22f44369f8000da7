//! When the connections of the living are looked at, and what is remembered.

use super::*;
use crate::options;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_look_counts_what_is_owed() {
    let mut scene = Scene::new(World::serving());
    let (_client, _program) = scene.unanswered();
    let before = clock::now();
    scene.turn();
    let looks = &scene.connections.looks;
    assert_eq!(looks.ledgers[&OLD].counts().owed, 1);
    assert!(looks.at >= before && looks.next > Some(looks.at));
}

#[test]
fn the_status_has_the_counts_of_this_moment() {
    let mut scene = Scene::new(World::serving());
    scene.turn();
    let (_client, _program) = scene.unanswered();
    let _waiting = TcpStream::connect(scene.address).expect("it listens");
    let counts = scene.connections.counts(&scene.world.view(), &scene.table, &scene.sockets);
    let counts = &counts[&OLD];
    assert_eq!((counts.owed, counts.unknown, counts.quiet, counts.expired), (1, 0, 0, 0));
}

#[test]
fn what_others_hold_is_not_counted() {
    let mut scene = Scene::new(World::serving());
    let (_client, _program) = scene.unanswered();
    scene.entry(OLD).inodes = Some(Some(Default::default()));
    scene.turn();
    assert_eq!(scene.connections.looks.ledgers[&OLD].counts(), Default::default());
}

#[test]
fn nobody_looks_while_a_newcomer_starts() {
    let mut scene = Scene::new(World::reloading());
    scene.turn();
    assert_eq!((scene.connections.looks.next, scene.connections.looks.ledgers.len()), (None, 0));
    scene.connections.looks.next = Some(scene.world.now + HOUR);
    scene.turn();
    assert_eq!(scene.connections.looks.next, None, "the next look is when it has started");
}

#[test]
fn a_plain_init_does_not_look() {
    let mut scene = Scene::new(World::serving());
    scene.world.options.sockets = options::Sockets::Off;
    scene.turn();
    assert_eq!((scene.connections.looks.next, scene.connections.looks.ledgers.len()), (None, 0));
}

#[test]
fn nobody_looks_before_its_time() {
    let mut scene = Scene::new(World::serving());
    scene.turn();
    let at = scene.connections.looks.at;
    scene.connections.looks.next = Some(scene.world.now + HOUR);
    scene.turn();
    assert_eq!(scene.connections.looks.at, at);
    scene.turn_after(HOUR);
    assert!(scene.connections.looks.at > at);
}

#[test]
fn one_that_serves_alone_is_looked_at_seldom() {
    let mut scene = Scene::new(World::serving());
    let before = clock::now();
    scene.turn();
    let (looks, took) = (&scene.connections.looks, clock::now() - before);
    let pause = looks.next.expect("there is a next one") - looks.at;
    assert!(pause >= Duration::from_secs(1).max(Duration::ZERO), "{pause:?}");
    assert!(pause <= Duration::from_secs(1).max(took * 1000), "one part in a thousand: {pause:?} after {took:?}");
}

#[test]
fn several_are_looked_at_often() {
    let mut scene = Scene::new(World::settling());
    *scene.entry(NEW) = scene.table.entries[&OLD].clone();
    let before = clock::now();
    scene.turn();
    let (looks, took) = (&scene.connections.looks, clock::now() - before);
    assert_eq!(looks.ledgers.keys().collect::<Vec<_>>(), [&OLD, &NEW]);
    let pause = looks.next.expect("there is a next one") - looks.at;
    assert!(pause >= Duration::from_millis(20), "{pause:?}");
    assert!(pause <= Duration::from_millis(20).max(took * 10), "one part in ten: {pause:?} after {took:?}");
}

#[test]
fn one_that_has_ended_is_not_looked_at_any_more() {
    let mut scene = Scene::new(World::settling());
    *scene.entry(NEW) = scene.table.entries[&OLD].clone();
    scene.turn();
    scene.entry(OLD).outcome = Some(Outcome::Exited(0));
    scene.turn_after(HOUR);
    assert_eq!(scene.connections.looks.ledgers.keys().collect::<Vec<_>>(), [&NEW]);
}

#[test]
fn what_a_dying_one_has_lost_already_is_remembered() {
    let mut scene = Scene::new(World::serving());
    let (client, program) = scene.unanswered();
    scene.turn();
    scene.entry(OLD).still_there = Some(false);
    drop((client, program));
    eventually("the kernel has closed it", || scene.listed().is_empty().then_some(()));
    scene.turn_after(HOUR);
    assert_eq!(scene.connections.looks.ledgers[&OLD].counts().owed, 1);
}
