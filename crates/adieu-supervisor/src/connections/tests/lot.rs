//! The lot's hands: what it sees of a connection, and what it makes the kernel do with one.

use adieu_core::park::{Found, Parked};

use super::super::lot::peek;
use super::*;

fn arrives(socket: &TcpStream, length: usize) {
    let mut buffer = vec![0; length + 1];
    eventually("it arrives", || socket.peek(&mut buffer).is_ok_and(|got| got >= length).then_some(()));
}

#[test]
fn it_has_the_connections_that_the_members_have() {
    let scene = Scene::new(World::draining());
    let (_client, program) = scene.connect();
    let waiting = TcpStream::connect(scene.address).expect("it listens");
    let all = scene.listed();
    assert_eq!(all.len(), 2);
    let lot = Lot::new(OLD, Duration::ZERO, &[own_pid()], &all, clock::now());
    assert_eq!(lot.descriptors.keys().collect::<Vec<_>>(), [&cookie(&program)], "nobody has accepted the other one");
    assert_eq!(lot.descriptors[&cookie(&program)].local, scene.address);
    let waits = all.iter().find(|socket| socket.inode == 0).expect("the other one").cookie;
    assert!(!lot.is_settled(waits), "what it is owed is not known here");
    let of_nobody = Lot::new(OLD, Duration::ZERO, &[], &all, clock::now());
    assert!(of_nobody.descriptors.is_empty());
    drop(waiting);
}

#[test]
fn a_look_has_the_counters_of_the_kernel() {
    let scene = Scene::new(World::draining());
    let (mut client, mut program) = scene.unanswered();
    program.write_all(b"abc").expect("there is room");
    assert_eq!(take(&client, 3), b"abc");
    client.write_all(b"more").expect("it is open");
    arrives(&program, 4);
    let mut lot = scene.lot();
    let seen = eventually("everything is acknowledged", || {
        let seen = lot.look();
        assert_eq!(seen.len(), 1);
        (!seen[0].in_transit).then_some(seen[0])
    });
    assert_eq!((seen.cookie, seen.read, seen.unread, seen.written), (cookie(&program), REQUEST.len() as u64, 4, 3));
    assert!(seen.owned && !seen.half_closed);
}

#[test]
fn what_the_client_does_not_read_is_in_transit() {
    let scene = Scene::new(World::draining());
    let (_client, mut program) = scene.connect();
    let mut lot = scene.lot();
    assert!(!lot.look()[0].in_transit);
    let mut written = 0;
    while let Ok(length) = program.write(&[0; 64 * 1024]) {
        written += length as u64;
    }
    let seen = lot.look()[0];
    assert!(seen.in_transit);
    assert_eq!(seen.written, written);
    // What has left is acknowledged, and the client has no room for more.
    eventually("everything that has left has come", || {
        let info = connections::counters(program.as_fd()).expect("it is open").info;
        (info.segments_unacked == 0).then_some(())
    });
    assert!(lot.look()[0].in_transit);
}

#[test]
fn a_client_that_has_finished_sending_is_seen() {
    let scene = Scene::new(World::draining());
    let (client, program) = scene.connect();
    let mut lot = scene.lot();
    client.shutdown(std::net::Shutdown::Write).expect("it is open");
    eventually("its end is seen", || lot.look()[0].half_closed.then_some(()));
    drop(program);
}

#[test]
fn what_is_closed_is_let_go_of() {
    let scene = Scene::new(World::draining());
    let (client, program) = scene.connect();
    let mut lot = scene.lot();
    lot.look();
    assert_eq!(lot.park(cookie(&program)), Parked::Done);
    let (_other, closed) = scene.connect();
    let mut second = scene.lot();
    // The program has closed the one that is not held.
    drop(closed);
    eventually("its close is seen", || (second.look().len() == 1).then_some(()));
    assert_eq!(second.descriptors.len(), 1);
    // Both have closed the one that is held.
    let duplicate = program.try_clone().expect("ours");
    drop(program);
    duplicate.shutdown(std::net::Shutdown::Both).expect("it is open");
    drop(client);
    eventually("its end is seen", || lot.look().is_empty().then_some(()));
    assert_eq!((lot.descriptors.len(), lot.held.len()), (0, 0));
}

