//! A program that gives up because it finds the one before it on its Unix socket is started once more.

use adieu_core::group::Owner;
use adieu_core::switch::Event;

use super::bench::{Bench, ONE, TWO, at, directory, free_address, name};
use crate::options;
use crate::testing::World;

#[test]
fn a_newcomer_that_has_not_bound_the_path_deserves_one() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let _first = bench.serve_path(ONE, &path);
    assert!(!bench.sockets.hides_paths());
    assert_eq!(bench.sockets.wants_second_try(&bench.world.view(), ONE), None, "it does not start");
    assert_eq!(bench.sockets.wants_second_try(&bench.world.view(), TWO), Some(name(&path)));
    assert!(bench.sockets.hides_paths());
    assert_eq!(bench.sockets.wants_second_try(&bench.world.view(), TWO), None, "there is no third one");
}

#[test]
fn a_newcomer_that_has_bound_every_path_does_not() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let (path, other) = (directory.path().join("app.sock"), directory.path().join("other.sock"));
    let _sockets = [bench.serve_path(ONE, &path), bench.serve_path(ONE, &other), bench.serve_path(TWO, &path)];
    assert_eq!(bench.sockets.wants_second_try(&bench.world.view(), TWO), Some(name(&other)));
    bench.sockets.hides_paths = false;
    let _last = bench.serve_path(TWO, &other);
    assert_eq!(bench.sockets.wants_second_try(&bench.world.view(), TWO), None);
    assert!(!bench.sockets.hides_paths());
}

#[test]
fn one_that_is_replaced_does_not() {
    let mut bench = Bench::new(World::settling());
    let directory = directory();
    let _second = bench.serve_path(TWO, &directory.path().join("app.sock"));
    assert_eq!(bench.sockets.wants_second_try(&bench.world.view(), ONE), None);
}

#[test]
fn nobody_does_at_the_stop_or_where_calls_are_not_watched() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let mut bench = Bench::new(World::reloading());
    let _first = bench.serve_path(ONE, &path);
    bench.world.options.sockets = options::Sockets::Pass;
    assert_eq!(bench.sockets.wants_second_try(&bench.world.view(), TWO), None);
    bench.world.options.sockets = options::Sockets::Auto;
    bench.world.tell(Event::Stop);
    assert_eq!(bench.sockets.wants_second_try(&bench.world.view(), TWO), None);
}

#[test]
fn what_the_first_try_has_left_is_closed() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let (path, address) = (directory.path().join("app.sock"), free_address());
    let _first = [bench.serve(ONE, address), bench.serve_path(ONE, &path)];
    let _second = [bench.serve(TWO, address), bench.serve_path(TWO, &path)];
    bench.sockets.prepare_second_try(&bench.world.view(), TWO, &mut bench.out);
    assert_eq!((bench.sockets.groups.of(TWO).count(), bench.sockets.paths.of(TWO).count()), (0, 0));
    assert!(!bench.sockets.watched.contains_key(&TWO));
    assert_eq!(bench.sockets.endpoints(ONE), [at(address)], "it serves on");
    assert!(!bench.sockets.holds_something());
}

#[test]
fn what_was_held_for_the_first_try_is_held_again() {
    let mut bench = Bench::new(World::starting());
    let directory = directory();
    let (path, address) = (directory.path().join("app.sock"), free_address());
    let _first = [bench.serve(ONE, address), bench.serve_path(ONE, &path)];
    bench.sockets.prepare_second_try(&bench.world.view(), ONE, &mut bench.out);
    assert_eq!(bench.sockets.groups.endpoints(Owner::Held), [at(address)]);
    assert_eq!(bench.sockets.paths.names(Owner::Held), [name(&path)]);
    assert_eq!(bench.sockets.groups.of(ONE).count(), 0);
}
