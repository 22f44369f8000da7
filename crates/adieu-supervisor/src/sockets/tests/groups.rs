//! Groups in the kernel: whose socket gets a new connection, and which are hidden or closed.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use adieu_core::group::Owner;
use adieu_linux::poll::{Readiness, poll};
use adieu_linux::{connections, process, sockets};

use super::bench::{Bench, ONE, TWO, at, free_address, free_everywhere, inode, queue, socket_for};
use crate::testing::World;

fn connect_16_times(address: SocketAddr) -> Vec<TcpStream> {
    (0..16).map(|_| TcpStream::connect(address).expect("somebody listens")).collect()
}

#[test]
fn what_a_wider_newcomer_covers_is_hidden_and_shown_again() {
    let mut bench = Bench::new(World::reloading());
    let wide = free_everywhere();
    let narrow = SocketAddr::new(free_address().ip(), wide.port());
    let (first, second) = (bench.serve(ONE, narrow), bench.serve(TWO, wide));
    assert_eq!(bench.sockets.still_visible(TWO, ONE), [at(narrow)]);
    assert_eq!(bench.sockets.still_visible(TWO, TWO), []);
    bench.sockets.switch_to(&bench.world.view(), TWO, &mut bench.out).expect("it listens");
    let can_show = sockets::may_change_interface();
    // Where it could not be shown again, it is hidden when nobody will ask for that any more.
    assert_eq!(bench.sockets.still_visible(TWO, ONE).is_empty(), can_show);
    bench.sockets.hide_covered(TWO).expect("setsockopt");
    assert_eq!(bench.sockets.still_visible(TWO, ONE), []);
    assert_eq!(bench.sockets.visible(), [at(wide)]);
    let _clients = connect_16_times(narrow);
    assert_eq!((queue(&first), queue(&second)), (0, 16));
    let rolled_back = bench.sockets.switch_to(&bench.world.view(), ONE, &mut bench.out);
    assert_eq!(rolled_back.is_ok(), can_show, "{rolled_back:?}");
    if can_show {
        let _clients = connect_16_times(narrow);
        assert_eq!((queue(&first), queue(&second)), (16, 16));
    }
}

#[test]
fn what_is_covered_can_be_hidden_for_good() {
    let mut bench = Bench::new(World::settling());
    let wide = free_everywhere();
    let narrow = SocketAddr::new(free_address().ip(), wide.port());
    let (_first, second) = (bench.serve(ONE, narrow), bench.serve(TWO, wide));
    bench.sockets.hide_covered(TWO).expect("setsockopt");
    assert_eq!(bench.sockets.visible(), [at(wide)]);
    let _clients = connect_16_times(narrow);
    assert_eq!(queue(&second), 16);
}

#[test]
fn a_newcomer_beside_hides_nothing() {
    let mut bench = Bench::new(World::reloading());
    let (address, other) = (free_address(), free_address());
    let _first = [bench.serve(ONE, address), bench.serve(ONE, free_address())];
    let _second = [bench.serve(TWO, other), bench.serve(TWO, address)];
    bench.sockets.hide_covered(TWO).expect("setsockopt");
    assert_eq!(bench.sockets.visible().len(), 4);
    assert_eq!(bench.sockets.still_visible(TWO, ONE), []);
}

#[test]
fn closing_one_of_a_group_moves_nobody_elses_connections() {
    let mut bench = Bench::new(World::settling());
    let address = free_address();
    let (first, second) = (bench.serve(ONE, address), bench.serve(TWO, address));
    bench.sockets.close_all_of(ONE, &mut bench.out);
    assert_eq!(sockets::accept_queue(first.as_fd()), None, "it is out of the group whoever has it");
    let _clients = connect_16_times(address);
    assert_eq!(queue(&second), 16);
    assert!(bench.sockets.groups.is_steered(&at(address)));
    bench.sockets.close_all_of(TWO, &mut bench.out);
    assert!(!bench.sockets.groups.is_steered(&at(address)));
    assert_eq!(bench.sockets.groups.all().count(), 0);
    assert_eq!(bench.notes(), []);
}

#[test]
fn sockets_that_do_not_listen_yet_are_closed_too() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = socket_for(address);
    bench.bind(ONE, &socket, address);
    bench.begin(TWO);
    bench.sockets.close_all_of(TWO, &mut bench.out);
    assert_eq!(bench.sockets.groups.all().count(), 1);
    bench.sockets.close_all_of(ONE, &mut bench.out);
    assert_eq!(bench.sockets.groups.all().count(), 0);
}

#[test]
fn an_heir_gets_the_connections_of_the_target_that_goes() {
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let (first, second) = (bench.serve(ONE, address), bench.serve(TWO, address));
    let id = bench.kept(ONE, &first).expect("it is kept");
    // Whoever is forgotten is had by nobody.
    drop(first);
    assert!(bench.sockets.groups.forget(id).is_empty());
    assert!(bench.sockets.groups.is_target(&at(address), TWO));
    let _clients = connect_16_times(address);
    assert_eq!(queue(&second), 16);
    assert!(bench.sockets.groups.forget(id).is_empty(), "it is gone");
}

