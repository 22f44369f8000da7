//! `listen`: done in the program's place, held back, or left to the kernel.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use adieu_core::switch::{Event, Generation, RequestId};
use adieu_linux::diag::{LocalPort, state, tcp_sockets};
use adieu_linux::{connections, errno, sockets};

use super::bench::{Bench, ONE, TWO, at, free_address, free_everywhere, inode, options_with, queue, socket_for};
use crate::sockets::answer::Answer;
use crate::testing::World;

/// A socket that a program has bound, and not more.
fn bound(bench: &mut Bench, generation: Generation, address: SocketAddr) -> OwnedFd {
    let socket = socket_for(address);
    assert!(matches!(bench.bind(generation, &socket, address), Answer::Continue));
    sockets::bind(socket.as_fd(), address).expect("the address is free, or shared");
    socket
}

/// Listens somewhere and shares that with whoever asks: another program of this user.
fn foreign(address: SocketAddr) -> OwnedFd {
    let socket = socket_for(address);
    sockets::share_port(socket.as_fd()).expect("a TCP socket");
    sockets::bind(socket.as_fd(), address).expect("the address is free, or shared");
    sockets::listen(socket.as_fd(), 16).expect("it is bound");
    socket
}

fn backlog(address: SocketAddr) -> u32 {
    tcp_sockets(&[LocalPort::of(address)], &[state::LISTEN]).expect("sock_diag(7)")[0].send_queue
}

#[test]
fn a_bound_socket_listens_and_gets_the_connections() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = bound(&mut bench, ONE, address);
    let id = bench.kept(ONE, &socket).expect("it is kept");
    let answer = bench.listen(ONE, &socket, 7);
    assert!(matches!(answer, Answer::Return(Ok(()))), "{answer:?}");
    assert_eq!(bench.sockets.groups.get(id).expect("it is kept").endpoint, Some(at(address)));
    assert!(bench.sockets.groups.is_target(&at(address), ONE));
    assert_eq!(backlog(address), 7);
    let _client = TcpStream::connect(address).expect("it listens");
    assert_eq!(queue(&socket), 1);
    assert_eq!(bench.notes(), []);
    // Once more: only the backlog changes.
    assert!(matches!(bench.listen(ONE, &socket, 9), Answer::Return(Ok(()))));
    assert_eq!((backlog(address), bench.sockets.groups.endpoints(ONE)), (9, vec![at(address)]));
}

#[test]
fn the_newcomer_joins_the_group_without_taking_connections() {
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let first = bench.serve(ONE, address);
    let second = bench.serve(TWO, address);
    assert!(bench.sockets.groups.is_target(&at(address), ONE));
    let _clients: Vec<_> = (0..16).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    assert_eq!((queue(&first), queue(&second)), (16, 0));
}

#[test]
fn a_further_socket_of_the_serving_generation_shares_the_connections() {
    let mut bench = Bench::new(World::settling());
    let address = free_address();
    let first = bench.serve(ONE, address);
    assert!(bench.sockets.groups.is_target(&at(address), ONE));
    let second = bench.serve(TWO, address);
    assert!(bench.sockets.groups.is_target(&at(address), TWO), "it serves");
    let _clients: Vec<_> = (0..16).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    assert_eq!((queue(&first), queue(&second)), (0, 16));
}

#[test]
fn a_listen_inside_what_the_serving_one_has_waits() {
    let mut world = World::new(options_with(|options| options.backlog = Some(1000)));
    world.tell(Event::Start);
    world.tell(Event::Ready(ONE));
    world.tell(Event::Reload(RequestId::FIRST));
    let mut bench = Bench::new(world);
    let wide = free_everywhere();
    let _first = bench.serve(ONE, wide);
    let narrow = SocketAddr::new(free_address().ip(), wide.port());
    let socket = bound(&mut bench, TWO, narrow);
    for (asked, got) in [(16, 1000), (2000, 2000)] {
        let answer = bench.listen(TWO, &socket, asked);
        let Answer::Later { socket: id, backlog } = answer else { panic!("{answer:?}") };
        assert_eq!((Some(id), backlog), (bench.kept(TWO, &socket), got));
        let note = bench.only_note();
        assert!(note.contains("inside what the serving one has"), "{note}");
    }
    assert_eq!(sockets::accept_queue(socket.as_fd()), None, "it does not listen yet");
    // The serving one may do as it likes.
    let own = socket_for(narrow);
    sockets::share_port(own.as_fd()).expect("a TCP socket");
    assert!(matches!(bench.bind(ONE, &own, narrow), Answer::Continue));
    sockets::bind(own.as_fd(), narrow).expect("it is shared");
    assert!(matches!(bench.listen(ONE, &own, 16), Answer::Return(Ok(()))));
    // And where it listens, the group decides.
    assert!(matches!(bench.listen(TWO, &socket, 16), Answer::Return(Ok(()))));
}

