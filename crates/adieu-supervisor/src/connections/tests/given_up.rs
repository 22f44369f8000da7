//! What is given up, cut off, or left to the program: it is named.

use super::*;

fn names(clients: &[(TcpStream, TcpStream)]) -> Vec<String> {
    clients.iter().map(|(client, _)| client.local_addr().expect("ours").to_string()).collect()
}

/// The peers that a note names, in any order.
fn named(note: &str, beginning: &str) -> Vec<String> {
    let list = note.strip_prefix(beginning).unwrap_or_else(|| panic!("{note:?} does not begin with {beginning:?}"));
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn peers_are_named_where_the_drain_is_cut_off() {
    let mut scene = Scene::without_parking();
    let clients: Vec<_> = (0..5).map(|_| scene.unanswered()).collect();
    scene.watch_owed();
    scene.turn();
    scene.end_owed_watch();
    let beginning = "generation 1: stopped while 5 connections are owed an answer and 0 may be: ";
    let (mut told, mut expected) = (named(&scene.notes[0], beginning), names(&clients));
    told.sort();
    expected.sort();
    assert_eq!((told, scene.notes.len()), (expected, 1));
    assert!(scene.connections.owed_watches.is_empty());
}

#[test]
fn at_most_five_peers_are_named() {
    let mut scene = Scene::without_parking();
    let clients: Vec<_> = (0..7).map(|_| scene.unanswered()).collect();
    scene.watch_owed();
    scene.turn();
    scene.end_owed_watch();
    let note = scene.notes[0].strip_suffix(" and 2 more").expect("two are not named");
    let told = named(note, "generation 1: stopped while 7 connections are owed an answer and 0 may be: ");
    let all = names(&clients);
    assert_eq!(told.len(), 5);
    assert!(told.iter().all(|name| all.contains(name)), "{told:?}");
}

#[test]
fn a_drain_that_owes_nothing_is_cut_off_in_silence() {
    let mut scene = Scene::without_parking();
    scene.end_owed_watch();
    scene.watch_owed();
    scene.end_owed_watch();
    assert_eq!((scene.notes.len(), scene.connections.owed_watches.len()), (0, 0));
}

#[test]
fn what_may_be_owed_is_named_too() {
    let mut scene = Scene::without_parking();
    let (client, _program) = scene.unanswered();
    scene.watch_owed();
    let mut sample = scene.listed()[0].sample();
    // Its program has spoken last, just now: it is not known whether it has finished.
    (sample.bytes_sent, sample.last_data_sent_ms, sample.last_data_recv_ms) = (1, 0, 5);
    scene.connections.owed_watches[0].ledger.handle_samples(clock::now(), &[sample]);
    scene.end_owed_watch();
    let peer = client.local_addr().expect("ours");
    let note = format!("generation 1: stopped while 0 connections are owed an answer and 1 may be: {peer}");
    assert_eq!(scene.notes, [note]);
}

#[test]
fn only_the_one_whose_drain_is_over_is_cut_off() {
    let mut scene = Scene::without_parking();
    scene.watch_owed();
    scene.connections.owed_watches[0].generation = NEW;
    scene.end_owed_watch();
    assert_eq!(scene.connections.owed_watches.len(), 1);
}

#[test]
fn what_does_not_move_for_too_long_is_given_up_and_named() {
    let mut scene = Scene::without_parking();
    scene.world.options.drain_quiet = Duration::from_millis(100);
    let (client, _program) = scene.unanswered();
    scene.watch_owed();
    scene.until_drained();
    let peer = client.local_addr().expect("ours");
    let note = format!(
        "generation 1: gave up 1 connections that are owed an answer, as nothing has moved on them for 100ms: {peer}"
    );
    assert_eq!(scene.notes, [note]);
}

#[test]
fn what_was_given_up_before_the_drain_was_cut_off_is_named_too() {
    let mut scene = Scene::without_parking();
    scene.world.options.drain_quiet = Duration::from_millis(100);
    let (_client, _program) = scene.unanswered();
    let (_other, busy) = scene.unanswered();
    scene.watch_owed();
    scene.until("one has expired", |scene| {
        // The other one moves: it is not known whether its answer has ended.
        (&busy).write_all(b"x").expect("there is room");
        scene.connections.owed_watches[0].ledger.counts().expired == 1
    });
    scene.end_owed_watch();
    let [cut, given_up] = scene.notes.as_slice() else { panic!("{:?}", scene.notes) };
    assert!(cut.starts_with("generation 1: stopped while "), "{cut}");
    assert!(given_up.starts_with("generation 1: gave up 1 connections that are owed an answer"), "{given_up}");
}

#[test]
fn an_unknown_peer_is_a_question_mark() {
    let mut scene = Scene::without_parking();
    let (_client, _program) = scene.unanswered();
    scene.watch_owed();
    scene.connections.owed_watches[0].peers.clear();
    scene.turn();
    scene.end_owed_watch();
    assert_eq!(scene.notes, ["generation 1: stopped while 1 connections are owed an answer and 0 may be: ?"]);
}

#[test]
fn what_is_left_is_the_programs_after_a_standstill_where_it_says_so() {
    let mut scene = Scene::without_parking();
    scene.world.options.drain_quiet = Duration::from_secs(3600);
    let (_client, _program) = scene.unanswered();
    scene.watch_owed();
    scene.go_on_for(Duration::from_millis(1200));
    assert_eq!(scene.events, [], "it has not said that it ends them");
    scene.connections.drains_itself(OLD, true);
    scene.connections.drains_itself(OLD, false);
    scene.go_on_for(Duration::from_millis(100));
    assert_eq!(scene.events, [], "it has taken that back");
    scene.connections.drains_itself(NEW, true);
    scene.go_on_for(Duration::from_millis(100));
    assert_eq!(scene.events, [], "another one says so");
    scene.connections.drains_itself(OLD, true);
    scene.until_drained();
    assert_eq!(scene.notes, ["generation 1: ends the 1 connections that are left itself, as it says"]);
}

#[test]
fn there_is_no_standstill_before_a_second_has_passed() {
    let mut scene = Scene::without_parking();
    scene.world.options.drain_quiet = Duration::from_secs(3600);
    let (_client, _program) = scene.unanswered();
    scene.connections.drains_itself(OLD, true);
    let began = clock::now();
    scene.watch_owed();
    scene.until_drained();
    assert!(clock::now() - began >= Duration::from_secs(1));
}

#[test]
fn each_one_that_is_finished_begins_the_standstill_anew() {
    let mut scene = Scene::without_parking();
    scene.world.options.drain_quiet = Duration::from_secs(3600);
    let (first, program) = scene.unanswered();
    let _second = scene.unanswered();
    scene.watch_owed();
    scene.turn();
    let (most, since) = scene.connections.owed_watches[0].fewest;
    assert_eq!(most, 2);
    answer(&first, &program);
    scene.until("one is finished", |scene| scene.connections.owed_watches[0].fewest.0 == 1);
    assert!(scene.connections.owed_watches[0].fewest.1 > since);
}

#[test]
fn a_generation_that_is_gone_has_nothing_to_say() {
    let mut scene = Scene::without_parking();
    scene.connections.drains_itself(OLD, true);
    scene.connections.drains_itself(NEW, true);
    scene.connections.retire(OLD, Outcome::Exited(0));
    assert_eq!(scene.connections.self_draining.iter().collect::<Vec<_>>(), [&NEW]);
}

#[test]
fn how_long_is_too_long_is_as_this_run_was_told() {
    let mut scene = Scene::without_parking();
    let (_client, _program) = scene.unanswered();
    let (sample, quiet) = (scene.listed()[0].sample(), Duration::from_secs(3600));
    scene.world.options.drain_quiet = quiet;
    let mut ledger = super::super::state::new_ledger(&scene.world.view());
    let expired = [Duration::ZERO, quiet - Duration::from_millis(1), quiet].map(|after| {
        ledger.handle_samples(scene.world.now + after, &[sample]);
        ledger.counts().expired
    });
    assert_eq!(expired, [0, 0, 1]);
}