#[test]
fn one_that_goes_beside_the_target_changes_nothing_for_it() {
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let (first, second) = (bench.serve(ONE, address), bench.serve(TWO, address));
    let id = bench.kept(TWO, &second).expect("it is kept");
    drop(second);
    assert!(bench.sockets.groups.forget(id).is_empty());
    assert!(bench.sockets.groups.is_target(&at(address), ONE));
    let _clients = connect_16_times(address);
    assert_eq!(queue(&first), 16);
}

#[test]
fn a_probe_reaches_the_newcomer_by_its_source_port() {
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let port = sockets::free_source_port().expect("one of thousands");
    let first = bench.serve(ONE, address);
    // It is told of the probe, and listens after that.
    bench.sockets.steer_probe(Some((port, TWO))).expect("a program");
    let second = bench.serve(TWO, address);
    // From another address each time, as the connection before is still there.
    let probe = |bench: &Bench, from: u8| {
        let socket = socket_for(address);
        sockets::bind(socket.as_fd(), SocketAddr::from(([127, 0, 0, from], port))).expect("the port is free");
        connections::connect(socket.as_fd(), address).expect("it is asked for");
        poll(&[(socket.as_fd(), Readiness::WRITE)], None).expect("it is answered");
        (bench.sockets.waiting(ONE), queue(&second))
    };
    assert_eq!(probe(&bench, 1), (0, 1));
    let _clients = connect_16_times(address);
    assert_eq!((queue(&first), queue(&second)), (16, 1), "others go where they did");
    bench.sockets.steer_probe(None).expect("a program");
    assert_eq!(probe(&bench, 2), (17, 1));
    bench.sockets.steer_probe(Some((port, TWO))).expect("a program");
    assert_eq!(probe(&bench, 3), (17, 2));
}

#[test]
fn letting_go_leaves_the_listeners_alone() {
    let mut bench = Bench::new(World::settling());
    let address = free_address();
    let (first, second) = (bench.serve(ONE, address), bench.serve(TWO, address));
    bench.sockets.groups.release(ONE);
    assert_eq!(bench.sockets.groups.of(ONE).count(), 0);
    assert!(sockets::accept_queue(first.as_fd()).is_some(), "its program has it");
    assert!(bench.sockets.groups.is_steered(&at(address)));
    bench.sockets.groups.release(TWO);
    assert!(sockets::accept_queue(second.as_fd()).is_some());
    assert!(!bench.sockets.groups.is_steered(&at(address)));
}

#[test]
fn what_is_held_at_an_address_is_held_once() {
    let mut bench = Bench::new(World::settling());
    let address = free_address();
    let (first, second) = (bench.serve(ONE, address), bench.serve(TWO, address));
    bench.sockets.groups.hold(ONE);
    bench.sockets.groups.hold(TWO);
    let held: Vec<u64> = bench.sockets.groups.of(Owner::Held).map(|(_, socket)| socket.inode).collect();
    assert_eq!(held, [inode(&first)]);
    assert!(bench.sockets.groups.has(inode(&second)), "that one is closed with its generation");
    assert_eq!(bench.sockets.groups.held_at(&at(free_address())), None);
}

#[test]
fn a_target_that_is_handed_over_stays_the_target() {
    let mut bench = Bench::new(World::settling());
    let address = free_address();
    let (first, second) = (bench.serve(ONE, address), bench.serve(TWO, address));
    let (old, new) = (bench.kept(ONE, &first).expect("kept"), bench.kept(TWO, &second).expect("kept"));
    bench.sockets.groups.hand_over(old, Owner::Held);
    assert!(bench.sockets.groups.is_target(&at(address), TWO), "it was not the target");
    bench.sockets.groups.hand_over(new, ONE);
    assert!(bench.sockets.groups.is_target(&at(address), ONE), "it was");
    let kept = bench.sockets.groups.get(new).expect("kept");
    assert!(kept.holder.is_none() && kept.bound.is_some());
}

#[test]
fn a_listener_of_an_interface_is_told_apart() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let socket = socket_for(address);
    sockets::set_interface(socket.as_fd(), 1).expect("the loopback");
    bench.bind(ONE, &socket, address);
    sockets::bind(socket.as_fd(), address).expect("the address is free");
    bench.listen(ONE, &socket, 128);
    let [endpoint] = bench.sockets.endpoints(ONE)[..] else { panic!("{:?}", bench.sockets.endpoints(ONE)) };
    assert_eq!((endpoint.address, endpoint.interface), (address, 1));
}

#[test]
fn sockets_beside_those_of_another_user_are_given_to_him() {
    const SOMEBODY: u32 = 4711;
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let first = bench.serve(ONE, address);
    // Without CAP_CHOWN all are of one user, and stay so.
    let user = if sockets::give_to(first.as_fd(), SOMEBODY).is_ok() { SOMEBODY } else { process::own_user() };
    let second = bench.serve(TWO, address);
    let owner = |socket: BorrowedFd<'_>| sockets::inode_and_owner(socket).expect("it is open").1;
    assert_eq!(owner(second.as_fd()), user, "only sockets of one user share an address");
    assert_eq!(bench.sockets.groups.hold_in_advance(ONE).len(), 0);
    let held = bench.sockets.groups.of(Owner::Held).next().expect("it is held").1;
    assert_eq!((owner(held.fd.as_fd()), held.endpoint), (user, Some(at(address))));
    assert_eq!(bench.notes(), []);
}
