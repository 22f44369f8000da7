//! Waiting for accept queues, and for handshakes that were under way at the switch.

use super::*;

const SETTLE: Duration = Duration::from_secs(2);

/// TCP_DEFER_ACCEPT (9 of IPPROTO_TCP, which is 6): a handshake does not end before the client has sent something.
fn defer_handshakes(listener: &TcpListener) {
    calls::set_option(listener.as_fd(), 6, 9, 30).expect("a listener");
}

#[test]
fn it_is_told_at_once_when_nothing_waits() {
    let mut scene = Scene::new(World::settling());
    scene.watch_queues(false);
    assert_eq!(scene.notes, [""; 0]);
    scene.turn();
    assert_eq!(scene.events, [Event::QueuesEmpty(OLD)]);
    scene.turn_after(SETTLE);
    assert_eq!(scene.events.len(), 1, "it is told once");
}

#[test]
fn a_connection_that_waits_is_waited_for() {
    let mut scene = Scene::new(World::settling());
    let _client = TcpStream::connect(scene.address).expect("it listens");
    scene.watch_queues(false);
    scene.turn();
    assert_eq!(scene.events, []);
    let next = scene.connections.queue_watches[0].next;
    assert_eq!(next, scene.world.now + Duration::from_millis(2), "it is looked at again soon");
    let _program = scene.listener.accept().expect("it waits");
    scene.ahead = Duration::from_millis(5);
    scene.until("the queue is seen empty", |scene| !scene.events.is_empty());
    assert_eq!(scene.events, [Event::QueuesEmpty(OLD)]);
}

#[test]
fn nothing_is_looked_at_before_its_time() {
    let mut scene = Scene::new(World::settling());
    scene.watch_queues(false);
    let later = clock::now() + Duration::from_secs(3600);
    scene.connections.queue_watches[0].next = later;
    scene.turn();
    assert_eq!((scene.events.len(), scene.connections.queue_watches.len()), (0, 1));
    scene.turn_after(Duration::from_secs(3601));
    assert_eq!(scene.events, [Event::QueuesEmpty(OLD)]);
}

#[test]
fn a_handshake_that_was_under_way_is_waited_for() {
    let mut scene = Scene::new(World::settling());
    defer_handshakes(&scene.listener);
    let mut client = TcpStream::connect(scene.address).expect("it listens");
    scene.watch_queues(false);
    assert_eq!(scene.connections.queue_watches[0].handshakes.len(), 1);
    scene.turn();
    assert_eq!((scene.events.len(), scene.connections.queue_watches[0].handshakes.len()), (0, 1));
    client.write_all(b"x").expect("connected");
    let (_program, _) = scene.listener.accept().expect("the handshake has ended");
    scene.until("it is told", |scene| !scene.events.is_empty());
    assert_eq!(scene.events, [Event::QueuesEmpty(OLD)]);
}

#[test]
fn handshakes_after_the_switch_are_not_waited_for() {
    let mut scene = Scene::new(World::settling());
    scene.watch_queues(false);
    defer_handshakes(&scene.listener);
    let _client = TcpStream::connect(scene.address).expect("it listens");
    scene.turn();
    assert_eq!(scene.events, [Event::QueuesEmpty(OLD)]);
}

#[test]
fn a_generation_that_was_never_started_is_not_watched_for_ever() {
    let mut scene = Scene::new(World::settling());
    let _client = TcpStream::connect(scene.address).expect("it listens");
    scene.watch_queues(false);
    scene.table.entries.clear();
    scene.turn();
    assert_eq!((scene.events.len(), scene.connections.queue_watches.len()), (0, 0));
}

#[test]
fn where_the_queues_begin_the_drain_what_is_owed_is_listed() {
    let mut scene = Scene::without_parking();
    scene.world.options.overlap = false;
    let (client, program) = scene.unanswered();
    let waiting = TcpStream::connect(scene.address).expect("it listens");
    scene.watch_owed();
    scene.turn();
    assert_eq!((scene.connections.queue_watches.len(), scene.connections.owed_watches.len()), (1, 0));
    let accepted = scene.listener.accept().expect("one waits");
    scene.until("its connections are listed", |scene| !scene.connections.owed_watches.is_empty());
    assert_eq!(scene.connections.owed_watches[0].connections.len(), 2);
    assert_eq!(scene.events, [], "it drains, and has not settled");
    drop((waiting, accepted));
    answer(&client, &program);
    scene.until_drained();
}

/// The new one listens on the wildcard, and the old one, on an address inside of it, cannot be hidden and shown again.
fn covered() -> (Scene, TcpListener) {
    let mut scene = Scene::new(World::settling());
    let wider = SocketAddr::from(([0, 0, 0, 0], scene.address.port()));
    let listener = scene.listens_too(wider);
    (scene, listener)
}

#[test]
fn a_covered_one_is_hidden_when_it_has_settled_and_not_before() {
    let (mut scene, _new) = covered();
    scene.watch_queues(false);
    let note =
        format!("without CAP_NET_RAW new connections to {} go to generation 1 until it has settled", scene.address);
    assert_eq!(scene.notes, [note]);
    let watch = &scene.connections.queue_watches[0];
    assert_eq!((watch.hide_at, watch.next), (Some(scene.world.now + SETTLE), scene.world.now + SETTLE));
    assert_eq!(scene.connections.due_to_hide(&scene.world.view()), []);
    scene.turn();
    assert_eq!(scene.events, [], "it still gets new connections");
    scene.world.now = scene.world.now + SETTLE;
    assert_eq!(scene.connections.due_to_hide(&scene.world.view()), [OLD]);
    assert_eq!(scene.connections.due_to_hide(&scene.world.view()), [], "once");
    scene.turn_after(SETTLE);
    assert_eq!(scene.events, [Event::QueuesEmpty(OLD)]);
}

#[test]
fn one_that_is_still_to_be_hidden_is_not_looked_at() {
    let (mut scene, _new) = covered();
    scene.watch_queues(false);
    scene.turn_after(SETTLE * 2);
    assert_eq!(scene.events, [], "nobody has asked who is due to be hidden");
}

#[test]
fn one_that_has_not_settled_in_time_is_not_hidden() {
    let (mut scene, _new) = covered();
    scene.watch_queues(false);
    scene.roll_back();
    scene.world.now = scene.world.now + SETTLE;
    assert_eq!(scene.connections.due_to_hide(&scene.world.view()), [], "it serves again");
}

#[test]
fn one_that_drains_already_is_not_to_be_hidden() {
    let (mut scene, _new) = covered();
    scene.watch_queues(true);
    assert_eq!((scene.notes.len(), scene.connections.queue_watches[0].hide_at), (0, None));
}

#[test]
fn handshakes_are_listed_again_when_it_is_hidden() {
    let (mut scene, _new) = covered();
    scene.watch_queues(false);
    assert_eq!(scene.connections.queue_watches[0].handshakes, []);
    defer_handshakes(&scene.listener);
    let _client = TcpStream::connect(scene.address).expect("it listens");
    scene.connections.are_hidden(&scene.sockets, NEW);
    assert_eq!(scene.connections.queue_watches[0].handshakes, [], "another one is hidden");
    scene.connections.are_hidden(&scene.sockets, OLD);
    assert_eq!(scene.connections.queue_watches[0].handshakes.len(), 1);
}
