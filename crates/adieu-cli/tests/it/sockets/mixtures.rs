//! Generations that listen on different addresses of one port: traffic never goes to one that is not ready, and nobody is
//! refused; or it is said that it cannot be.

use std::net::{IpAddr, SocketAddr};
use std::thread;

use adieu_core::switch::Generation;
use adieu_core::wire::Status;
use rustix::process::{Pid, Signal};

use super::{SHORT, before_program, listens, python_with, serving_generation};
use crate::harness::proc::kill;
use crate::harness::{Instance, Load, NEVER, NEVER_AND_MORE, Scene, get_at, the_machine, until};

/// Everything that lets a process do what an ordinary one may not.
const WITHOUT_RIGHTS: &[&str] = &["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--"];

/// Ready when the test says so.
const WHEN_TOLD: &[&str] = &["--ready", "exec:test -e ready-$ADIEU_GENERATION"];

fn program(addresses: &[&str]) -> Vec<String> {
    python_with("mixes.py", addresses)
}

fn start(front: &[&str], options: &[&str], addresses: &[&str]) -> Instance {
    let scene = Scene::new();
    scene.write("ready-1", "");
    let adieu = scene.run().name("it").front(front).options(options).program(&program(addresses)).start();
    let serves = |status: Status| {
        let generation = serving_generation(&status);
        generation.ready && generation.listeners.len() == addresses.len()
    };
    until("the first one is ready", || adieu.status_if_up().is_some_and(serves));
    adieu
}

fn at(adieu: &Instance, host: &str) -> SocketAddr {
    SocketAddr::new(host.parse::<IpAddr>().expect("an address"), adieu.port())
}

/// From `old` to `new` and back, with clients that ask at `host`.
fn mixture(front: &[&str], old: &[&str], new: &[&str], host: &str) {
    let _alone = the_machine();
    let adieu = start(front, &[SHORT, WHEN_TOLD].concat(), old);
    let load = Load { path: "/", reloads: 2, kept: 8 };
    let ends = load.during(at(&adieu, host), |more| {
        for (number, addresses) in [(2, new), (3, old)] {
            let before = format!("generation {}\n", number - 1);
            let program = program(addresses);
            thread::scope(|scope| {
                let reload = scope.spawn(|| adieu.replace_by(&program));
                until("it listens, or waits to", || {
                    let status = adieu.status();
                    let newest = status.generations.last().expect("there are generations");
                    let held = format!("generation {number} listens on");
                    newest.generation.number() == number
                        && (!newest.listeners.is_empty() || adieu.output().contains(&held))
                });
                more();
                for _ in 0..20 {
                    assert_eq!(get_at(at(&adieu, host), "/").expect("it is served"), before, "{}", adieu.timeline());
                }
                adieu.scene.write(&format!("ready-{number}"), "");
                reload.join().expect("the reload goes well");
            });
            more();
            assert_eq!(get_at(at(&adieu, host), "/").expect("it is served"), format!("generation {number}\n"));
            // Nobody asked it before it was ready: the readiness command asks nothing.
            assert!(adieu.scene.read(&format!("seen-{number}")).lines().all(|path| path == "/"));
        }
    });
    ends.assert_nothing_lost(&adieu);
    adieu.end();
}

macro_rules! mixtures {
    ($($test:ident: $old:expr => $new:expr, $host:expr;)*) => {$(
        #[test]
        fn $test() {
            mixture(&[], &$old, &$new, $host);
        }
    )*};
}

