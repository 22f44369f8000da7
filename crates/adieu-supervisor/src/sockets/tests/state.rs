//! What is known of the sockets of all generations.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use adieu_core::wire::{ListenerStatus, PathStatus};
use adieu_linux::diag::LocalPort;
use adieu_linux::process::own_pid;
use adieu_linux::{errno, unix_socket};

use super::bench::{Bench, ONE, THREE, TWO, at, directory, free_address, free_v6, inode, name, number, socket_for};
use crate::interests::{Interests, Source};
use crate::testing::World;

#[test]
fn a_refused_filter_is_said_and_makes_the_program_unseen() {
    for (error, why) in [
        (errno::EBUSY, "(another seccomp listener is there already, as under an outer `adieu run`)"),
        (errno::EPERM, "(Operation not permitted (os error 1))"),
    ] {
        let mut bench = Bench::new(World::reloading());
        assert!(!bench.sockets.is_watch_decided(TWO), "its child has not reported yet");
        let now = bench.world.now;
        bench.sockets.watch_refused(TWO, error, now, &mut bench.out);
        assert!(bench.sockets.is_watch_decided(TWO) && bench.sockets.is_unseen(TWO));
        assert!(!bench.sockets.is_watch_decided(ONE) && !bench.sockets.is_unseen(ONE));
        assert_eq!(
            bench.sockets.next_comparison(&bench.world.view(), &bench.table),
            Some(now),
            "it is looked at at once"
        );
        let note = bench.only_note();
        assert!(note.starts_with(&format!("cannot watch the program's sockets {why}: ")), "{note}");
        bench.sockets.watch_refused(THREE, error, now, &mut bench.out);
        assert_eq!(bench.notes(), [], "it is not there");
    }
}

#[test]
fn a_socket_is_loosened_by_its_inode() {
    let mut bench = Bench::new(World::serving());
    let socket = socket_for(free_address());
    bench.sockets.loosen(&bench.table, ONE, own_pid(), number(&socket) as i32);
    bench.sockets.loosen(&bench.table, ONE, own_pid(), -1);
    assert_eq!(bench.sockets.watched[&ONE].loose, [inode(&socket)].into());
}

#[test]
fn the_status_shows_queues_and_targets() {
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let (_first, _second) = (bench.serve(ONE, address), bench.serve(TWO, address));
    let never_listened = socket_for(address);
    assert!(bench.sockets.groups.keep(TWO, never_listened, None).is_ok());
    assert!(bench.sockets.queues_are_empty(ONE));
    let _clients = [TcpStream::connect(address), TcpStream::connect(address)];
    let endpoint = at(address);
    assert_eq!(bench.sockets.listener_statuses(ONE), [ListenerStatus { endpoint, queue: 2, target: true }]);
    assert_eq!(bench.sockets.listener_statuses(TWO), [ListenerStatus { endpoint, queue: 0, target: false }]);
    assert!(!bench.sockets.queues_are_empty(ONE) && bench.sockets.queues_are_empty(TWO));
    assert_eq!((bench.sockets.waiting(ONE), bench.sockets.waiting(TWO)), (2, 0));
    assert_eq!(bench.sockets.visible(), [endpoint, endpoint]);
}

#[test]
fn the_status_shows_paths_that_listen() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    let unfinished = unix_socket::stream().expect("a socket");
    bench.bind_path(ONE, &unfinished, &directory.path().join("other.sock"));
    let _client = UnixStream::connect(&path).expect("it listens");
    let shown = format!("unix:{}", path.display());
    let status = |waited_for, target| PathStatus { path: shown.clone(), waited_for, target };
    assert_eq!(bench.sockets.path_statuses(ONE), [status(true, true)]);
    assert_eq!(bench.sockets.path_statuses(TWO), [status(false, false)]);
    assert!(!bench.sockets.queues_are_empty(ONE) && bench.sockets.queues_are_empty(TWO));
}

#[test]
fn a_queue_that_others_empty_too_is_not_waited_for() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let first = bench.serve_path(ONE, &path);
    let _client = UnixStream::connect(&path).expect("it listens");
    assert!(bench.sockets.paths.is_waited_for(ONE));
    let shared = first.try_clone().expect("a descriptor is left");
    bench.sockets.paths.keep(TWO, shared, name(&path), None, false);
    assert!(!bench.sockets.paths.is_waited_for(ONE));
}

#[test]
fn connections_are_looked_for_at_each_place_once() {
    let mut bench = Bench::new(World::serving());
    let (address, v6) = (free_address(), free_v6());
    let same_port = SocketAddr::new(free_address().ip(), address.port());
    let _sockets = [bench.serve(ONE, address), bench.serve(ONE, same_port), bench.serve(ONE, v6)];
    let mut expected = [LocalPort::of(address), LocalPort::of(v6)];
    expected.sort();
    assert_eq!(bench.sockets.places(ONE), expected);
    assert_eq!(bench.sockets.places(TWO), []);
}

#[test]
fn queues_beside_some_sockets_are_those_of_the_others() {
    let mut bench = Bench::new(World::serving());
    let (address, other) = (free_address(), free_address());
    let (first, second) = (bench.serve(ONE, address), bench.serve(ONE, other));
    let _clients = [TcpStream::connect(address), TcpStream::connect(address), TcpStream::connect(other)];
    let beside = |inodes: &[u64]| bench.sockets.waiting_beside(ONE, &inodes.iter().copied().collect());
    assert_eq!(beside(&[]), 3);
    assert_eq!(beside(&[inode(&first)]), 1);
    assert_eq!(beside(&[inode(&second)]), 2);
    assert_eq!(bench.sockets.waiting_beside(TWO, &[].into()), 0);
}

#[test]
fn ends_of_processes_with_listeners_are_waited_for() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let socket = bench.serve(ONE, free_address());
    let id = bench.kept(ONE, &socket).expect("it is kept");
    let sources = |bench: &Bench| {
        let mut interests = Interests::default();
        bench.sockets.interests(&mut interests);
        interests.into_sources()
    };
    assert_eq!(sources(&bench), [Source::Holder(id)]);
    // A directory is watched as soon as a path has a second name there.
    let _unix = bench.serve_path(ONE, &directory.path().join("app.sock"));
    bench.sockets.secure_paths(&bench.world.view(), &mut bench.out);
    assert_eq!(sources(&bench), [Source::Holder(id), Source::Other]);
    bench.sockets.groups.hold(ONE);
    assert_eq!(sources(&bench), [Source::Other], "nobody in particular has what is held");
}
