//! Which connections are parked, and for how long they stay so.

use super::*;
use crate::options;

const KEPT: Duration = Duration::from_secs(30);

/// A connection between two requests, parked.
fn parked() -> (Scene, TcpStream, TcpStream) {
    let mut scene = Scene::new(World::draining());
    let (client, program) = scene.unanswered();
    answer(&client, &program);
    scene.watch_owed();
    scene.until_parked(&program);
    client.set_nonblocking(true).expect("ours");
    (scene, client, program)
}

fn is_open(client: &TcpStream) -> bool {
    match client.peek(&mut [0; 1]) {
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            true
        }
        Ok(length) => {
            assert_eq!(length, 0, "nothing was sent");
            false
        }
    }
}

#[test]
fn one_between_two_requests_is_parked_until_its_program_serves_again() {
    let (mut scene, _client, program) = parked();
    scene.roll_back();
    scene.until("it is given back", |scene| scene.connections.lots.is_empty());
    assert_eq!(low_water(&program), 1);
}

#[test]
fn one_whose_request_is_not_answered_is_not_settled() {
    let mut scene = Scene::new(World::draining());
    let (client, program) = scene.unanswered();
    scene.watch_owed();
    scene.turn();
    assert_eq!(low_water(&program), 1, "its first answer may be its last");
    assert!(!scene.connections.lots[0].is_settled(cookie(&program)));
    answer(&client, &program);
    scene.until_parked(&program);
}

#[test]
fn nothing_is_parked_where_descriptors_cannot_be_duplicated() {
    let mut scene = Scene::new(World::draining());
    scene.table.may_duplicate = Some(false);
    let _pair = scene.connect();
    scene.watch_owed();
    assert_eq!((scene.connections.lots.len(), scene.connections.owed_watches.len()), (0, 1));
}

#[test]
fn nothing_is_parked_where_sockets_are_not_handled() {
    let mut scene = Scene::new(World::draining());
    scene.world.options.sockets = options::Sockets::Off;
    let _pair = scene.connect();
    scene.watch_owed();
    assert_eq!(scene.connections.lots.len(), 0);
}

#[test]
fn without_connections_there_is_no_lot() {
    let mut scene = Scene::new(World::draining());
    scene.watch_owed();
    assert_eq!(scene.connections.lots.len(), 0);
    let _pair = scene.connect();
    scene.watch_owed();
    assert_eq!(scene.connections.lots.len(), 1);
}

#[test]
fn a_lot_is_not_looked_at_before_its_time() {
    let mut scene = Scene::new(World::draining());
    let (_client, program) = scene.connect();
    scene.watch_owed();
    scene.connections.lots[0].next = clock::now() + Duration::from_secs(3600);
    scene.turn();
    assert_eq!((low_water(&program), scene.connections.lots.len()), (1, 1));
    scene.turn_after(Duration::from_secs(3600));
    assert_eq!(low_water(&program), RAISED);
}

#[test]
fn a_lot_is_looked_at_again_soon() {
    let (mut scene, _client, _program) = parked();
    scene.turn();
    let pause = scene.connections.lots[0].next - scene.world.now;
    assert!(pause <= Duration::from_secs(1), "its processor time has no part in this much: {pause:?}");
    scene.end_program(Outcome::Exited(0));
    scene.turn_after(Duration::from_secs(1));
    let pause = scene.connections.lots[0].next - scene.world.now;
    assert!(pause >= Duration::from_millis(5), "it is not urgent any more: {pause:?}");
}

#[test]
fn a_lot_without_connections_is_forgotten_in_silence() {
    let (mut scene, client, program) = parked();
    drop((client, program));
    scene.until("both have closed", |scene| scene.connections.lots.is_empty());
    assert_eq!(scene.notes, [""; 0]);
}

#[test]
fn what_stays_silent_is_kept_for_half_a_minute_after_its_program() {
    let (mut scene, client, program) = parked();
    drop(program);
    scene.end_program(Outcome::Exited(0));
    scene.turn();
    assert_eq!(scene.connections.lots[0].ended, Some(true));
    // Nearly so long: the clock goes on by itself.
    scene.turn_after(KEPT - Duration::from_secs(15));
    assert!(is_open(&client));
    assert_eq!((scene.connections.lots.len(), scene.connections.lingering.len()), (1, 0));
    scene.turn_after(KEPT);
    assert_eq!((scene.connections.lots.len(), scene.connections.lingering.len()), (0, 1));
    eventually("it is closed", || (!is_open(&client)).then_some(()));
    drop(client);
    scene.until("its client has closed it too", |scene| scene.connections.lingering.is_empty());
}

#[test]
fn nothing_is_kept_when_everything_ends() {
    let (mut scene, client, program) = parked();
    drop(program);
    scene.end_program(Outcome::Exited(0));
    scene.world.tell(Event::Stop);
    scene.turn_after(Duration::from_secs(1));
    assert_eq!((scene.connections.lots.len(), scene.connections.lingering.len()), (0, 1));
    eventually("it is closed", || (!is_open(&client)).then_some(()));
}

#[test]
fn what_a_signal_has_cut_off_unanswered_is_closed() {
    let (mut scene, mut client, program) = parked();
    // More of what the program has read: it gets it, and owes an answer.
    client.write_all(REQUEST).expect("it is open");
    scene.until("the program gets it", |_| low_water(&program) == 1);
    assert_eq!(take(&program, REQUEST.len()), REQUEST);
    scene.until_parked(&program);
    drop(program);
    scene.end_program(Outcome::Signaled(adieu_core::signal::Signal::KILL));
    scene.until("it is closed", |scene| scene.connections.lots.is_empty());
    eventually("it is closed", || (!is_open(&client)).then_some(()));
}

#[test]
fn only_the_lot_of_the_program_that_has_ended_is_told() {
    let (mut scene, _client, _program) = parked();
    scene.connections.retire(NEW, Outcome::Exited(0));
    assert_eq!(scene.connections.lots[0].ended, None);
    scene.connections.retire(OLD, Outcome::Exited(0));
    assert_eq!(scene.connections.lots[0].ended, Some(true));
}

#[test]
fn a_lot_learns_from_the_table_how_its_program_has_ended() {
    let (mut scene, _client, _program) = parked();
    scene.entry(OLD).outcome = Some(Outcome::Exited(0));
    scene.turn_after(Duration::from_secs(1));
    assert_eq!(scene.connections.lots[0].ended, Some(true));
    scene.entry(OLD).outcome = Some(Outcome::Signaled(adieu_core::signal::Signal::KILL));
    scene.turn_after(Duration::from_secs(1));
    assert_eq!(scene.connections.lots[0].ended, Some(true), "it ends once");
}
