//! Where a generation is expected to listen, and what is missing.

use std::net::TcpListener;
use std::os::fd::AsFd;

use adieu_core::address::Endpoint;
use adieu_core::group::Owner;
use adieu_core::switch::Generation;
use adieu_linux::process::own_pid;
use adieu_linux::seccomp::CallKind;
use adieu_linux::sockets;

use super::bench::{Bench, ONE, THREE, TWO, at, call, directory, free_address, free_everywhere, socket_for};
use crate::sockets::watched::{Unseen, WaitingListen};
use crate::testing::World;

fn is_as_expected(bench: &Bench, generation: Generation, said_ready: bool) -> bool {
    bench.sockets.listens_as_expected(&bench.world.view(), &bench.table, generation, said_ready)
}

fn why_not(bench: &Bench, generation: Generation) -> Option<String> {
    bench.sockets.why_not_as_expected(&bench.world.view(), &bench.table, generation)
}

fn may_be_asked(bench: &Bench, generation: Generation) -> bool {
    bench.sockets.may_be_asked(&bench.world.view(), &bench.table, generation)
}

#[test]
fn the_first_one_listens_somewhere_or_says_so() {
    let mut bench = Bench::new(World::starting());
    assert!(!is_as_expected(&bench, ONE, false));
    assert!(is_as_expected(&bench, ONE, true), "READY=1");
    let _socket = bench.serve(ONE, free_address());
    assert!(is_as_expected(&bench, ONE, false));
}

#[test]
fn the_first_one_may_listen_on_a_path() {
    let mut bench = Bench::new(World::starting());
    let directory = directory();
    let _socket = bench.serve_path(ONE, &directory.path().join("app.sock"));
    assert!(is_as_expected(&bench, ONE, false));
}

#[test]
fn the_first_one_is_believed_where_nothing_can_be_seen() {
    let mut bench = Bench::new(World::starting());
    bench.sockets.mark_unseen(ONE);
    assert!(!is_as_expected(&bench, ONE, false), "it has no socket");
    // Somebody listens, and whose it is cannot be known.
    let _somebody = TcpListener::bind(free_address()).expect("a free port");
    bench.entry(ONE).inodes = Some(None);
    assert!(is_as_expected(&bench, ONE, false));
}

#[test]
fn a_newcomer_listens_wherever_the_one_before_does() {
    let mut bench = Bench::new(World::reloading());
    let (address, other) = (free_address(), free_address());
    let _first = [bench.serve(ONE, address), bench.serve(ONE, other)];
    assert!(!is_as_expected(&bench, TWO, true), "READY=1 is not enough");
    let mut both = [at(address), at(other)];
    both.sort();
    let list = both.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    assert_eq!(why_not(&bench, TWO), Some(format!("it listens nowhere, the one before it on {list}")));
    let _second = bench.serve(TWO, address);
    assert!(!is_as_expected(&bench, TWO, false));
    assert_eq!(why_not(&bench, TWO), Some(format!("it listens on {address}, the one before it on {other}")));
    let _second = bench.serve(TWO, other);
    assert!(is_as_expected(&bench, TWO, false));
    assert_eq!(why_not(&bench, TWO), None);
}

#[test]
fn a_newcomer_of_one_that_listens_nowhere_has_nothing_to_do() {
    let bench = Bench::new(World::reloading());
    assert!(is_as_expected(&bench, TWO, false));
    assert_eq!(why_not(&bench, TWO), None);
}

#[test]
fn a_newcomer_takes_over_what_is_held() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let (address, path) = (free_address(), directory.path().join("app.sock"));
    let _first = [bench.serve(ONE, address), bench.serve_path(ONE, &path)];
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    assert!(bench.sockets.holds_something());
    assert!(!is_as_expected(&bench, ONE, true), "it is expected although nobody serves before");
    let held = bench.sockets.groups.held_at(&at(address)).expect("it is held");
    bench.sockets.groups.hand_over(held, ONE);
    assert_eq!(
        why_not(&bench, ONE),
        Some(format!(
            "it does not listen on unix:{}, as the one before it does",
            path.canonicalize().expect("it is there").display()
        ))
    );
    assert!(!is_as_expected(&bench, ONE, true));
    let name = bench.sockets.paths.names(Owner::Held).remove(0);
    bench.sockets.paths.hand_over(&name, ONE);
    assert!(is_as_expected(&bench, ONE, false));
}

