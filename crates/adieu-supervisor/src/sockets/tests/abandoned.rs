//! Listeners that no process has any more: closed, unless their program binds the address again.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use adieu_core::switch::{Event, Generation};
use adieu_linux::sockets;

use super::bench::{Bench, ONE, TWO, at, directory, free_address, free_everywhere, free_v6, inode, queue, socket_for};
use crate::sockets::answer::{Answer, Ours, Replacement};
use crate::testing::World;

/// The program closes it; what we hold of it is still there.
fn close(bench: &mut Bench, generation: Generation, socket: OwnedFd) {
    let inode = inode(&socket);
    bench.entry(generation).inodes.as_mut().and_then(Option::as_mut).expect("they are said").remove(&inode);
    drop(socket);
}

fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn drop_abandoned(bench: &mut Bench, generation: Generation) {
    bench.sockets.drop_abandoned(&bench.table, generation, &mut bench.out);
}

fn look(bench: &mut Bench, generation: Generation) {
    bench.sockets.look_for_abandoned(&bench.table, generation, bench.world.now, &mut bench.out);
}

#[test]
fn what_the_program_has_closed_is_closed() {
    let mut bench = Bench::new(World::serving());
    let (address, other) = (free_address(), free_address());
    let (closed, _kept) = (bench.serve(ONE, address), bench.serve(ONE, other));
    drop_abandoned(&mut bench, ONE);
    assert_eq!(bench.sockets.groups.of(ONE).count(), 2, "it has both");
    close(&mut bench, ONE, closed);
    assert!(!is_refused(address), "clients wait");
    drop_abandoned(&mut bench, ONE);
    assert!(is_refused(address));
    assert_eq!(bench.sockets.endpoints(ONE), [at(other)]);
    assert_eq!(bench.notes(), []);
}

#[test]
fn what_another_process_has_is_kept() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = bench.serve(ONE, address);
    let number = inode(&socket);
    close(&mut bench, ONE, socket);
    bench.entry(ONE).inodes = Some(Some([number].into()));
    drop_abandoned(&mut bench, ONE);
    assert!(!is_refused(address), "a worker has it");
}

#[test]
fn nothing_is_closed_where_it_cannot_be_known() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let (address, path) = (free_address(), directory.path().join("app.sock"));
    let (socket, unix) = (bench.serve(ONE, address), bench.serve_path(ONE, &path));
    close(&mut bench, ONE, socket);
    close(&mut bench, ONE, unix);
    bench.entry(ONE).inodes = Some(None);
    drop_abandoned(&mut bench, ONE);
    bench.entry(ONE).inodes = Some(Some([].into()));
    bench.entry(ONE).still_there = Some(false);
    drop_abandoned(&mut bench, ONE);
    assert!(!is_refused(address), "who takes over is decided first");
    assert_eq!(bench.sockets.paths.of(ONE).count(), 1);
    bench.entry(ONE).still_there = None;
    drop_abandoned(&mut bench, ONE);
    assert!(is_refused(address));
    assert_eq!(bench.sockets.paths.of(ONE).count(), 0);
}

#[test]
fn a_listener_that_was_passed_is_never_abandoned() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    bench.world.options.listen = vec![address];
    let (passed, _) = bench.sockets.pass(&bench.world.view(), ONE, &mut bench.out).expect("the port is free");
    drop(passed);
    drop_abandoned(&mut bench, ONE);
    assert!(!is_refused(address));
}

#[test]
fn a_program_has_a_second_to_bind_again() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = bench.serve(ONE, address);
    close(&mut bench, ONE, socket);
    look(&mut bench, ONE);
    bench.later(Duration::from_millis(999));
    look(&mut bench, ONE);
    assert!(!is_refused(address));
    bench.later(Duration::from_millis(1));
    look(&mut bench, ONE);
    assert!(is_refused(address));
}

#[test]
fn the_second_begins_anew_when_somebody_has_it_again() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = bench.serve(ONE, address);
    let number = inode(&socket);
    close(&mut bench, ONE, socket);
    look(&mut bench, ONE);
    bench.entry(ONE).inodes = Some(Some([number].into()));
    bench.later(Duration::from_secs(5));
    look(&mut bench, ONE);
    bench.entry(ONE).inodes = Some(Some([].into()));
    look(&mut bench, ONE);
    assert!(!is_refused(address), "it has been let go just now");
    bench.later(Duration::from_secs(1));
    look(&mut bench, ONE);
    assert!(is_refused(address));
}

#[test]
fn who_binds_again_gets_the_same_socket_with_all_who_wait() {
    for address in [free_address(), free_v6()] {
        let mut bench = Bench::new(World::serving());
        let socket = bench.serve(ONE, address);
        let id = bench.kept(ONE, &socket);
        close(&mut bench, ONE, socket);
        let _client = TcpStream::connect(address).expect("clients wait");
        let again = socket_for(address);
        match bench.bind(ONE, &again, address) {
            Answer::ReplaceAndReturn(Replacement { with: Ours::Held(given), .. }) => assert_eq!(Some(given), id),
            other => panic!("{address}: {other:?}"),
        }
        assert_eq!(bench.sockets.waiting(ONE), 1);
        // Another generation does not get it.
        bench.begin(TWO);
        let of_another = socket_for(address);
        assert!(matches!(bench.bind(TWO, &of_another, address), Answer::Continue));
    }
}