#[test]
fn what_is_held_is_seen_after_the_program_has_closed_it() {
    let scene = Scene::new(World::draining());
    let (_client, program) = scene.connect();
    let mut lot = scene.lot();
    lot.look();
    assert_eq!(lot.park(cookie(&program)), Parked::Done);
    assert!(lot.look()[0].owned);
    drop(program);
    eventually("its close is seen", || {
        let seen = lot.look();
        assert_eq!(seen.len(), 1);
        (!seen[0].owned).then_some(())
    });
}

#[test]
fn parking_raises_the_mark_and_giving_back_lowers_it() {
    let scene = Scene::new(World::draining());
    let (_client, program) = scene.connect();
    let mut lot = scene.lot();
    lot.look();
    assert_eq!(lot.park(cookie(&program)), Parked::Done);
    assert_eq!((low_water(&program), lot.held.len()), (RAISED, 1));
    lot.give_back(cookie(&program));
    assert_eq!((low_water(&program), lot.held.len()), (1, 0));
}

#[test]
fn what_has_come_since_the_look_is_not_parked() {
    let scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect();
    let mut lot = scene.lot();
    assert_eq!(lot.park(cookie(&program)), Parked::NotNow, "it was never looked at");
    lot.look();
    client.write_all(b"x").expect("it is open");
    arrives(&program, 1);
    assert_eq!(lot.park(cookie(&program)), Parked::NotNow);
    assert_eq!((low_water(&program), lot.held.len()), (1, 0));
    take(&program, 1);
    assert_eq!(lot.park(cookie(&program)), Parked::NotNow, "it was read since");
    lot.look();
    assert_eq!(lot.park(cookie(&program)), Parked::Done);
}

#[test]
fn what_is_unknown_or_closed_is_not_parked() {
    let scene = Scene::new(World::draining());
    let (_client, program) = scene.connect();
    let mut lot = scene.lot();
    lot.look();
    assert_eq!(lot.park(0), Parked::Never);
    let closed = cookie(&program);
    drop(program);
    eventually("its close is seen", || (lot.park(closed) == Parked::NotNow).then_some(()));
}

#[test]
fn no_more_are_held_than_permitted() {
    let scene = Scene::new(World::draining());
    let pairs = [scene.connect(), scene.connect()];
    let mut lot = scene.lot();
    lot.hold_at_most(1);
    lot.look();
    assert_eq!(lot.park(cookie(&pairs[0].1)), Parked::Done);
    assert_eq!(lot.park(cookie(&pairs[1].1)), Parked::Never);
    assert_eq!(lot.park(cookie(&pairs[0].1)), Parked::Done, "it is held already");
    assert_eq!(low_water(&pairs[1].1), 1);
}

#[test]
fn the_end_of_an_answer_is_held_back_and_let_go() {
    let scene = Scene::new(World::draining());
    let (_client, program) = scene.connect();
    let (mut lot, own) = (scene.lot(), cookie(&program));
    lot.hold_back(own);
    assert!(connections::is_corked(program.as_fd()));
    lot.let_go(own);
    assert!(!connections::is_corked(program.as_fd()));
    lot.hold_back(own);
    lot.give_back_all();
    assert!(!connections::is_corked(program.as_fd()), "given back, it is the program's alone");
}

#[test]
fn what_the_program_holds_back_itself_stays_so() {
    let scene = Scene::new(World::draining());
    let (_client, program) = scene.connect();
    let (mut lot, own) = (scene.lot(), cookie(&program));
    connections::set_cork(program.as_fd(), true).expect("ours");
    lot.hold_back(own);
    lot.let_go(own);
    lot.give_back_all();
    assert!(connections::is_corked(program.as_fd()));
}

