//! Draining from outside: over when nothing is owed, and not before.

use super::*;

#[test]
fn where_nothing_listens_it_is_over_at_once() {
    let mut scene = Scene::without_parking();
    scene.sockets = Sockets::new(Inherited::default(), scene.world.now);
    scene.watch_owed();
    assert_eq!(scene.events, [Event::Drained(OLD)]);
    assert!(scene.connections.owed_watches.is_empty());
}

#[test]
fn without_any_connection_it_is_over_at_the_first_look() {
    let mut scene = Scene::without_parking();
    scene.watch_owed();
    assert_eq!(scene.events, []);
    scene.turn();
    assert_eq!((scene.events.as_slice(), scene.notes.len()), ([Event::Drained(OLD)].as_slice(), 0));
    assert!(scene.connections.owed_watches.is_empty());
}

#[test]
fn an_answered_connection_owes_nothing() {
    let mut scene = Scene::without_parking();
    let (client, program) = scene.unanswered();
    answer(&client, &program);
    scene.watch_owed();
    scene.until_drained();
    assert_eq!(scene.notes, [""; 0]);
}

#[test]
fn an_unanswered_request_is_waited_for() {
    let mut scene = Scene::without_parking();
    let (client, program) = scene.unanswered();
    scene.watch_owed();
    scene.go_on_for(Duration::from_millis(300));
    assert_eq!(scene.events, []);
    let watch = &scene.connections.owed_watches[0];
    assert_eq!(watch.ledger.counts().owed, 1);
    assert_eq!(watch.peers[&cookie(&program)], client.local_addr().expect("ours"));
    answer(&client, &program);
    scene.until_drained();
    assert!(scene.connections.owed_watches.is_empty());
}

#[test]
fn connections_that_its_processes_do_not_hold_are_not_its_own() {
    let mut scene = Scene::without_parking();
    let (_client, _program) = scene.unanswered();
    scene.entry(OLD).inodes = Some(Some(Default::default()));
    scene.watch_owed();
    scene.turn();
    assert_eq!(scene.events, [Event::Drained(OLD)]);
}

#[test]
fn where_it_cannot_be_known_whose_they_are_all_are_waited_for() {
    let mut scene = Scene::without_parking();
    let (_client, _program) = scene.unanswered();
    scene.entry(OLD).inodes = Some(None);
    scene.watch_owed();
    scene.turn();
    assert_eq!((scene.events.len(), scene.connections.owed_watches[0].connections.len()), (0, 1));
}

#[test]
fn nothing_is_looked_at_before_its_time() {
    let mut scene = Scene::without_parking();
    scene.watch_owed();
    scene.connections.owed_watches[0].next = clock::now() + Duration::from_secs(3600);
    scene.turn();
    assert_eq!((scene.events.len(), scene.connections.owed_watches.len()), (0, 1));
}

#[test]
fn between_two_looks_is_a_pause() {
    let mut scene = Scene::without_parking();
    let (_client, _program) = scene.unanswered();
    scene.watch_owed();
    let began = clock::now();
    scene.turn();
    // So much lies between two samples of the ledger.
    assert!(scene.connections.owed_watches[0].next >= began + Duration::from_millis(20));
}

#[test]
fn one_whose_main_process_has_just_gone_is_not_judged_by_what_is_missing() {
    let mut scene = Scene::without_parking();
    scene.entry(OLD).still_there = Some(false);
    scene.watch_owed();
    assert_eq!((scene.events.len(), scene.connections.owed_watches.len()), (0, 0), "its end will be heard of");

    scene.entry(OLD).still_there = Some(true);
    scene.watch_owed();
    scene.entry(OLD).still_there = Some(false);
    let began = clock::now();
    scene.turn();
    assert_eq!((scene.events.len(), scene.connections.owed_watches.len()), (0, 1));
    assert!(scene.connections.owed_watches[0].next >= began + Duration::from_millis(1));
    scene.roll_back();
    scene.until("nobody waits for it any more", |scene| scene.connections.owed_watches.is_empty());
    assert_eq!(scene.events, []);
}

#[test]
fn one_that_serves_again_is_not_waited_for() {
    let mut scene = Scene::without_parking();
    let (_client, _program) = scene.unanswered();
    scene.watch_owed();
    scene.turn();
    assert_eq!(scene.connections.owed_watches.len(), 1);
    scene.roll_back();
    scene.until("nobody waits for it any more", |scene| scene.connections.owed_watches.is_empty());
    assert_eq!((scene.events.len(), scene.notes.len()), (0, 0));
}

#[test]
fn one_that_has_ended_owes_nothing_and_others_do() {
    let mut scene = Scene::without_parking();
    scene.watch_owed();
    scene.connections.main_ended(NEW);
    assert_eq!(scene.connections.owed_watches.len(), 1);
    scene.connections.main_ended(OLD);
    assert_eq!(scene.connections.owed_watches.len(), 0);
}

#[test]
fn a_parked_connection_is_settled() {
    let mut scene = Scene::new(World::draining());
    let (_client, program) = scene.connect();
    scene.watch_owed();
    scene.turn();
    // The ledger alone would wait for its first request.
    assert_eq!(scene.events, [Event::Drained(OLD)]);
    assert_eq!(low_water(&program), RAISED);
}

#[test]
fn one_that_cannot_be_parked_is_not_settled() {
    let mut scene = Scene::new(World::draining());
    let _parked = scene.connect();
    let (client, program) = scene.unanswered();
    scene.watch_owed();
    scene.go_on_for(Duration::from_millis(100));
    assert_eq!(scene.events, []);
    answer(&client, &program);
    scene.until_drained();
}

#[test]
fn what_the_program_works_on_is_owed() {
    let mut scene = Scene::new(World::draining());
    let (client, program) = scene.unanswered();
    answer(&client, &program);
    // It is read without O_NONBLOCK, and no thread waits to read from it.
    program.set_nonblocking(false).expect("ours");
    scene.watch_owed();
    scene.go_on_for(Duration::from_millis(300));
    assert_eq!((scene.events.len(), scene.connections.owed_watches[0].ledger.counts().owed), (0, 1));
    program.set_nonblocking(true).expect("ours");
    scene.until_drained();
}

#[test]
fn what_its_program_has_by_another_descriptor_now_is_not_settled() {
    let mut scene = Scene::new(World::draining());
    let _parked = scene.connect();
    let (client, program) = scene.unanswered();
    scene.watch_owed();
    // As a parent that leaves a connection to its child.
    let moved = program.try_clone().expect("ours");
    drop(program);
    scene.go_on_for(Duration::from_millis(100));
    assert_eq!(scene.events, [], "its request is not answered");
    answer(&client, &moved);
    scene.until_drained();
}
