//! Where adieu may not duplicate the program's sockets, or cannot steer them, it puts its own in their place: all that the
//! program has set must still be so.

use std::net::SocketAddr;
use std::process::Command;

use super::{SHORT, c, python, words};
use crate::harness::{Adieu, Load, Place, Process, Setup, get_at, the_machine};
use crate::init::until;

/// The protocol numbers of `socket(2)`.
const TCP: &str = "protocol 6";
const MPTCP: &str = "protocol 262";

fn command(arguments: &[&str]) -> Vec<String> {
    let mut command = python("options.py").to_vec();
    command.extend(arguments.iter().map(ToString::to_string));
    command
}

fn is_over(output: &str) -> bool {
    output.contains("protocol ")
}

/// What the program says of its options, and its protocol.
fn said(output: &str) -> (Vec<String>, String) {
    let lines = |start: &str| output.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect();
    let options: Vec<String> = lines("option ");
    let protocol: Vec<String> = lines("protocol ");
    // With adieu every listener has it in the end; whether it had it when it was bound is another test.
    (options.into_iter().filter(|line| !line.starts_with("option REUSEPORT")).collect(), protocol.concat())
}

fn without_adieu(arguments: &[&str]) -> (Vec<String>, String) {
    let (place, command) = (Place::new(), command(arguments));
    let mut plain = Command::new(&command[0]);
    plain.args(&command[1..]).env("PORT", place.port().to_string());
    let process = Process::start("plain", &plain, place.directory());
    until("it has said all", || is_over(&process.output()));
    said(&process.output())
}

fn start(front: &[&str], arguments: &[&str]) -> Adieu {
    let command = command(arguments);
    let setup = Setup { name: "it", front, options: SHORT, environment: &[], program: &words(&command) };
    let adieu = Place::new().run(setup);
    until("it has said all", || is_over(&adieu.output()));
    adieu
}

#[test]
fn options_that_were_set_before_bind_are_still_set() {
    let without = c("without");
    let refused = [without.as_str(), "pidfd_getfd", "--"];
    for arguments in [&["set"][..], &["set", "blocking"], &["blocking"], &[]] {
        let (wanted, protocol) = without_adieu(arguments);
        assert_eq!(protocol, TCP);
        assert!(wanted.len() > 10, "{wanted:?}");
        for front in [&[][..], &refused] {
            let adieu = start(front, arguments);
            let (mut got, mut wanted) = (said(&adieu.output()).0, wanted.clone());
            if !front.is_empty() && !arguments.contains(&"set") {
                // It cannot be known, and is set then.
                for options in [&mut got, &mut wanted] {
                    options.retain(|line| !line.contains("NODELAY"));
                }
            }
            assert_eq!(got, wanted, "{front:?} {arguments:?}");
            adieu.stop();
        }
    }
}

#[test]
fn an_mptcp_socket_is_replaced_with_all_its_options() {
    let without = c("without");
    let refused = [without.as_str(), "pidfd_getfd", "--"];
    for arguments in [&["mptcp", "set"][..], &["mptcp"]] {
        assert_eq!(without_adieu(arguments).1, MPTCP, "this machine has no MPTCP");
        let (wanted, _) = without_adieu(&arguments[1..]);
        for front in [&[][..], &refused] {
            let adieu = start(front, arguments);
            let (mut got, protocol) = said(&adieu.output());
            let mut wanted = wanted.clone();
            assert_eq!(protocol, TCP, "{front:?}");
            if !front.is_empty() && !arguments.contains(&"set") {
                for options in [&mut got, &mut wanted] {
                    options.retain(|line| !line.contains("NODELAY"));
                }
            }
            assert_eq!(got, wanted, "{front:?} {arguments:?}");
            adieu.stop();
        }
    }
}

/// As a default container does, beside other things.
#[test]
fn replaced_sockets_lose_nothing_under_load() {
    let _alone = the_machine();
    let without = c("without");
    let refused = [without.as_str(), "pidfd_getfd", "--"];
    let ways: [(&[&str], &[&str]); 3] =
        [(&refused, &["load", "set"]), (&refused, &["load", "mptcp", "set"]), (&[], &["load", "mptcp", "set"])];
    for (front, arguments) in ways {
        let adieu = start(front, arguments);
        let address = SocketAddr::new("::1".parse().expect("an address"), adieu.port().number());
        // No parking there: what is kept is closed by the one that ends.
        let load = Load { path: "/", reloads: 3, kept: 0 };
        let ends = load.during(address, |more| {
            for number in 1..=3 {
                adieu.reload(number);
                more();
            }
        });
        ends.assert_nothing_lost(&adieu);
        assert_eq!(get_at(address, "/").expect("it serves"), "generation 4\n");
        adieu.stop();
    }
}

/// Workers that share their port by themselves: each has to have said so before it binds.
#[test]
fn workers_that_share_a_port_can_be_replaced_under_load() {
    let _alone = the_machine();
    let without = c("without");
    let place = Place::new();
    place.write("workers", "3");
    let command = python("shares.py");
    let front = [without.as_str(), "pidfd_getfd", "--"];
    let setup = Setup { name: "it", front: &front, options: SHORT, environment: &[], program: &words(&command) };
    let mut adieu = place.run(setup);
    adieu.wait_until_it_answers("/");
    until("all workers listen", || super::listens(super::serving_generation(&adieu.status())).len() == 3);
    let load = Load { path: "/", reloads: 2, kept: 0 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    adieu.stop();
}

/// The kernel would go on waiting for the socket that was there before: such a program must be left alone.
#[test]
fn a_socket_that_epoll_waits_for_is_not_replaced() {
    let without = c("without");
    let adieu = start(&[without.as_str(), "pidfd_getfd", "--"], &["load", "polled", "mptcp"]);
    assert_eq!(said(&adieu.output()).1, MPTCP);
    assert!(adieu.output().contains("waits for a socket by epoll before it binds it"), "{}", adieu.output());
    adieu.reload(1);
    let address = SocketAddr::new("::1".parse().expect("an address"), adieu.port().number());
    until("the next one serves", || get_at(address, "/").is_ok_and(|body| body == "generation 2\n"));
    adieu.stop();
}
