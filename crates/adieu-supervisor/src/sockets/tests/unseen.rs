//! Listeners whose `bind` was not seen: found by what the kernel lists.

use std::net::TcpListener;
use std::time::Duration;

use adieu_core::switch::Generation;
use adieu_linux::diag::LocalPort;
use adieu_linux::process::own_pid;

use super::bench::{Bench, ONE, THREE, TWO, at, free_address, inode, number, options_with};
use crate::options;
use crate::sockets::Inherited;
use crate::sockets::watched::Unseen;
use crate::testing::World;
use crate::view::Note;

fn unseen_listener(bench: &mut Bench, generation: Generation) -> TcpListener {
    let listener = TcpListener::bind(free_address()).expect("a free port");
    bench.has(generation, &listener);
    listener
}

fn find_exclusive(bench: &mut Bench) -> Option<Generation> {
    bench.sockets.find_exclusive(&bench.world.view(), &bench.table, &mut bench.out)
}

fn look(bench: &mut Bench) -> Option<Generation> {
    bench.sockets.look_for_unseen(&bench.world.view(), &bench.table, &mut bench.out)
}

#[test]
fn only_own_listeners_that_are_not_known_are_unseen() {
    let mut inherited = Inherited::default();
    let passed = TcpListener::bind(free_address()).expect("a free port");
    inherited.sockets.push(passed.try_clone().expect("a descriptor is left").into());
    let mut bench = Bench::with(World::serving(), inherited);
    bench.has(ONE, &passed);
    let (_somebodys, loose) = (TcpListener::bind(free_address()), unseen_listener(&mut bench, ONE));
    bench.sockets.loosen(&bench.table, ONE, own_pid(), number(&loose) as i32);
    assert!(bench.sockets.watched[&ONE].loose.contains(&inode(&loose)));
    let _held = bench.serve(ONE, free_address());
    assert_eq!(bench.sockets.unseen_listeners(&bench.table, ONE), Some(Vec::new()));
    let unseen = [unseen_listener(&mut bench, ONE), unseen_listener(&mut bench, ONE)];
    let mut expected = unseen.each_ref().map(|listener| at(listener.local_addr().expect("it is bound")));
    expected.sort();
    assert_eq!(bench.sockets.unseen_listeners(&bench.table, ONE), Some(expected.to_vec()));
    assert_eq!(bench.sockets.unseen_listeners(&bench.table, THREE), None, "it has not begun");
}

#[test]
fn where_an_unseen_listener_is() {
    let mut bench = Bench::new(World::serving());
    let listener = unseen_listener(&mut bench, ONE);
    let there = at(listener.local_addr().expect("it is bound"));
    assert_eq!(bench.sockets.unseen_listeners(&bench.table, ONE), Some(vec![there]));
    bench.entry(ONE).inodes = Some(None);
    assert_eq!(bench.sockets.unseen_listeners(&bench.table, ONE), None, "they may not be read");
}

#[test]
fn a_generation_that_listens_unseen_cannot_run_beside_the_next() {
    let mut bench = Bench::new(World::serving());
    assert_eq!(find_exclusive(&mut bench), None);
    let listener = unseen_listener(&mut bench, ONE);
    let address = listener.local_addr().expect("it is bound");
    assert_eq!(find_exclusive(&mut bench), Some(ONE));
    let notes = bench.notes();
    let [Note::Once(where_), Note::Once(what)] = notes.as_slice() else { panic!("{notes:?}") };
    assert!(where_.starts_with(&format!("the program listens on {address} without a bind that adieu could see")));
    assert!(what.contains("the old generation ends before the new one starts"));
    assert_eq!(bench.sockets.unseen_before.generation, ONE);
    assert_eq!(bench.sockets.unseen_before.endpoints, [at(address)]);
    assert_eq!(bench.sockets.places(ONE), [LocalPort::of(address)]);
    assert_eq!(bench.sockets.places(TWO), []);
    drop(listener);
    assert_eq!(find_exclusive(&mut bench), None, "it has closed it");
    assert_eq!(bench.sockets.places(ONE), []);
}

#[test]
fn a_generation_of_which_nothing_can_be_seen_cannot_either() {
    let mut bench = Bench::new(World::serving());
    let _somebody = TcpListener::bind(free_address()).expect("a free port");
    bench.entry(ONE).inodes = Some(None);
    assert_eq!(find_exclusive(&mut bench), None, "its calls have all been seen");
    bench.sockets.mark_unseen(ONE);
    assert_eq!(find_exclusive(&mut bench), Some(ONE));
    let note = bench.only_note();
    assert!(note.contains("without its sockets in sight"), "why has been said: {note}");
    bench.entry(ONE).inodes = Some(Some([].into()));
    assert_eq!(find_exclusive(&mut bench), None, "it can be seen to listen nowhere");
}

