//! One request on its way to the next generation, and its answer back.

use adieu_linux::poll::Readiness;

use super::super::handoff::{Handed, Handoff};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A request of a client of the old generation is about to be relayed to `next`.
fn handoff(scene: &Scene, next: &TcpListener, deadline: Duration) -> (TcpStream, Handoff) {
    let (client, program) = scene.connect();
    let to = next.local_addr().expect("it is bound");
    let origin = (OLD, 7);
    let handoff = Handoff::connect(origin, program.into(), to, REQUEST.to_vec(), clock::now() + deadline);
    (client, handoff.expect("it listens"))
}

fn next_generation() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// Whether it waits for the next generation, and for its client, as it says.
fn waits_for(scene: &Scene) -> Vec<Readiness> {
    scene.connections.handoffs[0].interests().into_iter().map(|(_, readiness)| readiness).collect()
}

const FAILED: Handed = Handed { origin: (OLD, 7), answered: false };

#[test]
fn a_request_is_relayed_and_its_answer_sent_back_as_the_last() {
    let mut scene = Scene::new(World::settling());
    let next = next_generation();
    let (mut client, handoff) = handoff(&scene, &next, HOUR);
    scene.connections.handoffs.push(handoff);
    assert_eq!(waits_for(&scene), [Readiness::WRITE]);
    scene.until("the request is on its way", |scene| waits_for(scene) == [Readiness::READ]);
    let (mut server, _) = next.accept().expect("it connects");
    assert_eq!(take(&server, REQUEST.len()), REQUEST);
    server.write_all(ANSWER).expect("there is room");
    scene.go_on_for(Duration::from_millis(20));
    assert_eq!(scene.connections.handoffs.len(), 1, "it may have more to say");
    drop(server);
    scene.until("it is answered", |scene| scene.connections.handoffs.is_empty());
    assert_eq!(scene.connections.handed, [Handed { origin: (OLD, 7), answered: true }]);
    assert_eq!((scene.connections.lingering.len(), scene.notes.len()), (1, 0));
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("it is closed without a reset");
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
}

#[test]
fn an_answer_whose_head_never_ends_is_sent_back_as_it_came() {
    let mut scene = Scene::new(World::settling());
    let next = next_generation();
    let (mut client, handoff) = handoff(&scene, &next, HOUR);
    scene.connections.handoffs.push(handoff);
    scene.turn();
    let (mut server, _) = next.accept().expect("it connects");
    server.write_all(b"HTTP/1.1 200 OK\r\nX: y").expect("there is room");
    scene.until("the request is on its way", |scene| waits_for(scene) == [Readiness::READ]);
    assert_eq!(take(&server, REQUEST.len()), REQUEST);
    drop(server);
    scene.until("it is answered", |scene| scene.connections.handoffs.is_empty());
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("it is closed without a reset");
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nX: y");
}

#[test]
fn a_slow_client_holds_up_a_long_answer() {
    let mut scene = Scene::new(World::settling());
    let next = next_generation();
    let (mut client, handoff) = handoff(&scene, &next, HOUR);
    scene.connections.handoffs.push(handoff);
    // More than fits all the buffers of the kernel between here and there.
    let body: Vec<u8> = (0..32 * 1024 * 1024u32).map(|at| (at % 251) as u8).collect();
    let sent = body.clone();
    let server = std::thread::spawn(move || {
        let (mut server, _) = next.accept().expect("it connects");
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("it is read");
        server.write_all(&sent).expect("it is read");
        assert_eq!(take(&server, REQUEST.len()), REQUEST);
    });
    scene.until("nothing more is read from there", |scene| waits_for(scene) == [Readiness::WRITE]);
    scene.turn();
    assert_eq!((scene.notes.len(), waits_for(&scene)), (0, vec![Readiness::WRITE]));
    client.set_nonblocking(true).expect("ours");
    let mut answer = Vec::new();
    scene.until("it is answered", |_| match client.read_to_end(&mut answer) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            false
        }
    });
    server.join().expect("no panic");
    let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    assert!(answer.starts_with(head));
    assert!(answer[head.len()..] == body, "{} bytes of {}", answer.len() - head.len(), body.len());
    assert_eq!(scene.notes, [""; 0]);
}