#[test]
fn what_is_in_the_way_of_a_bind_is_closed() {
    let mut bench = Bench::new(World::serving());
    let wide = free_everywhere();
    let (narrow, elsewhere) = (SocketAddr::new(free_address().ip(), wide.port()), free_address());
    let (first, other) = (bench.serve(ONE, narrow), bench.serve(ONE, elsewhere));
    let never_bound = socket_for(wide);
    assert!(matches!(bench.bind(ONE, &never_bound, wide), Answer::Continue));
    close(&mut bench, ONE, first);
    close(&mut bench, ONE, other);
    drop(never_bound);
    let socket = socket_for(wide);
    assert!(matches!(bench.bind(ONE, &socket, wide), Answer::Continue));
    sockets::bind(socket.as_fd(), wide).expect("nothing is in the way");
    assert_eq!(bench.sockets.endpoints(ONE), [at(elsewhere)], "that one is not");
    assert_eq!(bench.sockets.groups.of(ONE).count(), 2, "the one elsewhere, and the new one");
}

#[test]
fn what_a_dead_program_has_left_is_closed_unless_the_next_one_inherits_it() {
    for (ends_first, stops, closed) in [(None, false, true), (Some(ONE), false, false), (Some(ONE), true, true)] {
        let mut bench = Bench::new(World::serving());
        let address = free_address();
        let socket = bench.serve(ONE, address);
        close(&mut bench, ONE, socket);
        bench.sockets.ends_first = ends_first;
        if stops {
            bench.world.tell(Event::Stop);
        }
        bench.sockets.drop_left(&bench.world.view(), &bench.table, ONE, &mut bench.out);
        assert_eq!(is_refused(address), closed, "{ends_first:?} {stops}");
    }
}

#[test]
fn all_generations_are_looked_at() {
    let mut bench = Bench::new(World::reloading());
    let (address, other) = (free_address(), free_address());
    let (first, second) = (bench.serve(ONE, address), bench.serve(TWO, other));
    close(&mut bench, ONE, first);
    close(&mut bench, TWO, second);
    bench.sockets.drop_all_abandoned(&bench.table, &mut bench.out);
    assert!(is_refused(address) && is_refused(other));
}

#[test]
fn one_of_several_is_closed_when_its_process_ends() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let shared = |bench: &mut Bench| {
        let socket = socket_for(address);
        sockets::share_port(socket.as_fd()).expect("a TCP socket");
        assert!(matches!(bench.bind(ONE, &socket, address), Answer::Continue));
        sockets::bind(socket.as_fd(), address).expect("it is shared");
        assert!(matches!(bench.listen(ONE, &socket, 128), Answer::Return(Ok(()))));
        bench.has(ONE, &socket);
        socket
    };
    let (first, second) = (shared(&mut bench), shared(&mut bench));
    let id = bench.kept(ONE, &first).expect("it is kept");
    assert_eq!(bench.sockets.holders().count(), 2);
    close(&mut bench, ONE, first);
    bench.sockets.holder_ended(&bench.world.view(), &bench.table, id, &mut bench.out);
    assert_eq!(bench.sockets.holders().count(), 1);
    assert_eq!(bench.sockets.groups.of(ONE).count(), 1);
    let _clients: Vec<_> = (0..16).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    assert_eq!(queue(&second), 16, "the other one gets them all");
    assert_eq!(bench.notes(), []);
}

#[test]
fn the_only_one_is_kept_for_a_second_when_its_process_ends() {
    let mut bench = Bench::new(World::serving());
    let (address, other) = (free_address(), free_address());
    let (socket, _other) = (bench.serve(ONE, address), bench.serve(ONE, other));
    let id = bench.kept(ONE, &socket).expect("it is kept");
    close(&mut bench, ONE, socket);
    bench.sockets.holder_ended(&bench.world.view(), &bench.table, id, &mut bench.out);
    assert!(!is_refused(address));
    let kept = bench.sockets.groups.get(id).expect("it is kept");
    assert!(kept.holder.is_none());
    assert_eq!(kept.abandoned_since, Some(bench.world.now));
    // What is held is nobody's to abandon.
    bench.sockets.groups.hold(ONE);
    bench.later(Duration::from_secs(5));
    bench.sockets.holder_ended(&bench.world.view(), &bench.table, id, &mut bench.out);
    assert!(!is_refused(address));
}

#[test]
fn a_unix_listener_that_nobody_has_is_forgotten() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let (first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    let other = bench.serve_path(ONE, &directory.path().join("other.sock"));
    close(&mut bench, ONE, first);
    drop_abandoned(&mut bench, TWO);
    assert_eq!((bench.sockets.paths.of(ONE).count(), bench.sockets.paths.of(TWO).count()), (2, 1));
    drop_abandoned(&mut bench, ONE);
    assert_eq!((bench.sockets.paths.of(ONE).count(), bench.sockets.paths.of(TWO).count()), (1, 1));
    assert_eq!(bench.sockets.paths.of(ONE).next().map(|listener| listener.inode), Some(inode(&other)));
}