#[test]
fn nothing_is_compared_where_calls_are_not_watched() {
    let mut bench = Bench::new(World::serving());
    bench.world.options.sockets = options::Sockets::Pass;
    let _listener = unseen_listener(&mut bench, ONE);
    assert_eq!(find_exclusive(&mut bench), None);
    let mut bench = Bench::new(World::new(options_with(|_| ())));
    assert_eq!(find_exclusive(&mut bench), None, "nobody serves");
}

#[test]
fn what_is_abandoned_is_not_taken_for_the_programs() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    drop(bench.serve(ONE, address));
    bench.entry(ONE).inodes = Some(Some([].into()));
    assert_eq!(find_exclusive(&mut bench), None);
    assert_eq!(bench.sockets.endpoints(ONE), []);
}

#[test]
fn a_generation_that_starts_is_looked_at_more_and_more_seldom() {
    let mut bench = Bench::new(World::reloading());
    assert_eq!(look(&mut bench), None, "it has just begun");
    let due = |bench: &Bench| {
        let next = bench.sockets.next_comparison(&bench.world.view(), &bench.table);
        next.map(|next| next - bench.world.now)
    };
    assert_eq!(due(&bench), Some(Duration::from_secs(1)));
    for (after, pause) in [(1, 1), (7, 2), (92, 25), (1000, 60)] {
        bench.later(Duration::from_secs(after));
        assert_eq!(look(&mut bench), Some(TWO));
        assert_eq!(due(&bench), Some(Duration::from_secs(pause)), "after {after} s more");
        assert_eq!(look(&mut bench), None, "it was looked at");
    }
    bench.entry(TWO).main = None;
    assert_eq!(due(&bench), None, "it has ended");
    assert_eq!(bench.notes(), []);
    assert!(!bench.sockets.is_unseen(TWO));
}

#[test]
fn a_generation_that_is_to_listen_unseen_is_looked_at_often() {
    let pause = Duration::from_millis(20);
    for known in [true, false] {
        let mut bench = Bench::new(World::reloading());
        if known {
            bench.sockets.mark_unseen(TWO);
        } else {
            bench.sockets.unseen_before = Unseen { generation: ONE, endpoints: vec![at(free_address())] };
        }
        bench.sockets.watched.get_mut(&TWO).expect("it has begun").next_comparison = bench.world.now;
        assert_eq!(look(&mut bench), Some(TWO));
        let next = bench.sockets.next_comparison(&bench.world.view(), &bench.table);
        assert_eq!(next, Some(bench.world.now + pause));
    }
}

#[test]
fn a_generation_that_is_found_to_listen_unseen_is_marked() {
    let mut bench = Bench::new(World::reloading());
    let listener = unseen_listener(&mut bench, TWO);
    bench.later(Duration::from_secs(1));
    assert_eq!(look(&mut bench), Some(TWO));
    assert!(bench.sockets.is_unseen(TWO) && !bench.sockets.is_unseen(ONE));
    let note = bench.only_note();
    assert!(note.contains(&listener.local_addr().expect("it is bound").to_string()), "{note}");
    bench.later(Duration::from_secs(60));
    assert_eq!(look(&mut bench), Some(TWO));
    assert_eq!(bench.notes(), [], "it is known");
}

#[test]
fn nobody_is_looked_at_where_nobody_starts_or_calls_are_not_watched() {
    let mut bench = Bench::new(World::serving());
    bench.later(Duration::from_secs(9));
    assert_eq!(look(&mut bench), None);
    assert_eq!(bench.sockets.next_comparison(&bench.world.view(), &bench.table), None);
    let mut bench = Bench::new(World::reloading());
    bench.world.options.sockets = options::Sockets::Off;
    bench.later(Duration::from_secs(9));
    assert_eq!(look(&mut bench), None);
    assert_eq!(bench.sockets.next_comparison(&bench.world.view(), &bench.table), None);
}

#[test]
fn what_starts_unseen_counts_only_where_it_is_of_interest() {
    let mut bench = Bench::new(World::reloading());
    let listener = unseen_listener(&mut bench, TWO);
    let there = at(listener.local_addr().expect("it is bound"));
    assert_eq!(bench.sockets.present_unseen(&bench.table, TWO), [], "all that it calls is seen");
    bench.sockets.mark_unseen(TWO);
    assert_eq!(bench.sockets.present_unseen(&bench.table, TWO), [there]);
    bench.sockets.begin(TWO, bench.world.now);
    bench.sockets.unseen_before = Unseen { generation: ONE, endpoints: vec![there] };
    assert_eq!(bench.sockets.present_unseen(&bench.table, TWO), [there]);
}
