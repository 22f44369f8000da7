//! Sockets that the program is given: LISTEN_FDS and the peers' variables.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use adieu_core::group::Owner;
use adieu_core::switch::Generation;
use adieu_linux::diag::{LocalPort, state, tcp_sockets};
use adieu_linux::reuseport;
use adieu_linux::sockets::is_nonblocking;

use super::bench::{Bench, ONE, THREE, TWO, at, free_address, free_v6, inode, queue, socket_for};
use crate::sockets::Inherited;
use crate::testing::World;

fn listening_on(world: World, addresses: &[SocketAddr]) -> Bench {
    let mut bench = Bench::new(world);
    bench.world.options.listen = addresses.to_vec();
    bench
}

fn inheriting(world: World, sockets: impl IntoIterator<Item = OwnedFd>) -> Bench {
    let mut inherited = Inherited::default();
    inherited.sockets.extend(sockets);
    Bench::with(world, inherited)
}

fn pass(bench: &mut Bench, generation: Generation) -> (Vec<OwnedFd>, Vec<(OsString, OsString)>) {
    bench.sockets.pass(&bench.world.view(), generation, &mut bench.out).expect("the addresses can be had")
}

fn connect_16_times(address: SocketAddr) -> Vec<TcpStream> {
    (0..16).map(|_| TcpStream::connect(address).expect("somebody listens")).collect()
}

/// Whether a listener may drop what comes to it: some kernels let only the privileged attach a filter.
fn may_drop_new() -> bool {
    reuseport::drop_new(socket_for(free_address()).as_fd()).is_ok()
}

#[test]
fn a_program_is_told_of_what_it_is_given() {
    let (address, other) = (free_address(), free_address());
    let mut bench = listening_on(World::starting(), &[address, other]);
    let (sockets, variables) = pass(&mut bench, ONE);
    let expected = [
        ("LISTEN_FDS", "2".to_owned()),
        ("LISTEN_PID", String::new()),
        ("LISTEN_FDNAMES", "adieu:adieu".to_owned()),
        ("EINHORN_FD_COUNT", "2".to_owned()),
        ("EINHORN_FD_0", "3".to_owned()),
        ("EINHORN_FD_1", "4".to_owned()),
        ("SERVER_STARTER_PORT", format!("{address}=3;{other}=4")),
        ("SERVER_STARTER_GENERATION", "1".to_owned()),
    ];
    assert_eq!(variables, expected.map(|(key, value)| (key.into(), value.into())));
    let mut both = [at(address), at(other)];
    both.sort();
    assert_eq!(bench.sockets.endpoints(ONE), both);
    assert!(bench.sockets.has_passed(ONE) && !bench.sockets.has_passed(TWO));
    let _clients = connect_16_times(address);
    assert_eq!((queue(&sockets[0]), queue(&sockets[1])), (16, 0));
    assert!(!is_nonblocking(sockets[0].as_fd()));
    assert_eq!(bench.notes(), []);
}

#[test]
fn nothing_to_give_sets_no_variables() {
    let mut bench = Bench::new(World::starting());
    let (sockets, variables) = pass(&mut bench, ONE);
    assert!(sockets.is_empty());
    assert_eq!(variables, []);
    assert!(!bench.sockets.has_passed(ONE));
}

#[test]
fn a_program_that_binds_by_itself_was_given_nothing() {
    let mut bench = Bench::new(World::starting());
    let _socket = bench.serve(ONE, free_address());
    assert!(!bench.sockets.has_passed(ONE));
}

#[test]
fn each_generation_gets_a_socket_of_its_own() {
    let address = free_address();
    let mut bench = listening_on(World::reloading(), &[address]);
    let ((first, _), (second, variables)) = (pass(&mut bench, ONE), pass(&mut bench, TWO));
    assert_ne!(inode(&first[0]), inode(&second[0]));
    assert!(variables.contains(&("SERVER_STARTER_GENERATION".into(), "2".into())));
    let _clients = connect_16_times(address);
    assert_eq!((queue(&first[0]), queue(&second[0])), (16, 0), "the newcomer gets none before the switch");
    bench.sockets.switch_to(&bench.world.view(), TWO, &mut bench.out).expect("it listens");
    let _more = connect_16_times(address);
    assert_eq!((queue(&first[0]), queue(&second[0])), (16, 16));
}

#[test]
fn the_next_generation_is_given_what_is_held() {
    for address in [free_address(), free_v6()] {
        let mut bench = listening_on(World::starting(), &[address]);
        let (first, _) = pass(&mut bench, ONE);
        bench.sockets.keep_listeners(ONE, &mut bench.out);
        let (second, _) = pass(&mut bench, TWO);
        assert_eq!(inode(&first[0]), inode(&second[0]), "{address}");
        assert_eq!(bench.sockets.groups.of(Owner::Held).count(), 0);
        assert_eq!(bench.sockets.endpoints(TWO), [at(address)]);
        assert!(bench.sockets.has_passed(TWO));
    }
}

