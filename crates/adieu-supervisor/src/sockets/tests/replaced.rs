//! `bind` of a TCP socket that cannot be taken as it is: MPTCP, or out of reach.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use adieu_core::Timestamp;
use adieu_linux::poll::{Readiness, poll};
use adieu_linux::seccomp::CallKind;
use adieu_linux::{process, scm_rights, sockets};

use super::bench::{Bench, ONE, TWO, call, free_address, free_v6, is_shared, number, option_call, socket_for};
use crate::sockets::answer::{Answer, Ours, Replacement, Then};
use crate::sockets::watched::Watched;
use crate::testing::{World, start_alone};
use crate::view::Note;

const SO_REUSEADDR: (i32, i32) = (1, 2);
const SO_KEEPALIVE: (i32, i32) = (1, 9);
const TCP_NODELAY: (i32, i32) = (6, 1);
const TCP_DEFER_ACCEPT: (i32, i32) = (6, 9);

fn option(socket: &OwnedFd, (level, name): (i32, i32)) -> i32 {
    sockets::option(socket.as_fd(), level, name).expect("a TCP socket")
}

/// The socket that takes the place of the program's, which the kernel then binds.
#[track_caller]
fn replacement(answer: Answer) -> (OwnedFd, Replacement) {
    match answer {
        Answer::Replace(Replacement { with: Ours::New(ours), process, fd, close_on_exec, then }) => {
            let copy = ours.try_clone().expect("a descriptor is left");
            (copy, Replacement { with: Ours::New(ours), process, fd, close_on_exec, then })
        }
        other => panic!("{other:?}"),
    }
}

/// A bench whose program's descriptors cannot be duplicated, as in a default container.
fn refusing(world: World) -> Bench {
    let mut bench = Bench::new(world);
    bench.table.refuses_duplicates = true;
    bench
}

/// A socket that no safe call of ours opens.
fn mptcp() -> OwnedFd {
    const OPEN: &str = "import socket\n\
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)\n\
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
        socket.send_fds(socket.socket(fileno=0), [b'x'], [listener.fileno()])";
    let (ours, theirs) = scm_rights::pair().expect("two sockets");
    let mut python = Command::new("python3");
    python.args(["-c", OPEN]).stdin(Stdio::from(theirs));
    let mut child = start_alone(|| python.spawn()).expect("python3 is there");
    assert!(child.wait().expect("a child of ours").success(), "this machine has no MPTCP");
    poll(&[(ours.as_fd(), Readiness::READ)], None).expect("poll");
    let (_, socket) = scm_rights::receive(ours.as_fd(), &mut [0; 8]).expect("a message").expect("it was sent");
    socket.expect("it was sent")
}

#[test]
fn a_socket_out_of_reach_is_replaced_and_bound_by_the_kernel() {
    let mut bench = refusing(World::serving());
    for address in [free_address(), free_v6()] {
        let socket = socket_for(address);
        sockets::set_nonblocking(socket.as_fd(), false).expect("fcntl");
        let (ours, answer) = replacement(bench.bind(ONE, &socket, address));
        assert_eq!((answer.process, answer.fd as u64), (process::own_pid(), number(&socket)));
        assert!(answer.close_on_exec);
        assert!(matches!(answer.then, Then::Keep(there) if there == address), "{:?}", answer.then);
        assert_eq!(sockets::family(ours.as_fd()).expect("a socket"), sockets::family_for(address));
        assert_ne!(option(&ours, TCP_NODELAY), 0, "servers miss it where they set it on the listener");
        assert!(!sockets::is_nonblocking(ours.as_fd()), "as the program's own");
        assert!(!is_shared(&ours));
        sockets::bind(ours.as_fd(), address).expect("the family is right");
    }
    assert_eq!(bench.sockets.groups.all().count(), 0, "it is kept once the program has it");
    assert_eq!(bench.notes(), []);
}

#[test]
fn the_family_is_that_of_the_socket_not_of_the_address() {
    let mut bench = refusing(World::serving());
    let socket = socket_for(free_v6());
    let (ours, _) = replacement(bench.bind(ONE, &socket, free_address()));
    assert_eq!(sockets::family(ours.as_fd()).expect("a socket"), sockets::AF_INET6);
}

#[test]
fn options_that_were_set_are_set_on_the_replacement() {
    let mut bench = refusing(World::serving());
    let address = free_address();
    let (socket, other) = (socket_for(address), socket_for(address));
    for ((level, name), value) in [(SO_KEEPALIVE, 1), (TCP_DEFER_ACCEPT, 3)] {
        let answer = bench.decide(ONE, &option_call(&socket, level, name, &value));
        assert!(matches!(answer, Answer::Continue), "the kernel sets it: {answer:?}");
    }
    let (ours, _) = replacement(bench.bind(ONE, &socket, address));
    assert_eq!(option(&ours, SO_KEEPALIVE), 1);
    assert_eq!(option(&ours, TCP_DEFER_ACCEPT), 3);
    let (ours, _) = replacement(bench.bind(ONE, &other, address));
    assert_eq!(option(&ours, SO_KEEPALIVE), 0, "nobody has set it on this one");
}

