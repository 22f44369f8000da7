//! Where adieu may not duplicate the program's sockets, or cannot steer them, it puts its own in their place: all that the
//! program has set must still be so.

use std::net::SocketAddr;

use super::{it, it_in, listens, python, python_with, serving_generation, without};
use crate::harness::{Instance, Load, Process, Scene, get_at, the_machine, until};

/// The protocol numbers of `socket(2)`.
const TCP: &str = "protocol 6";
const MPTCP: &str = "protocol 262";

/// What stands before `adieu` where it may duplicate the program's sockets, and where it may not.
fn fronts() -> [Vec<String>; 2] {
    [vec![], refused()]
}

fn refused() -> Vec<String> {
    without("pidfd_getfd").to_vec()
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
    let scene = Scene::new();
    let mut plain = scene.command(&python_with("options.py", arguments));
    plain.env("PORT", scene.port().to_string());
    let process = Process::start("plain", &plain, scene.directory());
    until("it has said all", || is_over(&process.output()));
    said(&process.output())
}

fn start(front: &[String], arguments: &[&str]) -> Instance {
    let adieu = it().front(front).program(&python_with("options.py", arguments)).start();
    until("it has said all", || is_over(&adieu.output()));
    adieu
}

/// Whichever way adieu comes by the socket, the program's options are those that it has without adieu.
fn options_are_kept(arguments: &[&str], wanted: &[String]) {
    for front in fronts() {
        let adieu = start(&front, arguments);
        let (mut got, protocol) = said(&adieu.output());
        let mut wanted = wanted.to_vec();
        assert_eq!(protocol, TCP, "{front:?}");
        if !front.is_empty() && !arguments.contains(&"set") {
            // It cannot be known, and is set then.
            for options in [&mut got, &mut wanted] {
                options.retain(|line| !line.contains("NODELAY"));
            }
        }
        assert_eq!(got, wanted, "{front:?} {arguments:?}");
        adieu.end();
    }
}

fn on_ipv6(adieu: &Instance) -> SocketAddr {
    SocketAddr::new("::1".parse().expect("an address"), adieu.port())
}

#[test]
fn options_that_were_set_before_bind_are_still_set() {
    for arguments in [&["set"][..], &["set", "blocking"], &["blocking"], &[]] {
        let (wanted, protocol) = without_adieu(arguments);
        assert_eq!(protocol, TCP);
        assert!(wanted.len() > 10, "{wanted:?}");
        options_are_kept(arguments, &wanted);
    }
}

#[test]
fn an_mptcp_socket_is_replaced_with_all_its_options() {
    for arguments in [&["mptcp", "set"][..], &["mptcp"]] {
        assert_eq!(without_adieu(arguments).1, MPTCP, "this machine has no MPTCP");
        options_are_kept(arguments, &without_adieu(&arguments[1..]).0);
    }
}

/// As a default container does, beside other things.
#[test]
fn replaced_sockets_lose_nothing_under_load() {
    let _alone = the_machine();
    for (front, arguments) in
        [(refused(), &["load", "set"][..]), (refused(), &["load", "mptcp", "set"]), (vec![], &["load", "mptcp", "set"])]
    {
        let adieu = start(&front, arguments);
        let address = on_ipv6(&adieu);
        // No parking there: what is kept is closed by the one that ends.
        let load = Load { path: "/", reloads: 3, kept: 0 };
        load.run_at(address, &adieu).assert_nothing_lost(&adieu);
        assert_eq!(get_at(address, "/").expect("it serves"), "generation 4\n");
        adieu.end();
    }
}

/// Workers that share their port by themselves: each has to have said so before it binds.
#[test]
fn workers_that_share_a_port_can_be_replaced_under_load() {
    let _alone = the_machine();
    let scene = Scene::new();
    scene.write("workers", "3");
    let adieu = it_in(&scene).front(&refused()).program(&python("shares.py")).serving();
    until("all workers listen", || listens(serving_generation(&adieu.status())).len() == 3);
    let load = Load { path: "/", reloads: 2, kept: 0 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    adieu.end();
}

/// The kernel would go on waiting for the socket that was there before: such a program must be left alone.
#[test]
fn a_socket_that_epoll_waits_for_is_not_replaced() {
    let adieu = start(&refused(), &["load", "polled", "mptcp"]);
    assert_eq!(said(&adieu.output()).1, MPTCP);
    assert!(adieu.output().contains("waits for a socket by epoll before it binds it"), "{}", adieu.output());
    adieu.replace();
    let address = on_ipv6(&adieu);
    until("the next one serves", || get_at(address, "/").is_ok_and(|body| body == "generation 2\n"));
    adieu.end();
}
