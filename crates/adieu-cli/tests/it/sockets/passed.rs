//! Sockets that adieu opens, or was started with, and passes to the program.

use std::net::SocketAddr;

use rustix::process::{Pid, Signal};

use super::{it, it_in, listens, python, python_with, serving_generation};
use crate::harness::proc::kill;
use crate::harness::{Instance, Load, Run, Scene, get, get_at, the_machine, until};

/// A program that takes what it is passed in one of the ways.
fn takes(scene: &Scene, arguments: &[&str]) -> Run {
    it_in(scene).program(&python_with("takes.py", arguments))
}

#[test]
fn whoever_takes_its_socket_loses_nothing_under_load() {
    let _alone = the_machine();
    for sockets in ["auto", "pass"] {
        for way in ["systemd", "starter", "einhorn"] {
            let scene = Scene::new();
            let address = format!("127.0.0.1:{}", scene.port());
            let options = ["--sockets", sockets, "--listen", &address];
            let adieu = takes(&scene, &[way]).options(&options).serving();
            let load = Load { path: "/", reloads: 2, kept: 8 };
            load.run(&adieu).assert_nothing_lost(&adieu);
            assert_eq!(listens(serving_generation(&adieu.status())), [address], "{way}");
            adieu.end();
        }
    }
}

#[test]
fn several_addresses_are_passed_in_order_under_load() {
    let _alone = the_machine();
    let scene = Scene::new();
    let port = scene.port();
    let (first, second) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    let options = ["--listen", &first, "--listen", &second];
    let adieu = takes(&scene, &["systemd", "2"]).options(&options).serving();
    let load = Load { path: "/", reloads: 2, kept: 8 };
    let six: SocketAddr = second.parse().expect("an address");
    load.run_at(six, &adieu).assert_nothing_lost(&adieu);
    assert_eq!(get_at(six, "/").expect("it serves"), get(port, "/").expect("it serves"));
    assert!(adieu.output().contains("names adieu:adieu"), "{}", adieu.output());
    adieu.end();
}

/// As systemd starts it with a socket unit: whoever opened the listener has it still, and needs it afterwards.
fn activated(options: &[&str]) -> Instance {
    let scene = Scene::new();
    let activates = python_with("activates.py", &["127.0.0.1", &scene.port().to_string(), "web"]);
    let adieu = takes(&scene, &["systemd"]).front(&activates).options(options).serving();
    until("it counts as ready", || serving_generation(&adieu.status()).ready);
    adieu
}

fn ends_and_leaves_the_listener(mut adieu: Instance) {
    let told = adieu.stop();
    assert!(told.is_fine(), "{told:?}");
    until("it has ended", || adieu.output().contains("the command has ended"));
    assert_eq!(get(adieu.port(), "/").expect("it listens still"), "held");
    adieu.wait();
}

#[test]
fn what_adieu_was_started_with_loses_nothing_under_load() {
    let _alone = the_machine();
    let adieu = activated(&[]);
    assert!(adieu.output().contains("names web"), "{}", adieu.output());
    let load = Load { path: "/", reloads: 4, kept: 8 };
    let ends = load.run(&adieu);
    ends.assert_nothing_lost(&adieu);
    assert_eq!(ends.bodies().count(), 5, "{ends:?}");
    assert_eq!(get(adieu.port(), "/").expect("it serves"), "generation 5\n");
    let status = adieu.status();
    assert_eq!(listens(serving_generation(&status)).len(), 1, "{status:#?}");
    ends_and_leaves_the_listener(adieu);
}

#[test]
fn what_adieu_was_started_with_refuses_nobody_without_overlap_and_after_a_crash_under_load() {
    let _alone = the_machine();
    let adieu = activated(&["--overlap", "no", "--restart", "on-failure"]);
    let address = SocketAddr::from(([127, 0, 0, 1], adieu.port()));
    let ends = Load { path: "/", reloads: 2, kept: 0 }.during(address, |more| {
        for _ in 1..=2 {
            adieu.replace();
            more();
        }
        let main = serving_generation(&adieu.status()).pid.and_then(|pid| Pid::from_raw(pid.number())).expect("a pid");
        kill(main, Signal::KILL);
        until("the next one serves", || get(adieu.port(), "/").is_ok_and(|body| body == "generation 4\n"));
        more();
    });
    // What the killed one had accepted is lost with it.
    assert!(!ends.refused() && !ends.hung(), "{ends:#?}\n{}", adieu.timeline());
    ends_and_leaves_the_listener(adieu);
}

/// Said to be passed, and not there: nothing else may be taken for it.
#[test]
fn what_was_not_passed_after_all_is_not_taken() {
    let activates = python_with("activates.py", &["none", "0", "web"]);
    let mut adieu = it().front(&activates).program(&python("plain.py")).serving();
    adieu.replace();
    assert_eq!(adieu.wait_until_it_answers("/"), "generation 2\n");
    adieu.end();
}

/// Variables for another process are none of ours.
#[test]
fn what_is_meant_for_somebody_else_is_not_passed_on() {
    let adieu = it().env("LISTEN_PID", "1").env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web");
    let says = ["sh", "-c", "env | grep ^LISTEN_; exec \"$0\" \"$@\""];
    let adieu = adieu.program(&says).arguments(&python("plain.py")).serving();
    assert!(!adieu.output().contains("LISTEN_"), "{}", adieu.output());
    adieu.end();
}