#[test]
fn an_option_in_memory_out_of_reach_is_not_remembered() {
    let mut bench = refusing(World::serving());
    let address = free_address();
    let socket = socket_for(address);
    let (level, name) = SO_KEEPALIVE;
    let mut unreadable = option_call(&socket, level, name, &1);
    unreadable.args[3] = 0;
    assert!(matches!(bench.decide(ONE, &unreadable), Answer::Continue));
    let file = File::open("/dev/null").expect("it is there");
    assert!(matches!(bench.decide(ONE, &option_call(&file, level, name, &1)), Answer::Continue));
    let (ours, _) = replacement(bench.bind(ONE, &socket, address));
    assert_eq!(option(&ours, SO_KEEPALIVE), 0);
}

#[test]
fn options_of_too_many_sockets_are_forgotten() {
    let keepalive = 1i32.to_ne_bytes().to_vec();
    let mut watched = Watched::new(Timestamp::ZERO);
    let is_remembered = |watched: &Watched| {
        let socket = socket_for(free_address());
        watched.apply_remembered(1, socket.as_fd());
        option(&socket, SO_KEEPALIVE) == 1
    };
    (1..=257).for_each(|inode| watched.remember(inode, SO_KEEPALIVE.0, SO_KEEPALIVE.1, keepalive.clone()));
    assert!(is_remembered(&watched));
    watched.remember(258, SO_KEEPALIVE.0, SO_KEEPALIVE.1, keepalive);
    assert!(!is_remembered(&watched));
}

#[test]
fn a_replacement_is_shared_where_another_generation_listens() {
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let _first = bench.serve(ONE, address);
    bench.table.refuses_duplicates = true;
    let socket = socket_for(address);
    let (ours, _) = replacement(bench.bind(TWO, &socket, address));
    assert!(is_shared(&ours));
    assert!(!is_shared(&socket), "the program's own is not touched");
}

#[test]
fn a_held_address_is_given_instead_of_a_replacement() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let first = bench.serve(ONE, address);
    let held = bench.kept(ONE, &first);
    bench.sockets.groups.hold(ONE);
    bench.table.refuses_duplicates = true;
    let socket = socket_for(address);
    match bench.bind(TWO, &socket, address) {
        Answer::ReplaceAndReturn(Replacement { with: Ours::Held(id), .. }) => assert_eq!(Some(id), held),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_socket_that_is_polled_already_is_left_alone() {
    let mut bench = refusing(World::serving());
    let address = free_address();
    let socket = socket_for(address);
    bench.table.polled.insert(number(&socket) as i32);
    assert!(matches!(bench.bind(ONE, &socket, address), Answer::Continue));
    assert!(bench.sockets.is_unseen(ONE));
    assert!(bench.only_note().contains("by epoll before it binds it"));
}

#[test]
fn other_protocols_out_of_reach_pass() {
    let mut bench = refusing(World::serving());
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    assert!(matches!(bench.bind(ONE, &udp, free_address()), Answer::Continue));
    assert!(!bench.sockets.is_unseen(ONE));
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_socket_of_which_nothing_is_known_makes_the_rest_unseen() {
    let mut bench = refusing(World::serving());
    let file = File::open("/dev/null").expect("it is there");
    assert!(matches!(bench.bind(ONE, &file, free_address()), Answer::Continue));
    assert!(bench.sockets.is_unseen(ONE));
    let notes = bench.notes();
    let expected = format!("cannot get at the sockets of pid {} (", process::own_pid());
    assert!(matches!(notes.as_slice(), [Note::Once(text)] if text.starts_with(&expected)), "{notes:?}");
}

#[test]
fn mptcp_is_replaced_by_tcp_with_its_options() {
    let socket = mptcp();
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    assert!(sockets::is_mptcp(socket.as_fd()));
    let (ours, answer) = replacement(bench.bind(ONE, &socket, address));
    assert!(sockets::is_tcp(ours.as_fd()));
    assert_ne!(option(&ours, SO_REUSEADDR), 0, "as the program has set it");
    assert_eq!(option(&ours, TCP_NODELAY), 0, "the original can be read: nothing is guessed");
    assert!(matches!(answer.then, Then::Keep(there) if there == address), "{:?}", answer.then);
}

#[test]
fn mptcp_that_is_polled_is_left_alone() {
    let socket = mptcp();
    let mut bench = Bench::new(World::serving());
    bench.table.polled.insert(number(&socket) as i32);
    assert!(matches!(bench.bind(ONE, &socket, free_address()), Answer::Continue));
    assert!(bench.only_note().contains("cannot be replaced"));
}

#[test]
fn a_seccomp_listener_of_its_own_is_said_to_be_refused() {
    let mut bench = Bench::new(World::serving());
    let wants = call(CallKind::OwnListener, [0; 6]);
    assert!(matches!(bench.decide(ONE, &wants), Answer::Continue), "the kernel refuses it");
    let note = bench.only_note();
    assert!(note.contains(&format!("(pid {}) wants a seccomp listener of its own", wants.tid)), "{note}");
    assert!(!bench.sockets.is_unseen(ONE), "its sockets are seen all the same");
}