#[test]
fn a_wider_listen_does_not_wait() {
    let mut bench = Bench::new(World::reloading());
    let wide = free_everywhere();
    let narrow = SocketAddr::new(free_address().ip(), wide.port());
    let _first = bench.serve(ONE, narrow);
    let socket = bound(&mut bench, TWO, wide);
    assert!(matches!(bench.listen(TWO, &socket, 16), Answer::Return(Ok(()))));
    assert_eq!(bench.notes(), []);
}

#[test]
fn the_backlog_is_at_least_what_was_said() {
    for (said, asked, expected) in [(None, 5, 5), (Some(100), 5, 100), (Some(5), 100, 100)] {
        let mut bench = Bench::new(World::serving());
        bench.world.options.backlog = said;
        let address = free_address();
        let socket = bound(&mut bench, ONE, address);
        assert!(matches!(bench.listen(ONE, &socket, asked), Answer::Return(Ok(()))));
        assert_eq!(backlog(address), expected);
    }
}

#[test]
fn a_socket_that_was_never_bound_is_loosened() {
    let mut bench = Bench::new(World::serving());
    let socket = socket_for(free_address());
    assert!(matches!(bench.listen(ONE, &socket, 16), Answer::Continue));
    assert!(bench.sockets.watched[&ONE].loose.contains(&inode(&socket)));
    // Of a generation whose calls are not all seen, it may have been bound.
    let unseen = socket_for(free_address());
    bench.sockets.mark_unseen(ONE);
    assert!(matches!(bench.listen(ONE, &unseen, 16), Answer::Continue));
    assert!(!bench.sockets.watched[&ONE].loose.contains(&inode(&unseen)));
}

#[test]
fn a_socket_whose_bind_has_failed_is_forgotten() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = socket_for(address);
    assert!(matches!(bench.bind(ONE, &socket, address), Answer::Continue));
    assert!(matches!(bench.listen(ONE, &socket, 16), Answer::Continue), "the kernel says what it does then");
    assert_eq!(bench.kept(ONE, &socket), None);
}

#[test]
fn something_that_is_no_socket_is_left_to_the_kernel() {
    let mut bench = Bench::new(World::serving());
    let file = File::open("/dev/null").expect("it is there");
    assert!(matches!(bench.listen(ONE, &file, 16), Answer::Continue));
    assert_eq!(bench.notes(), []);
}

#[test]
fn an_error_of_the_kernel_is_the_programs() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = bound(&mut bench, ONE, address);
    // A connected socket cannot listen.
    let other = TcpListener::bind(free_address()).expect("a free port");
    let connects = connections::connect(socket.as_fd(), other.local_addr().expect("bound"));
    assert!(connects.is_ok(), "{connects:?}");
    let answer = bench.listen(ONE, &socket, 16);
    assert!(matches!(answer, Answer::Return(Err(errno::EINVAL))), "{answer:?}");
    assert!(bench.only_note().starts_with("generation 1: listen failed: "));
}

#[test]
fn an_address_that_another_program_shares_is_left_to_it() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let _foreign = foreign(address);
    let socket = socket_for(address);
    sockets::share_port(socket.as_fd()).expect("a TCP socket");
    assert!(matches!(bench.bind(ONE, &socket, address), Answer::Continue));
    sockets::bind(socket.as_fd(), address).expect("it is shared");
    assert!(matches!(bench.listen(ONE, &socket, 16), Answer::Continue));
    let note = bench.only_note();
    assert!(note.contains("another program of this user listens on"), "{note}");
    assert_eq!(bench.kept(ONE, &socket), None);
    assert!(bench.sockets.watched[&ONE].loose.contains(&inode(&socket)), "it is known not to be held");
}

#[test]
fn another_program_that_joins_our_group_gets_no_connections() {
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let first = bench.serve(ONE, address);
    let joined = foreign(address);
    let second = bench.serve(TWO, address);
    let note = bench.only_note();
    assert!(note.contains("too (SO_REUSEPORT): it gets no new connections"), "{note}");
    assert!(bench.sockets.groups.is_target(&at(address), ONE));
    bench.sockets.find_foreign(&mut bench.out);
    assert_eq!(bench.notes(), [], "it is known");
    bench.sockets.groups.target(TWO).expect("it listens");
    let clients: Vec<_> = (0..16).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    assert_eq!((queue(&first), queue(&joined), queue(&second)), (0, 0, 16), "the order of members is the kernel's");
    // It goes: the last member takes its place.
    drop((joined, clients));
    bench.sockets.find_foreign(&mut bench.out);
    let before = queue(&second);
    let _clients: Vec<_> = (0..16).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    assert_eq!((queue(&first), queue(&second)), (0, before + 16));
    assert_eq!(bench.notes(), []);
    assert!(bench.sockets.groups.others_at(&at(address)).is_empty());
}