#[test]
fn where_nobody_listens_it_does_not_begin_or_fails() {
    let mut scene = Scene::new(World::settling());
    // Bound, it is nobody else's meanwhile.
    let bound = calls::tcp_socket(calls::AF_INET).expect("a socket");
    calls::bind(bound.as_fd(), "127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let to = calls::local_address(bound.as_fd()).expect("it is bound").expect("an address");
    let (_client, program) = scene.connect();
    let deadline = clock::now() + HOUR;
    // The kernel may say so at once, or when the connection is asked for its fate.
    if let Some(handoff) = Handoff::connect((OLD, 7), program.into(), to, REQUEST.to_vec(), deadline) {
        scene.connections.handoffs.push(handoff);
        scene.until("it fails", |scene| scene.connections.handoffs.is_empty());
        let note = "a request that was carried over was not answered whole: Connection refused (os error 111)";
        assert_eq!(scene.notes, [note]);
    }
}

#[test]
fn a_next_generation_that_closes_its_listener_is_told_of() {
    let mut scene = Scene::new(World::settling());
    let next = next_generation();
    let (mut client, handoff) = handoff(&scene, &next, HOUR);
    scene.connections.handoffs.push(handoff);
    // The kernel resets what waits in its queue.
    drop(next);
    scene.until("it fails", |scene| scene.connections.handoffs.is_empty());
    let note = "a request that was carried over was not answered whole: Connection reset by peer (os error 104)";
    assert_eq!(scene.notes, [note]);
    assert_eq!((scene.connections.handed.as_slice(), scene.connections.lingering.len()), ([FAILED].as_slice(), 1));
    assert_eq!(client.read(&mut [0; 1]).expect("it is closed without a reset"), 0);
}

#[test]
fn a_client_that_is_gone_is_told_of() {
    let mut scene = Scene::new(World::settling());
    let next = next_generation();
    let (client, handoff) = handoff(&scene, &next, HOUR);
    scene.connections.handoffs.push(handoff);
    scene.turn();
    let (mut server, _) = next.accept().expect("it connects");
    drop(client);
    scene.until("it fails", |scene| {
        drop(server.write(&[b'x'; 100_000]));
        scene.connections.handoffs.is_empty()
    });
    assert!(
        scene.notes[0].starts_with("a request that was carried over was not answered whole: "),
        "{:?}",
        scene.notes
    );
}

#[test]
fn a_request_whose_time_is_spent_is_told_of() {
    let mut scene = Scene::new(World::settling());
    let next = next_generation();
    let (_client, handoff) = handoff(&scene, &next, HOUR);
    scene.connections.handoffs.push(handoff);
    scene.turn();
    assert_eq!(scene.connections.handoffs.len(), 1);
    scene.turn_after(HOUR);
    assert_eq!(scene.connections.handoffs.len(), 0);
    let note = "a request that was carried over was not answered whole: it took longer than the grace";
    assert_eq!(scene.notes, [note]);
    assert_eq!(scene.connections.handed, [FAILED]);
}

#[test]
fn its_time_is_spent_at_its_deadline() {
    let mut scene = Scene::new(World::settling());
    let next = next_generation();
    let (_client, handoff) = handoff(&scene, &next, HOUR);
    let deadline = handoff.deadline;
    scene.connections.handoffs.push(handoff);
    for (early, left) in [(Duration::from_millis(1), 1), (Duration::ZERO, 0)] {
        scene.world.now = adieu_core::Timestamp::from_origin(deadline.since_origin() - early);
        let mut out = Out::default();
        scene.connections.advance_handoffs(&scene.world.view(), &mut out);
        assert_eq!((scene.connections.handoffs.len(), out.texts().len()), (left, 1 - left));
    }
}

#[test]
fn one_that_is_closed_without_an_answer_is_told_of() {
    let mut scene = Scene::new(World::settling());
    let next = next_generation();
    let (mut client, handoff) = handoff(&scene, &next, HOUR);
    scene.connections.handoffs.push(handoff);
    scene.until("the request is on its way", |scene| waits_for(scene) == [Readiness::READ]);
    let (server, _) = next.accept().expect("it connects");
    assert_eq!(take(&server, REQUEST.len()), REQUEST);
    drop(server);
    scene.until("it is over", |scene| scene.connections.handoffs.is_empty());
    assert_eq!(
        scene.notes,
        ["a request that was carried over was not answered whole: it was closed without an answer"]
    );
    assert_eq!(scene.connections.handed, [FAILED]);
    assert_eq!(client.read(&mut [0; 1]).expect("it is closed without a reset"), 0);
}