#[test]
fn parking_lets_go_what_was_held_back() {
    let scene = Scene::new(World::draining());
    let (_client, program) = scene.connect();
    let (mut lot, own) = (scene.lot(), cookie(&program));
    lot.look();
    lot.hold_back(own);
    assert_eq!(lot.park(own), Parked::Done);
    assert!(!connections::is_corked(program.as_fd()));
}

#[test]
fn a_whole_request_is_passed_with_the_end_of_its_answer_held_back() {
    let scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect();
    let (mut lot, own) = (scene.lot(), cookie(&program));
    lot.look();
    assert_eq!(lot.pass(own), Found::Other, "it is not held");
    assert_eq!(lot.park(own), Parked::Done);
    client.write_all(REQUEST).expect("it is open");
    arrives(&program, REQUEST.len());
    assert_eq!(lot.pass(own), Found::Whole(REQUEST.len()));
    assert!(connections::is_corked(program.as_fd()));
    assert_eq!((low_water(&program), lot.held.len()), (1, 1));
}

#[test]
fn anything_else_is_given_back() {
    let scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect();
    let (mut lot, own) = (scene.lot(), cookie(&program));
    lot.look();
    assert_eq!(lot.park(own), Parked::Done);
    client.write_all(b"GET / HT").expect("it is open");
    arrives(&program, 8);
    assert_eq!(lot.pass(own), Found::Beginning);
    assert!(!connections::is_corked(program.as_fd()));
    assert_eq!((low_water(&program), lot.held.len()), (1, 0));
}

#[test]
fn closing_ends_the_answer_and_forgets_the_connection() {
    let scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect();
    let (mut lot, own) = (scene.lot(), cookie(&program));
    lot.look();
    assert_eq!(lot.park(own), Parked::Done);
    let lingering = lot.close(own, clock::now());
    assert!(lingering.is_some() && lot.descriptors.is_empty() && lot.held.is_empty());
    assert_eq!(client.read(&mut [0; 1]).expect("no reset"), 0);
    assert!(lot.close(own, clock::now()).is_none());
}

#[test]
fn how_its_program_has_ended_is_remembered() {
    let scene = Scene::new(World::draining());
    let mut lot = scene.lot();
    assert_eq!(lot.ended, None);
    lot.program_ended(Outcome::Exited(1));
    assert_eq!(lot.ended, Some(true));
    lot.program_ended(Outcome::Signaled(adieu_core::signal::Signal::TERM));
    assert_eq!(lot.ended, Some(false));
}

#[test]
fn what_waits_unread_is_told_apart() {
    let scene = Scene::new(World::draining());
    let table: [(&[u8], Found); 4] = [
        (REQUEST, Found::Whole(REQUEST.len())),
        (b"GET / HTTP/1.1\r\n", Found::Beginning),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", Found::Own),
        (b"\x16\x03\x01", Found::Other),
    ];
    for (bytes, found) in table {
        let (mut client, program) = scene.connect();
        assert_eq!(peek(program.as_fd()), (Found::Other, Vec::new()), "nothing waits");
        client.write_all(bytes).expect("it is open");
        arrives(&program, bytes.len());
        assert_eq!(peek(program.as_fd()), (found, bytes.to_vec()));
        assert_eq!(take(&program, bytes.len()), bytes, "it is still there");
    }
}

#[test]
fn a_request_that_is_too_long_is_the_programs_own() {
    let scene = Scene::new(World::draining());
    let (mut client, program) = scene.connect();
    let longest = adieu_core::http1::LONGEST;
    let mut request = b"GET / HTTP/1.1\r\nX: ".to_vec();
    request.resize(longest + 1, b'x');
    client.write_all(&request).expect("it fits the buffers");
    arrives(&program, longest + 1);
    assert_eq!(peek(program.as_fd()).0, Found::Own);
}
