//! Sockets that adieu opens, or was started with, and passes to the program.

use std::net::SocketAddr;

use super::{SHORT, listens, python, serving_generation, words};
use crate::harness::{Adieu, Load, Place, Setup, get, get_at, the_machine};

fn takes(arguments: &[&str]) -> Vec<String> {
    let mut program = python("takes.py").to_vec();
    program.extend(arguments.iter().map(ToString::to_string));
    program
}

fn start(place: Place, options: &[&str], arguments: &[&str]) -> Adieu {
    let program = takes(arguments);
    let options = [SHORT, options].concat();
    place.run(Setup { name: "it", front: &[], options: &options, environment: &[], program: &words(&program) })
}

#[test]
fn whoever_takes_its_socket_loses_nothing_under_load() {
    let _alone = the_machine();
    for sockets in ["auto", "pass"] {
        for way in ["systemd", "starter", "einhorn"] {
            let place = Place::new();
            let address = format!("127.0.0.1:{}", place.port());
            let mut adieu = start(place, &["--sockets", sockets, "--listen", &address], &[way]);
            adieu.wait_until_it_answers("/");
            let load = Load { path: "/", reloads: 2, kept: 8 };
            load.run(&adieu).assert_nothing_lost(&adieu);
            assert_eq!(listens(serving_generation(&adieu.status())), [address], "{way}");
            adieu.stop();
        }
    }
}

#[test]
fn several_addresses_are_passed_in_order_under_load() {
    let _alone = the_machine();
    let place = Place::new();
    let port = place.port();
    let (first, second) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    let mut adieu = start(place, &["--listen", &first, "--listen", &second], &["systemd", "2"]);
    adieu.wait_until_it_answers("/");
    let load = Load { path: "/", reloads: 2, kept: 8 };
    let six: SocketAddr = second.parse().expect("an address");
    let ends = load.during(six, |more| {
        for number in 1..=2 {
            adieu.reload(number);
            more();
        }
    });
    ends.assert_nothing_lost(&adieu);
    assert_eq!(get_at(six, "/").expect("it serves"), get(port, "/").expect("it serves"));
    assert!(adieu.output().contains("names adieu:adieu"), "{}", adieu.output());
    adieu.stop();
}

/// Its address can be had by nobody else, so all generations share the one socket; the old ones have to finish what they
/// have accepted.
#[test]
fn what_adieu_was_started_with_is_passed_on_under_load() {
    let _alone = the_machine();
    let place = Place::new();
    let port = place.port().to_string();
    let activates = python("activates.py");
    let front = [&words(&activates)[..], &["127.0.0.1", &port, "web"]].concat();
    let program = takes(&["systemd"]);
    let setup = Setup { name: "it", front: &front, options: SHORT, environment: &[], program: &words(&program) };
    let mut adieu = place.run(setup);
    adieu.wait_until_it_answers("/");
    assert!(adieu.output().contains("names web"), "{}", adieu.output());
    let load = Load { path: "/", reloads: 3, kept: 0 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    assert_eq!(get(adieu.port().number(), "/").expect("it serves"), "generation 4\n");
    adieu.stop();
}

/// Said to be passed, and not there: nothing else may be taken for it.
#[test]
fn what_was_not_passed_after_all_is_not_taken() {
    let place = Place::new();
    let (activates, command) = (python("activates.py"), python("plain.py"));
    let front = [&words(&activates)[..], &["none", "0", "web"]].concat();
    let setup = Setup { name: "it", front: &front, options: SHORT, environment: &[], program: &words(&command) };
    let mut adieu = place.run(setup);
    adieu.wait_until_it_answers("/");
    adieu.reload(1);
    adieu.stop();
}

/// Variables for another process are none of ours.
#[test]
fn what_is_meant_for_somebody_else_is_not_passed_on() {
    let place = Place::new();
    let command = python("plain.py");
    let mut adieu = place.run(Setup {
        name: "it",
        front: &[],
        options: SHORT,
        environment: &[("LISTEN_PID", "1"), ("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "web")],
        program: &["sh", "-c", "env | grep ^LISTEN_; exec \"$0\" \"$@\"", &command[0], &command[1], &command[2]],
    });
    adieu.wait_until_it_answers("/");
    assert!(!adieu.output().contains("LISTEN_"), "{}", adieu.output());
    adieu.stop();
}