mixtures! {
    ipv4_and_both_under_load: ["0.0.0.0"] => ["::"], "127.0.0.1";
    one_address_and_all_of_ipv4_under_load: ["127.0.0.1"] => ["0.0.0.0"], "127.0.0.1";
    one_address_and_both_under_load: ["127.0.0.1"] => ["::"], "127.0.0.1";
    one_ipv6_address_and_both_under_load: ["::1"] => ["::"], "::1";
    a_pair_and_the_same_at_its_ipv6_side_under_load: ["::!", "0.0.0.0"] => ["::!", "0.0.0.0"], "::1";
    a_pair_and_the_same_at_its_ipv4_side_under_load: ["::!", "0.0.0.0"] => ["::!", "0.0.0.0"], "127.0.0.1";
    a_pair_and_both_in_one_under_load: ["::!", "0.0.0.0"] => ["::"], "127.0.0.1";
    one_address_beside_all_under_load: ["0.0.0.0", "127.0.0.1"] => ["0.0.0.0", "127.0.0.1"], "127.0.0.1";
    one_interface_under_load: ["0.0.0.0%lo"] => ["0.0.0.0%lo"], "127.0.0.1";
    one_interface_and_all_under_load: ["0.0.0.0%lo"] => ["0.0.0.0"], "127.0.0.1";
}

/// Where a listener cannot be shown again once it is hidden, the old one keeps the traffic until it has settled.
#[test]
fn without_rights_under_load() {
    mixture(WITHOUT_RIGHTS, &["127.0.0.1"], &["0.0.0.0"], "127.0.0.1");
}

/// A new generation that dies right after the switch gives the traffic back.
#[test]
fn one_that_dies_after_the_switch_hides_nothing_for_ever_under_load() {
    let _alone = the_machine();
    for front in [&[][..], WITHOUT_RIGHTS] {
        let adieu = start(front, &["--settle", NEVER, "--grace", NEVER_AND_MORE], &["127.0.0.1"]);
        let host = at(&adieu, "127.0.0.1");
        let load = Load { path: "/", reloads: 0, kept: 0 };
        let ends = load.during(host, |more| {
            adieu.must_reload(&before_program(&["--wait", "switched"], &program(&["0.0.0.0"])));
            more();
            let newer = serving_generation(&adieu.status()).pid;
            kill(newer.and_then(|pid| Pid::from_raw(pid.number())).expect("a pid"), Signal::KILL);
            until("the old one serves again", || serving_generation(&adieu.status()).generation == Generation::FIRST);
            more();
            assert_eq!(get_at(host, "/").expect("it is served"), "generation 1\n");
        });
        // What the dead one had taken is lost with it; nobody is refused, and nobody hangs.
        assert!(!ends.refused() && !ends.hung(), "{front:?}: {ends:#?}\n{}", adieu.timeline());
        adieu.end();
    }
}

#[test]
fn one_that_listens_on_less_is_not_ready_by_itself() {
    for (old, new, host) in [("0.0.0.0", "127.0.0.1", "127.0.0.1"), ("::", "0.0.0.0", "127.0.0.1")] {
        let adieu = start(&[], &[SHORT, &["--ready-timeout", "5s"]].concat(), &[old]);
        let port = adieu.port();
        let narrower = program(&[new]);
        let told = adieu.fails_to_reload(&before_program(&["--env", "HANDLES=1"], &narrower)).said();
        // Its `listen` returns when it is to end: or its handler would never run.
        until("it is gone", || adieu.status().generations.len() == 1);
        assert!(!adieu.output().contains("killing"), "{}", adieu.output());
        let old = if old == "::" { format!("[::]:{port}") } else { format!("{old}:{port}") };
        let why = format!("it listens on {new}:{port}, the one before it on {old}");
        assert!(told.contains(&why), "{told}");
        assert!(adieu.output().contains("held until it is ready"), "{}", adieu.output());
        assert_eq!(get_at(at(&adieu, host), "/").expect("it serves on"), "generation 1\n");
        assert_eq!(listens(serving_generation(&adieu.status())), [old]);
        adieu.end();
    }
}

/// Told that it is ready, one that listens on less gets what it listens on.
#[test]
fn one_that_listens_on_less_may_be_said_to_be_ready_under_load() {
    for (old, new) in [("0.0.0.0", ["127.0.0.1"]), ("::", ["0.0.0.0"])] {
        mixture(&[], &[old], &new, "127.0.0.1");
    }
}
