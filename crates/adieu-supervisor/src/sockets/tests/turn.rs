//! A turn of the loop: when something is due, and what is gone on with.

use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::outcome::Outcome;
use adieu_linux::{sockets, unix_socket};

use super::bench::{Bench, ONE, TWO, at, directory, free_address};
use crate::options;
use crate::sockets::Found;
use crate::testing::World;

fn next(bench: &Bench) -> Option<Duration> {
    let next: Option<Timestamp> = bench.sockets.next(&bench.world.view(), &bench.table);
    next.map(|next| next - bench.world.now)
}

fn advance(bench: &mut Bench) -> Found {
    bench.sockets.advance(&bench.world.view(), &bench.table, &mut bench.out)
}

#[test]
fn sockets_are_looked_at_every_second() {
    let mut bench = Bench::new(World::serving());
    assert_eq!(next(&bench), Some(Duration::ZERO));
    let found = advance(&mut bench);
    assert!(found.may_be_ready.is_empty() && !found.refuses);
    assert_eq!(next(&bench), Some(Duration::from_secs(1)));
    bench.later(Duration::from_millis(400));
    let _found = advance(&mut bench);
    assert_eq!(next(&bench), Some(Duration::from_millis(600)));
}

#[test]
fn nothing_is_due_where_nobody_lives_or_nothing_is_handled() {
    let mut bench = Bench::new(World::serving());
    bench.world.options.sockets = options::Sockets::Off;
    assert_eq!(next(&bench), None);
    bench.world.options.sockets = options::Sockets::Auto;
    bench.entry(ONE).outcome = Some(Outcome::Exited(0));
    assert_eq!(next(&bench), None);
}

#[test]
fn a_generation_that_starts_is_due_for_a_comparison() {
    let mut bench = Bench::new(World::reloading());
    let _found = advance(&mut bench);
    bench.later(Duration::from_millis(900));
    bench.sockets.next_look = bench.world.now + Duration::from_secs(1);
    assert_eq!(next(&bench), Some(Duration::from_millis(100)));
    bench.later(Duration::from_millis(100));
    assert_eq!(advance(&mut bench).may_be_ready, [TWO]);
}

#[test]
fn what_is_held_is_due_to_be_closed() {
    let mut bench = Bench::new(World::starting());
    let address = free_address();
    drop(bench.serve(ONE, address));
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    bench.entry(ONE).outcome = Some(Outcome::Exited(0));
    assert!(!advance(&mut bench).refuses);
    assert_eq!(next(&bench), Some(Duration::from_secs(120)));
    bench.later(Duration::from_secs(120));
    assert!(advance(&mut bench).refuses);
    assert_eq!(next(&bench), None, "nothing is held");
    assert!(bench.only_note().starts_with("nobody has served for 2m"));
}

#[test]
fn a_listen_on_a_path_is_looked_for_at_once() {
    let mut bench = Bench::new(World::starting());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let socket = unix_socket::stream().expect("a socket");
    bench.bind_path(ONE, &socket, &path);
    unix_socket::bind(socket.as_fd(), &path).expect("the path is free");
    let _found = advance(&mut bench);
    bench.has(ONE, &socket);
    bench.listen(ONE, &socket, 16);
    assert_eq!(next(&bench), Some(Duration::from_millis(1)));
    sockets::listen(socket.as_fd(), 16).expect("it is bound");
    assert_eq!(advance(&mut bench).may_be_ready, [ONE]);
    assert_ne!(next(&bench), Some(Duration::from_millis(1)));
}

#[test]
fn a_path_of_the_serving_one_is_put_in_place_when_it_listens() {
    let mut bench = Bench::new(World::settling());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let (_first, second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    let _client = UnixStream::connect(&path).expect("it listens");
    assert!(unix_socket::is_waited_for(second.as_fd()), "there is no other switch to come");
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_path_that_cannot_be_put_in_place_is_said() {
    let mut bench = Bench::new(World::settling());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let _first = bench.serve_path(ONE, &path);
    std::fs::create_dir(directory.path().join(".app.sock.2.new")).expect("a new directory");
    let _second = bench.serve_path(TWO, &path);
    assert!(bench.only_note().starts_with("generation 2: its Unix sockets cannot be put in place: "));
}

#[test]
fn an_abandoned_listener_is_closed_in_the_course_of_time_where_somebody_waits_in_vain() {
    for waits in [false, true] {
        let mut bench = Bench::new(World::serving());
        let address = free_address();
        drop(bench.serve(ONE, address));
        bench.entry(ONE).inodes = Some(Some([].into()));
        let _client = waits.then(|| TcpStream::connect(address).expect("it listens"));
        let _found = advance(&mut bench);
        bench.later(Duration::from_millis(999));
        let _found = advance(&mut bench);
        assert_eq!(bench.sockets.endpoints(ONE), [at(address)]);
        bench.later(Duration::from_millis(1));
        let _found = advance(&mut bench);
        assert_eq!(bench.sockets.endpoints(ONE).is_empty(), waits, "there is no hurry while nobody waits");
    }
}
