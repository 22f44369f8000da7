//! What becomes of requests whose next generation cannot be reached, and of the time that they have.

use super::super::handoff::Handed;
use super::*;

/// A connection is parked, then its client asks.
fn asked(scene: &mut Scene) -> (TcpStream, TcpStream) {
    let (mut client, program) = scene.connect();
    let all = scene.listed();
    scene.connections.open_lot(&scene.world.view(), &scene.table, OLD, &all);
    scene.until_parked(&program);
    client.write_all(REQUEST).expect("it is open");
    (client, program)
}

#[test]
fn a_request_has_the_grace_to_be_answered() {
    let mut scene = Scene::new(World::draining());
    let grace = scene.world.options.grace;
    let before = clock::now();
    let _pair = asked(&mut scene);
    scene.until("it is taken", |scene| !scene.connections.handoffs.is_empty());
    let deadline = scene.connections.handoffs[0].deadline;
    assert!(deadline >= before + grace && deadline <= clock::now() + grace);
    scene.turn_after(grace);
    assert_eq!(scene.connections.handoffs.len(), 0);
    assert_eq!(scene.notes[0], "a request that was carried over was not answered whole: it took longer than the grace");
}

#[test]
fn what_was_taken_is_not_the_programs_any_more() {
    let mut scene = Scene::new(World::draining());
    let (_client, program) = asked(&mut scene);
    scene.until("it is taken", |scene| !scene.connections.handoffs.is_empty());
    let lot = &scene.connections.lots[0];
    assert_eq!((lot.answered, lot.held.len(), lot.descriptors.len()), (0, 0, 0));
    assert!(lot.hands_off());
    assert_eq!(scene.connections.handoffs[0].origin, (OLD, cookie(&program)));
}

#[test]
fn where_nobody_listens_any_more_the_request_is_the_programs_or_told_of() {
    let mut scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect();
    let all = scene.listed();
    scene.connections.open_lot(&scene.world.view(), &scene.table, OLD, &all);
    scene.until_parked(&program);
    calls::shut_down(scene.listener.as_fd()).expect("it listens");
    client.write_all(REQUEST).expect("it is open");
    let refused = "a request that was carried over was not answered whole: Connection refused (os error 111)";
    scene.until("it is refused", |scene| {
        low_water(&program) == 1 || scene.notes.first().is_some_and(|note| note == refused)
    });
    if low_water(&program) == 1 {
        assert_eq!(take(&program, REQUEST.len()), REQUEST);
    }
}

#[test]
fn an_answer_of_another_generation_is_kept_for_its_lot() {
    let mut scene = Scene::new(World::draining());
    let (_client, program) = asked(&mut scene);
    scene.until("it is taken", |scene| !scene.connections.handoffs.is_empty());
    let of = |generation| Handed { origin: (generation, cookie(&program)), answered: true };
    scene.connections.handed = vec![of(NEW)];
    scene.turn_after(Duration::from_secs(1));
    assert!(scene.connections.lots[0].hands_off());
    assert_eq!(scene.connections.handed, [of(NEW)]);
    scene.connections.handed.push(of(OLD));
    scene.turn_after(Duration::from_secs(1));
    assert_eq!((scene.connections.lots.len(), scene.connections.handed.len()), (0, 1));
}
