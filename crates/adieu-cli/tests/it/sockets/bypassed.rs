//! Listeners that the filter has not seen: they are found by comparing with what the kernel lists.

use super::{SHORT, c, listens, serving_generation};
use crate::harness::{Adieu, Load, Place, Setup, get, the_machine};
use crate::init::until;

fn start(way: &str) -> Adieu {
    let place = Place::new();
    let port = place.port().to_string();
    let unseen = c("unseen");
    let program = [unseen.as_str(), &port, way];
    let mut adieu = place.run(Setup { name: "it", front: &[], options: SHORT, environment: &[], program: &program });
    adieu.wait_until_it_answers("/");
    adieu
}

#[test]
fn a_listener_that_was_not_seen_is_found_and_told_of() {
    let adieu = start("hidden");
    let port = adieu.port().number();
    let told = format!("the program listens on 127.0.0.1:{port} without a bind that adieu could see");
    until("it is found", || adieu.output().contains(&told));
    until("it counts as ready", || serving_generation(&adieu.status()).ready);
    assert_eq!(listens(serving_generation(&adieu.status())), Vec::<String>::new());
    // Two at once would fight over the address: so one after the other.
    for generation in 2..4 {
        adieu.reload(generation);
        assert_eq!(get(port, "/").expect("the new one listens"), format!("generation {generation}"));
    }
    assert!(adieu.timeline().contains("cannot run beside another one"), "{}", adieu.timeline());
    adieu.stop();
}

/// The control: the same program, seen.
#[test]
fn a_listener_that_was_seen_is_switched_under_load() {
    let _alone = the_machine();
    let adieu = start("plain");
    let load = Load { path: "/", reloads: 3, kept: 0 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    assert!(!adieu.output().contains("could see"), "{}", adieu.output());
    assert_eq!(listens(serving_generation(&adieu.status())).len(), 1);
    adieu.stop();
}
