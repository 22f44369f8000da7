//! Sockets that adieu opens, or was started with, and passes to the program.

use std::net::SocketAddr;

use rustix::process::{Pid, Signal};

use super::{SHORT, listens, python, said, serving_generation, words};
use crate::harness::{Adieu, Load, Place, Setup, get, get_at, the_machine};
use crate::init::until;

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

/// As systemd starts it with a socket unit: whoever opened the listener has it still, and needs it afterwards.
fn activated(options: &[&str]) -> Adieu {
    let place = Place::new();
    let port = place.port().to_string();
    let activates = python("activates.py");
    let front = [&words(&activates)[..], &["127.0.0.1", &port, "web"]].concat();
    let program = takes(&["systemd"]);
    let options = [SHORT, options].concat();
    let mut adieu =
        place.run(Setup { name: "it", front: &front, options: &options, environment: &[], program: &words(&program) });
    adieu.wait_until_it_answers("/");
    until("it counts as ready", || serving_generation(&adieu.status()).ready);
    adieu
}

fn ends_and_leaves_the_listener(mut adieu: Adieu) {
    let stopped = adieu.client(&["stop", "it"]);
    assert!(stopped.status.success(), "{}", said(&stopped));
    until("it has ended", || adieu.output().contains("the command has ended"));
    assert_eq!(get(adieu.port().number(), "/").expect("it listens still"), "held");
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
    assert_eq!(get(adieu.port().number(), "/").expect("it serves"), "generation 5\n");
    let status = adieu.status();
    assert_eq!(listens(serving_generation(&status)).len(), 1, "{status:#?}");
    ends_and_leaves_the_listener(adieu);
}

#[test]
fn what_adieu_was_started_with_refuses_nobody_without_overlap_and_after_a_crash_under_load() {
    let _alone = the_machine();
    let adieu = activated(&["--overlap", "no", "--restart", "on-failure"]);
    let address = SocketAddr::from(([127, 0, 0, 1], adieu.port().number()));
    let ends = Load { path: "/", reloads: 2, kept: 0 }.during(address, |more| {
        for number in 1..=2 {
            adieu.reload(number);
            more();
        }
        let main = Pid::from_raw(serving_generation(&adieu.status()).pid).expect("a pid");
        rustix::process::kill_process(main, Signal::KILL).expect("it runs");
        until("the next one serves", || get(adieu.port().number(), "/").is_ok_and(|body| body == "generation 4\n"));
        more();
    });
    // What the killed one had accepted is lost with it.
    assert!(!ends.refused() && !ends.hung(), "{ends:#?}\n{}", adieu.timeline());
    ends_and_leaves_the_listener(adieu);
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
    assert_eq!(adieu.wait_until_it_answers("/"), "generation 2\n");
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
