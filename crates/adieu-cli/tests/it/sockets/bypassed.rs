//! Listeners that the filter has not seen: they are found by comparing with what the kernel lists.

use super::{c, it_in, listens, serving_generation};
use crate::harness::{Instance, Load, Scene, get, the_machine, until};

fn start(way: &str) -> Instance {
    let scene = Scene::new();
    it_in(&scene).program(&[&c("unseen"), &scene.port().to_string(), way]).serving()
}

#[test]
fn a_listener_that_was_not_seen_is_found_and_told_of() {
    let adieu = start("hidden");
    let port = adieu.port();
    let told = format!("the program listens on 127.0.0.1:{port} without a bind that adieu could see");
    until("it is found", || adieu.output().contains(&told));
    until("it counts as ready", || serving_generation(&adieu.status()).ready);
    assert_eq!(listens(serving_generation(&adieu.status())), Vec::<String>::new());
    // Two at once would fight over the address: so one after the other.
    for generation in 2..4 {
        adieu.replace();
        assert_eq!(get(port, "/").expect("the new one listens"), format!("generation {generation}"));
    }
    assert!(adieu.timeline().contains("cannot run beside another one"), "{}", adieu.timeline());
    adieu.end();
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
    adieu.end();
}
