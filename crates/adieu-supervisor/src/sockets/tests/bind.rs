//! `bind` of a plain TCP socket: adopted, shared, given what is held, or let pass.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use adieu_core::address::Endpoint;
use adieu_core::group::Owner;
use adieu_linux::process::own_pid;
use adieu_linux::seccomp::CallKind;
use adieu_linux::{sockets, unix_socket};

use super::bench::{
    Bench, ONE, THREE, TWO, address_call, at, free_address, free_everywhere, free_v6, inode, is_shared, number, raw,
    socket_for,
};
use crate::sockets::answer::{Answer, Caller, Ours, Replacement, Then};
use crate::testing::World;
use crate::view::Note;

#[test]
fn a_port_of_the_programs_choice_is_adopted() {
    let mut bench = Bench::new(World::serving());
    let (address, v6) = (free_address(), free_v6());
    for address in [address, v6] {
        let socket = socket_for(address);
        let answer = bench.bind(ONE, &socket, address);
        assert!(matches!(answer, Answer::Continue), "{answer:?}");
        let id = bench.kept(ONE, &socket).expect("it is kept");
        let kept = bench.sockets.groups.get(id).expect("it is kept");
        assert_eq!((kept.bound, kept.endpoint, kept.owner), (Some(address), None, Owner::Of(ONE)));
        let holder = kept.holder.as_ref().map(|holder| (holder.process, holder.fd as u64));
        assert_eq!(holder, Some((own_pid(), number(&socket))));
        assert!(!is_shared(&socket), "nobody else listens there");
        assert_eq!(kept.abandoned_since, None);
    }
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_second_bind_of_one_socket_keeps_it_once() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = socket_for(address);
    for _ in 0..2 {
        assert!(matches!(bench.bind(ONE, &socket, address), Answer::Continue));
    }
    assert_eq!(bench.sockets.groups.of(ONE).count(), 1);
}

#[test]
fn a_port_of_the_kernels_choice_is_loosened() {
    let mut bench = Bench::new(World::serving());
    let mut address = free_address();
    address.set_port(0);
    let socket = socket_for(address);
    assert!(matches!(bench.bind(ONE, &socket, address), Answer::Continue));
    assert_eq!(bench.kept(ONE, &socket), None);
    assert!(bench.sockets.watched[&ONE].loose.contains(&inode(&socket)));
}

#[test]
fn an_address_of_another_generation_is_shared() {
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let first = bench.serve(ONE, address);
    let (second, elsewhere) = (socket_for(address), socket_for(address));
    assert!(matches!(bench.bind(TWO, &second, address), Answer::Continue));
    assert!(is_shared(&second));
    sockets::bind(second.as_fd(), address).expect("both are shared");
    assert!(matches!(bench.bind(TWO, &elsewhere, free_address()), Answer::Continue));
    assert!(!is_shared(&elsewhere), "nobody listens there");
    assert_ne!(inode(&first), inode(&second));
    assert_eq!(bench.notes(), []);
}

#[test]
fn an_own_second_socket_at_the_same_address_is_not_shared() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let _first = bench.serve(ONE, address);
    let second = socket_for(address);
    assert!(matches!(bench.bind(ONE, &second, address), Answer::Continue));
    assert!(!is_shared(&second), "the program gets the error that it would get without us");
}

#[test]
fn a_held_address_is_answered_with_the_held_listener() {
    for address in [free_address(), free_v6(), free_everywhere()] {
        let mut bench = Bench::new(World::serving());
        let first = bench.serve(ONE, address);
        let held = bench.kept(ONE, &first).expect("it is kept");
        bench.sockets.groups.hold(ONE);
        let (second, elsewhere) = (socket_for(address), socket_for(address));
        match bench.bind(THREE, &second, address) {
            Answer::ReplaceAndReturn(Replacement { with: Ours::Held(with), process, fd, close_on_exec, then }) => {
                assert_eq!((with, process, fd as u64), (held, own_pid(), number(&second)));
                assert!(close_on_exec, "as the program's own");
                assert!(matches!(then, Then::HandOver(id) if id == held), "{then:?}");
            }
            other => panic!("{address}: {other:?}"),
        }
        assert_eq!(bench.kept(THREE, &second), None, "the program's own is not needed");
        assert_eq!(bench.kept(Owner::Held, &first), Some(held), "it is handed over once the program has it");
        assert!(matches!(bench.bind(THREE, &elsewhere, free_address()), Answer::Continue));
    }
}

#[test]
fn a_given_listener_blocks_as_the_programs_own_would() {
    for nonblocking in [true, false] {
        let mut bench = Bench::new(World::serving());
        let address = free_address();
        let first = bench.serve(ONE, address);
        sockets::set_nonblocking(first.as_fd(), !nonblocking).expect("fcntl");
        bench.sockets.groups.hold(ONE);
        let second = socket_for(address);
        sockets::set_nonblocking(second.as_fd(), nonblocking).expect("fcntl");
        assert!(matches!(bench.bind(TWO, &second, address), Answer::ReplaceAndReturn(_)));
        assert_eq!(sockets::is_nonblocking(first.as_fd()), nonblocking, "the description is the same");
    }
}

