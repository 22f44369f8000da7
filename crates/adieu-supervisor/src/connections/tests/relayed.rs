//! The story of a busy connection: passed to its program once, then carried over to the next generation.

use super::*;

/// The next generation, which has the listener by now, answers one request.
fn serve_one(scene: &mut Scene) -> Vec<u8> {
    scene.listener.set_nonblocking(true).expect("ours");
    let mut server = None;
    scene.until("the request is relayed", |scene| {
        server = scene.listener.accept().ok().map(|(server, _)| server);
        server.is_some()
    });
    let mut server = server.expect("it is there");
    server.set_nonblocking(true).expect("ours");
    let mut request = Vec::new();
    scene.until("it is whole", |_| {
        let mut buffer = [0; 1024];
        let length = server.read(&mut buffer).unwrap_or(0);
        request.extend_from_slice(&buffer[..length]);
        request.ends_with(b"\r\n\r\n")
    });
    assert_eq!(scene.events, [], "while it is carried, the drain goes on");
    server.write_all(ANSWER).expect("there is room");
    request
}

const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const LAST_ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// The client has its last answer, and everybody forgets the connection.
fn conclude(scene: &mut Scene, mut client: TcpStream) {
    scene.until("it is answered", |scene| scene.connections.lingering.len() == 1);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("it is closed without a reset");
    assert_eq!(answer, LAST_ANSWER);
    drop(client);
    scene.until("everything is forgotten", |scene| {
        scene.connections.lots.is_empty() && scene.connections.lingering.is_empty()
    });
    assert_eq!(scene.notes, ["generation 1: 1 requests on its open connections were answered by the next one"]);
    assert_eq!(scene.connections.handed, []);
}

#[test]
fn the_first_request_of_a_parked_connection_is_carried_over() {
    let mut scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect();
    let _unanswered = scene.unanswered();
    scene.watch_owed();
    scene.until_parked(&program);
    client.write_all(REQUEST).expect("it is open");
    assert_eq!(serve_one(&mut scene), LAST_REQUEST);
    let mut byte = [0; 1];
    scene.until("it is answered", |scene| scene.connections.lingering.len() == 1);
    assert_eq!(
        (&program).read(&mut byte).expect_err("the program has not seen it").kind(),
        std::io::ErrorKind::WouldBlock
    );
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("it is closed without a reset");
    assert_eq!(answer, LAST_ANSWER);
    scene.until("it is counted", |scene| scene.connections.lots[0].answered == 1);
}

#[test]
fn while_a_request_is_carried_nothing_is_drained() {
    let mut scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect();
    // It is parked before anybody waits for the drain.
    let all = scene.listed();
    scene.connections.open_lot(&scene.world.view(), &scene.table, OLD, &all);
    scene.until_parked(&program);
    client.write_all(REQUEST).expect("it is open");
    scene.until("it is taken", |scene| scene.connections.handoffs.len() == 1);
    assert!(scene.connections.lots[0].hands_off());
    scene.watch_owed();
    let without_its_lot = scene.connections.lots.pop();
    assert_eq!(scene.connections.lots.len() + usize::from(without_its_lot.is_some()), 2);
    serve_one(&mut scene);
    conclude(&mut scene, client);
    scene.until_drained();
}

#[test]
fn a_request_after_the_end_of_its_program_is_carried_over() {
    let mut scene = Scene::new(World::draining());
    let (mut client, program) = scene.unanswered();
    answer(&client, &program);
    scene.watch_owed();
    scene.until_parked(&program);
    drop(program);
    scene.end_program(Outcome::Exited(0));
    scene.events.clear();
    scene.connections.owed_watches.clear();
    client.write_all(REQUEST).expect("it is open");
    assert_eq!(serve_one(&mut scene), LAST_REQUEST);
    conclude(&mut scene, client);
}

#[test]
fn a_busy_connection_is_passed_to_its_program_once_and_then_carried_over() {
    let mut scene = Scene::new(World::draining());
    let (mut client, mut program) = scene.unanswered();
    answer(&client, &program);
    let all = scene.listed();
    scene.connections.open_lot(&scene.world.view(), &scene.table, OLD, &all);
    scene.until_parked(&program);
    client.write_all(REQUEST).expect("it is open");
    scene.until("it is passed", |_| low_water(&program) == 1);
    assert!(connections::is_corked(program.as_fd()), "the end of its answer is held back");
    assert_eq!(take(&program, REQUEST.len()), REQUEST);
    program.write_all(ANSWER).expect("there is room");
    scene.until_parked(&program);
    assert!(!connections::is_corked(program.as_fd()), "the client gets it now");
    assert_eq!(take(&client, ANSWER.len()), ANSWER);
    client.write_all(REQUEST).expect("it is open");
    assert_eq!(serve_one(&mut scene), LAST_REQUEST);
    conclude(&mut scene, client);
}

#[test]
fn the_beginning_of_a_request_is_waited_for() {
    let mut scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect();
    let all = scene.listed();
    scene.connections.open_lot(&scene.world.view(), &scene.table, OLD, &all);
    scene.until_parked(&program);
    client.write_all(&REQUEST[..10]).expect("it is open");
    scene.until("it is given to its program, as the rest does not come", |_| low_water(&program) == 1);
    assert_eq!((scene.connections.handoffs.len(), scene.connections.lots[0].held.len()), (0, 0));
    assert_eq!(take(&program, 10), &REQUEST[..10]);
}

#[test]
fn a_request_that_its_program_has_to_see_is_given_back() {
    let mut scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect();
    let all = scene.listed();
    scene.connections.open_lot(&scene.world.view(), &scene.table, OLD, &all);
    scene.until_parked(&program);
    let own = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(own).expect("it is open");
    scene.until("it is given back", |_| low_water(&program) == 1);
    assert_eq!(take(&program, own.len()), own);
}

#[test]
fn a_program_that_ends_its_connections_is_not_left_alone_while_one_is_carried() {
    let mut scene = Scene::new(World::draining());
    scene.world.options.drain_quiet = Duration::from_secs(3600);
    let (mut client, program) = scene.connect();
    let (_waits, unanswered) = scene.unanswered();
    scene.connections.drains_itself(OLD, true);
    scene.watch_owed();
    scene.until_parked(&program);
    client.write_all(REQUEST).expect("it is open");
    scene.go_on_for(Duration::from_millis(1200));
    assert_eq!((scene.events.len(), scene.connections.handoffs.len()), (0, 1), "nobody has answered it");
    serve_one(&mut scene);
    scene.until_drained();
    assert_eq!(scene.notes, ["generation 1: ends the 1 connections that are left itself, as it says"]);
    drop(unanswered);
}
