//! Switched to, held while nobody serves, let go, closed.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use adieu_core::group::Owner;
use adieu_core::outcome::Outcome;
use adieu_core::switch::{Event, Generation};
use adieu_linux::sockets::{self, accept_queue};
use adieu_linux::unix_socket;

use super::bench::{Bench, ONE, TWO, at, directory, free_address, inode, name, options_with, queue};
use crate::testing::World;

fn hold(bench: &mut Bench) {
    bench.sockets.hold(&bench.world.view(), &bench.table, ONE, &mut bench.out);
}

fn retire(bench: &mut Bench, generation: Generation) {
    bench.sockets.retire(&bench.world.view(), generation, &mut bench.out);
}

fn is_refused(bench: &mut Bench) -> bool {
    bench.sockets.bound_the_wait(&bench.world.view(), &mut bench.out)
}

#[test]
fn a_switch_moves_ports_and_paths() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let (address, path) = (free_address(), directory.path().join("app.sock"));
    let first = (bench.serve(ONE, address), bench.serve_path(ONE, &path));
    bench.sockets.secure_paths(&bench.world.view(), &mut bench.out);
    let second = (bench.serve(TWO, address), bench.serve_path(TWO, &path));
    bench.sockets.switch_to(&bench.world.view(), TWO, &mut bench.out).expect("both listen");
    let _clients: Vec<_> = (0..16).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    let _client = UnixStream::connect(&path).expect("it listens");
    assert_eq!((queue(&first.0), queue(&second.0)), (0, 16));
    let waited_for = |of| bench.sockets.path_statuses(of)[0].waited_for;
    assert_eq!((waited_for(ONE), waited_for(TWO)), (false, true));
    // And back.
    bench.sockets.switch_to(&bench.world.view(), ONE, &mut bench.out).expect("both listen");
    let _more: Vec<_> = (0..16).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    let _one_more = UnixStream::connect(&path).expect("it listens");
    assert_eq!((queue(&first.0), queue(&second.0)), (16, 16));
    assert!(bench.sockets.path_statuses(ONE)[0].waited_for);
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_generation_that_lives_is_held_for_in_advance() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let (address, path) = (free_address(), directory.path().join("app.sock"));
    let first = bench.serve(ONE, address);
    let _first = bench.serve_path(ONE, &path);
    hold(&mut bench);
    assert_eq!(bench.sockets.ends_first, Some(ONE));
    assert_eq!(bench.sockets.groups.endpoints(Owner::Held), [at(address)]);
    assert_eq!(bench.sockets.endpoints(ONE), [at(address)], "it keeps its own");
    let held = bench.sockets.groups.held_at(&at(address)).and_then(|id| bench.sockets.groups.get(id)).expect("held");
    assert_ne!(held.inode, inode(&first));
    let _clients: Vec<_> = (0..16).map(|_| TcpStream::connect(address).expect("somebody listens")).collect();
    assert_eq!((queue(&first), bench.sockets.groups.waiting(Owner::Held)), (0, 16));
    assert!(directory.path().join(".app.sock.1").exists(), "its path is secured");
    assert_eq!(bench.sockets.paths.names(ONE), [name(&path)]);
    // It ends: what is held already is not held twice.
    retire(&mut bench, ONE);
    assert_eq!(bench.sockets.ends_first, None);
    assert_eq!(bench.sockets.groups.of(Owner::Held).count(), 1);
    assert_eq!(bench.sockets.groups.of(ONE).count(), 0);
    assert_eq!(bench.sockets.paths.names(Owner::Held), [name(&path)]);
    assert_eq!(bench.sockets.groups.waiting(Owner::Held), 16);
    assert_eq!(bench.notes(), []);
}

#[test]
fn the_listeners_of_one_that_has_died_are_held() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let (address, path) = (free_address(), directory.path().join("app.sock"));
    let first = bench.serve(ONE, address);
    let _first = bench.serve_path(ONE, &path);
    bench.entry(ONE).outcome = Some(Outcome::Exited(1));
    hold(&mut bench);
    assert_eq!(bench.sockets.ends_first, None);
    let held = bench.sockets.groups.held_at(&at(address)).and_then(|id| bench.sockets.groups.get(id)).expect("held");
    assert_eq!(held.inode, inode(&first), "its own");
    assert_eq!(bench.sockets.paths.names(Owner::Held), [name(&path)]);
    assert!(bench.sockets.holds_something());
    assert_eq!(bench.sockets.endpoints(ONE), []);
}

#[test]
fn a_newcomer_that_listens_already_gets_what_comes_from_now_on() {
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let (first, second) = (bench.serve(ONE, address), bench.serve(TWO, address));
    bench.world.tell(Event::MainExited(ONE, Outcome::Exited(1)));
    bench.entry(ONE).outcome = Some(Outcome::Exited(1));
    assert_eq!(bench.world.view().switch.serving(), Some(TWO));
    hold(&mut bench);
    let _clients: Vec<_> = (0..16).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    assert_eq!((queue(&first), queue(&second)), (0, 16));
    assert_eq!(bench.sockets.groups.endpoints(Owner::Held), [at(address)]);
}

#[test]
fn what_was_not_taken_is_closed() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let (address, path) = (free_address(), directory.path().join("app.sock"));
    let _first = [bench.serve(ONE, address), bench.serve_path(ONE, &path)];
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    bench.sockets.close_held(&mut bench.out);
    assert!(!bench.sockets.holds_something());
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_path_alone_is_something_held() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let _first = bench.serve_path(ONE, &directory.path().join("app.sock"));
    assert!(!bench.sockets.holds_something());
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    assert!(bench.sockets.holds_something());
}