#[test]
fn a_killed_caller_leaves_nothing() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = socket_for(address);
    bench.waits = false;
    assert!(matches!(bench.bind(ONE, &socket, address), Answer::Continue));
    assert_eq!(bench.sockets.groups.all().count(), 0);
}

#[test]
fn memory_that_is_refused_is_said_once_and_the_rest_is_unseen() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = socket_for(address);
    bench.table.refuses_memory = true;
    assert!(!bench.sockets.is_unseen(ONE));
    assert!(matches!(bench.bind(ONE, &socket, address), Answer::Continue));
    assert!(bench.sockets.is_unseen(ONE));
    let notes = bench.notes();
    assert!(matches!(notes.as_slice(), [Note::Once(text)] if text.starts_with("cannot see what pid ")), "{notes:?}");
    assert_eq!(bench.kept(ONE, &socket), None);
}

#[test]
fn sockets_that_are_no_listeners_pass() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    let unix = unix_socket::stream().expect("a Unix socket");
    assert!(matches!(bench.bind(ONE, &udp, address), Answer::Continue));
    assert!(matches!(bench.bind(ONE, &unix, address), Answer::Continue));
    // A family that is neither: netlink, say.
    let other = socket_for(address);
    assert!(matches!(bench.bind_raw(ONE, &other, &[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Answer::Continue));
    assert_eq!(bench.sockets.groups.all().count(), 0);
    assert_eq!(bench.notes(), []);
}

#[test]
fn an_address_in_longer_memory_is_read_as_far_as_an_address_goes() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = socket_for(address);
    let mut bytes = raw(address);
    bytes.resize(128, 0);
    let mut call = address_call(CallKind::Bind, &socket, &bytes);
    // The kernel refuses it, but that is the kernel's to say; nobody reads that much.
    call.args[2] = u64::MAX;
    assert!(matches!(bench.decide(ONE, &call), Answer::Continue));
    assert!(bench.kept(ONE, &socket).is_some());
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_thread_that_is_gone_is_let_pass() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = socket_for(address);
    let bytes = raw(address);
    let mut call = address_call(CallKind::Bind, &socket, &bytes);
    // Above the largest number that a thread can have.
    call.tid = i32::MAX;
    assert!(matches!(bench.decide(ONE, &call), Answer::Continue));
    assert_eq!(bench.sockets.groups.all().count(), 0);
    assert_eq!(bench.notes(), []);
}

#[test]
fn flow_label_and_scope_of_an_address_do_not_tell_endpoints_apart() {
    let mut bench = Bench::new(World::reloading());
    let address = free_v6();
    let _first = bench.serve(ONE, address);
    let second = socket_for(address);
    let SocketAddr::V6(mut with_scope) = address else { panic!("{address}") };
    with_scope.set_flowinfo(7);
    with_scope.set_scope_id(1);
    assert!(matches!(bench.bind(TWO, &second, with_scope.into()), Answer::Continue));
    assert!(is_shared(&second));
}

#[test]
fn a_wildcard_of_ipv6_is_shared_with_ipv4_unless_it_is_of_ipv6_only() {
    const IPV6_V6ONLY: (i32, i32) = (41, 26);
    for (v6_only, shared) in [(0, true), (1, false)] {
        let mut bench = Bench::new(World::reloading());
        let address = free_everywhere();
        let _first = bench.serve(ONE, address);
        let wide = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
        let second = socket_for(wide);
        sockets::set_option(second.as_fd(), IPV6_V6ONLY.0, IPV6_V6ONLY.1, v6_only).expect("an IPv6 socket");
        assert!(matches!(bench.bind(TWO, &second, wide), Answer::Continue));
        assert_eq!(is_shared(&second), shared, "V6ONLY {v6_only}");
        assert!(bench.sockets.groups.is_shared(TWO, &at(address)));
        sockets::bind(second.as_fd(), wide).expect("it is shared, or of another family");
        assert!(matches!(bench.listen(TWO, &second, 16), Answer::Return(Ok(()))));
        assert_eq!(bench.sockets.endpoints(TWO), [Endpoint { v6_only: v6_only != 0, ..at(wide) }]);
    }
}

#[test]
fn a_given_listener_is_closed_on_exec_as_the_programs_own_would_be() {
    let bench = Bench::new(World::serving());
    let caller = Caller { generation: ONE, table: &bench.table, still_waits: &|_| true };
    let socket = socket_for(free_address());
    let standard_input = 0;
    assert!(!caller.make_alike(own_pid(), standard_input, socket.as_fd()), "it was handed to this process by an exec");
    assert!(caller.make_alike(own_pid(), number(&socket) as i32, socket.as_fd()));
    assert!(caller.make_alike(own_pid(), -1, socket.as_fd()), "where nothing is known, nothing is leaked");
}