#[test]
fn a_listen_that_is_held_back_counts() {
    let mut bench = Bench::new(World::reloading());
    let wide = free_everywhere();
    let _first = bench.serve(ONE, wide);
    assert!(!bench.sockets.waits_to_listen(TWO));
    let second = socket_for(wide);
    sockets::share_port(second.as_fd()).expect("a TCP socket");
    sockets::bind(second.as_fd(), wide).expect("it is shared");
    let id = bench.sockets.groups.keep(TWO, second, Some(wide)).expect("it is open");
    assert!(!is_as_expected(&bench, TWO, false));
    let waiting = WaitingListen { call: call(CallKind::Listen, [0; 6]), socket: id, backlog: 5 };
    bench.sockets.watched.get_mut(&TWO).expect("it has begun").waiting_listens.push(waiting);
    assert!(is_as_expected(&bench, TWO, false));
    assert!(bench.sockets.waits_to_listen(TWO) && !bench.sockets.waits_to_listen(ONE));
    assert_eq!(bench.sockets.main_ended(&bench.world.view(), TWO, &mut bench.out), []);
    assert!(!bench.sockets.waits_to_listen(TWO));
    assert!(!is_as_expected(&bench, TWO, false));
}

#[test]
fn a_newcomer_listens_on_the_paths_of_the_one_before() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let _first = bench.serve_path(ONE, &path);
    assert!(!is_as_expected(&bench, TWO, true));
    assert!(why_not(&bench, TWO).is_some_and(|why| why.contains("does not listen on unix:")));
    let _second = bench.serve_path(TWO, &path);
    assert!(is_as_expected(&bench, TWO, false));
}

#[test]
fn names_of_their_own_are_counted_where_there_is_nothing_else() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let own = |text: &str| directory.path().join(format!("{text}.{}.sock", own_pid()));
    let _first = [bench.serve_path(ONE, &own("a")), bench.serve_path(ONE, &own("b"))];
    assert!(!is_as_expected(&bench, TWO, true));
    let _one = bench.serve_path(TWO, &own("c"));
    assert!(!is_as_expected(&bench, TWO, true), "two are expected");
    let _two = bench.serve_path(TWO, &own("d"));
    assert!(is_as_expected(&bench, TWO, false));
}

#[test]
fn names_of_their_own_do_not_count_beside_lasting_ones() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let own = directory.path().join(format!("app.{}.sock", own_pid()));
    let address = free_address();
    let _first = [bench.serve_path(ONE, &own), bench.serve(ONE, address)];
    let _second = bench.serve(TWO, address);
    assert!(is_as_expected(&bench, TWO, false));
}

#[test]
fn what_was_unseen_before_is_expected_once_nobody_serves() {
    let endpoint: Endpoint = at(free_address());
    let unseen = || Unseen { generation: ONE, endpoints: vec![endpoint] };
    let mut bench = Bench::new(World::starting());
    bench.sockets.unseen_before = unseen();
    assert!(!is_as_expected(&bench, ONE, true));
    let listener = TcpListener::bind(endpoint.address).expect("a free port");
    assert!(!is_as_expected(&bench, ONE, false), "it is not its own");
    bench.has(ONE, &listener);
    assert!(is_as_expected(&bench, ONE, false), "an unseen one stands for an unseen one");
    let mut bench = Bench::new(World::reloading());
    bench.sockets.unseen_before = unseen();
    assert!(is_as_expected(&bench, TWO, false), "it serves on beside");
}

#[test]
fn a_probe_may_ask_whoever_listens_or_cannot_be_seen() {
    let mut bench = Bench::new(World::reloading());
    assert!(may_be_asked(&bench, TWO), "nothing is expected");
    let address = free_address();
    let _first = bench.serve(ONE, address);
    assert!(!may_be_asked(&bench, TWO));
    bench.sockets.mark_unseen(TWO);
    assert!(may_be_asked(&bench, TWO), "it may listen unseen");
    bench.sockets.begin(TWO, bench.world.now);
    assert!(!may_be_asked(&bench, TWO));
    let _second = bench.serve(TWO, address);
    assert!(may_be_asked(&bench, TWO));
    assert!(may_be_asked(&bench, THREE), "nothing is known of it");
}