#[test]
fn the_backlog_is_what_was_said() {
    let most: u32 =
        std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("proc(5)").trim().parse().expect("a number");
    for (said, backlog) in [(None, 4096), (Some(7), 7), (Some(0), 1)] {
        let address = free_address();
        let mut bench = listening_on(World::starting(), &[address]);
        bench.world.options.backlog = said;
        let _sockets = pass(&mut bench, ONE);
        let listed = tcp_sockets(&[LocalPort::of(address)], &[state::LISTEN]).expect("sock_diag(7)");
        assert_eq!(listed[0].send_queue, backlog.min(most), "{said:?}");
    }
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let taken = TcpListener::bind(free_address()).expect("a free port");
    let mut bench = listening_on(World::starting(), &[taken.local_addr().expect("it is bound")]);
    assert!(bench.sockets.pass(&bench.world.view(), ONE, &mut bench.out).is_err());
}

#[test]
fn the_first_generation_gets_the_originals() {
    let listener = TcpListener::bind(free_address()).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let original = inode(&listener);
    let mut bench = inheriting(World::reloading(), [listener.into()]);
    let (first, variables) = pass(&mut bench, ONE);
    assert_eq!(inode(&first[0]), original);
    assert!(variables.contains(&("LISTEN_FDNAMES".into(), "unknown".into())));
    assert!(!variables.iter().any(|(key, _)| key == "SERVER_STARTER_PORT"), "it was not said by --listen");
    assert_eq!(bench.sockets.endpoints(ONE), [at(address)]);
    assert!(bench.sockets.groups.is_target(&at(address), ONE));
    // While nothing has joined it there is no group to steer.
    bench.sockets.switch_to(&bench.world.view(), ONE, &mut bench.out).expect("it gets all there is");
    assert!(bench.sockets.inherited.has(original) && !bench.sockets.inherited.has(original + 1));
}

#[test]
fn each_further_generation_gets_one_beside_the_originals_or_shares_them() {
    for nonblocking in [true, false] {
        let listener = TcpListener::bind(free_address()).expect("a free port");
        listener.set_nonblocking(nonblocking).expect("fcntl");
        let address = listener.local_addr().expect("it is bound");
        let mut bench = inheriting(World::reloading(), [listener.into()]);
        let ((first, _), (second, _)) = (pass(&mut bench, ONE), pass(&mut bench, TWO));
        if !may_drop_new() {
            assert_eq!(inode(&first[0]), inode(&second[0]));
            assert!(bench.only_note().starts_with("a listener that adieu was started with cannot be had twice ("));
            continue;
        }
        assert_ne!(inode(&first[0]), inode(&second[0]));
        assert_eq!(is_nonblocking(second[0].as_fd()), nonblocking);
        let _clients = connect_16_times(address);
        assert_eq!((queue(&first[0]), queue(&second[0])), (16, 0));
        bench.sockets.switch_to(&bench.world.view(), TWO, &mut bench.out).expect("it listens");
        let _more = connect_16_times(address);
        assert_eq!((queue(&first[0]), queue(&second[0])), (16, 16));
        // The first generation ends. What we were started with is not ours to close.
        bench.sockets.close_all_of(ONE, &mut bench.out);
        assert_eq!(queue(&first[0]), 16);
        let _even_more = connect_16_times(address);
        assert_eq!((queue(&first[0]), queue(&second[0])), (16, 32));
        assert_eq!(bench.sockets.endpoints(ONE), []);
        assert_eq!(bench.notes(), []);
    }
}

#[test]
fn an_original_that_is_held_goes_to_the_next_generation() {
    let listener = TcpListener::bind(free_address()).expect("a free port");
    let original = inode(&listener);
    let mut bench = inheriting(World::starting(), [listener.into()]);
    let _first = pass(&mut bench, ONE);
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    let (second, _) = pass(&mut bench, TWO);
    assert_eq!(inode(&second[0]), original);
    assert_eq!(bench.sockets.groups.of(TWO).count(), 1);
}

#[test]
fn what_is_no_tcp_listener_is_passed_as_it_is() {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    let number = inode(&udp);
    let bound = socket_for(free_address());
    let mut bench = inheriting(World::reloading(), [udp.into(), bound]);
    for generation in [ONE, TWO, THREE] {
        let (sockets, variables) = pass(&mut bench, generation);
        assert_eq!(inode(&sockets[0]), number);
        assert!(variables.contains(&("LISTEN_FDS".into(), "2".into())));
        assert_eq!(bench.sockets.endpoints(generation), []);
    }
    assert_eq!(bench.notes(), [], "that is how it has to be");
}