#[test]
fn what_the_program_closes_after_a_release_is_closed() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let (address, path) = (free_address(), directory.path().join("app.sock"));
    let (first, unix) = (bench.serve(ONE, address), bench.serve_path(ONE, &path));
    bench.sockets.release(ONE);
    let _client = TcpStream::connect(address).expect("it goes on");
    assert_eq!(queue(&first), 1);
    drop((first, unix));
    assert!(TcpStream::connect(address).is_err());
    assert!(UnixStream::connect(&path).is_err());
    assert_eq!(bench.sockets.endpoints(ONE), []);
}

#[test]
fn a_generation_that_is_gone_is_closed_where_somebody_serves_or_the_run_stops() {
    let mut bench = Bench::new(World::draining());
    let address = free_address();
    let (first, second) = (bench.serve(ONE, address), bench.serve(TWO, address));
    retire(&mut bench, ONE);
    assert_eq!(accept_queue(first.as_fd()), None, "it does not listen any more");
    assert!(!bench.sockets.holds_something());
    assert!(!bench.sockets.watched.contains_key(&ONE) && bench.sockets.watched.contains_key(&TWO));
    bench.world.tell(Event::Stop);
    retire(&mut bench, TWO);
    assert!(!bench.sockets.holds_something());
    assert_eq!(accept_queue(second.as_fd()), None);
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_generation_that_is_gone_leaves_its_listeners_where_nobody_serves() {
    let mut bench = Bench::new(World::new(options_with(|_| ())));
    bench.begin(ONE);
    let address = free_address();
    let _first = bench.serve(ONE, address);
    bench.sockets.ends_first = Some(TWO);
    retire(&mut bench, ONE);
    assert_eq!(bench.sockets.groups.endpoints(Owner::Held), [at(address)]);
    assert_eq!(bench.sockets.ends_first, Some(TWO), "that is another one's");
    let _client = TcpStream::connect(address).expect("clients wait");
}

#[test]
fn clients_wait_for_twice_the_time_to_get_ready() {
    let mut bench = Bench::new(World::starting());
    bench.world.options.ready_timeout = Duration::from_secs(45);
    let address = free_address();
    let _first = bench.serve(ONE, address);
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    assert!(!is_refused(&mut bench));
    assert_eq!(bench.sockets.unserved_until, Some(bench.world.now + Duration::from_secs(90)));
    bench.later(Duration::from_millis(89_999));
    assert!(!is_refused(&mut bench));
    bench.later(Duration::from_millis(1));
    assert!(is_refused(&mut bench));
    let note = bench.only_note();
    assert_eq!(note, "nobody has served for 1m30s: new connections are refused until a generation listens again");
    assert!(TcpStream::connect(address).is_err());
    assert!(!is_refused(&mut bench), "nothing is held any more");
    bench.world.tell(Event::Ready(ONE));
    assert!(!is_refused(&mut bench));
    assert_eq!(bench.sockets.unserved_until, None, "it serves");
}

#[test]
fn clients_wait_for_nobody_who_only_ends() {
    let mut bench = Bench::new(World::serving());
    assert!(!is_refused(&mut bench));
    assert_eq!(bench.sockets.unserved_until, None);
    bench.world.tell(Event::Stop);
    assert!(!is_refused(&mut bench));
    assert!(bench.sockets.unserved_until.is_some(), "it was ready, and ends");
    bench.world.tell(Event::MainExited(ONE, Outcome::Exited(0)));
    bench.world.tell(Event::TreeGone(ONE));
    assert!(bench.world.view().switch.is_over());
    assert!(!is_refused(&mut bench));
    assert_eq!(bench.sockets.unserved_until, None, "there is nobody to wait for");
}

#[test]
fn paths_are_secured_for_the_serving_one_only() {
    let mut bench = Bench::new(World::settling());
    let directory = directory();
    let (path, other) = (directory.path().join("app.sock"), directory.path().join("other.sock"));
    let _sockets = [bench.serve_path(ONE, &path), bench.serve_path(TWO, &other)];
    bench.sockets.secure_paths(&bench.world.view(), &mut bench.out);
    assert!(directory.path().join(".other.sock.2").exists());
    assert!(!directory.path().join(".app.sock.1").exists());
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_path_that_listens_since_the_last_look_is_held_when_its_program_dies() {
    let mut bench = Bench::new(World::starting());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let socket = unix_socket::stream().expect("a socket");
    bench.bind_path(ONE, &socket, &path);
    unix_socket::bind(socket.as_fd(), &path).expect("the path is free");
    bench.listen(ONE, &socket, 16);
    sockets::listen(socket.as_fd(), 16).expect("it is bound");
    let mut client = UnixStream::connect(&path).expect("it listens");
    // The program dies before anybody has looked.
    assert_eq!(bench.sockets.main_ended(&bench.world.view(), ONE, &mut bench.out), [ONE]);
    bench.table.entries.get_mut(&ONE).expect("it has begun").outcome = Some(Outcome::Exited(3));
    hold(&mut bench);
    drop(socket);
    bench.sockets.drop_left(&bench.world.view(), &bench.table, ONE, &mut bench.out);
    assert_eq!(bench.sockets.paths.names(Owner::Held), [name(&path)]);
    client.set_nonblocking(true).expect("ours");
    let waits = client.read(&mut [0; 1]).expect_err("it is neither answered nor reset");
    assert_eq!(waits.kind(), ErrorKind::WouldBlock);
}
