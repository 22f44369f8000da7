//! Readiness probes: they reach the generation that is asked, and no other; and before it is ready, nobody else does.

use std::net::SocketAddr;
use std::thread;

use adieu_core::wire::Status;

use super::{before_program, it_in, python, python_with, serving_generation};
use crate::harness::{Instance, Load, Port, Scene, get_at, the_machine, until};

fn program(address: &str) -> Vec<String> {
    python_with("mixes.py", &[address])
}

/// `ready`: how readiness is found out, for a port.
fn start(ready: impl Fn(u16) -> String, options: &[&str], address: &str) -> Instance {
    let scene = Scene::new();
    scene.write("ready-1", "");
    let ready = ready(scene.port());
    it_in(&scene).options(&["--ready", &ready]).options(options).program(&program(address)).start()
}

fn is_ready(adieu: &Instance) {
    let ready = |status: Status| serving_generation(&status).ready;
    until("the first one is ready", || adieu.status_if_up().is_some_and(ready));
}

/// What a generation has been asked so far, clients' questions aside.
fn probes(adieu: &Instance, generation: u32) -> usize {
    adieu.scene.read(&format!("seen-{generation}")).lines().filter(|path| *path != "/").count()
}

/// From a listener at `old` to one at `new`, under load at `host`. `answers`: the probe says by itself whether it is ready.
fn probing(ready: impl Fn(u16) -> String, old: &str, new: &str, host: &str, answers: bool) {
    let _alone = the_machine();
    let adieu = start(ready, &[], old);
    is_ready(&adieu);
    let host = SocketAddr::new(host.parse().expect("an address"), adieu.port());
    let before = probes(&adieu, 1);
    let program = program(new);
    let load = Load { path: "/", reloads: 1, kept: 8 };
    let ends = load.during(host, |more| {
        thread::scope(|scope| {
            let reload = scope.spawn(|| adieu.replace_by(&program));
            if answers {
                until("it has been asked some times", || probes(&adieu, 2) > 3);
                more();
                let seen = adieu.scene.read("seen-2");
                assert!(seen.lines().all(|path| path == "/ready"), "somebody else has reached it: {seen}");
            }
            adieu.scene.write("ready-2", "");
            reload.join().expect("the reload goes well");
        });
        more();
    });
    ends.assert_nothing_lost(&adieu);
    assert!(probes(&adieu, 2) > 0, "it has never been asked");
    assert_eq!(probes(&adieu, 1), before, "the old one was asked");
    assert_eq!(get_at(host, "/").expect("it is served"), "generation 2\n");
    adieu.end();
}

fn command(host: &str, port: u16) -> String {
    format!("exec:{} {host} {port}", python("asks_ready.py").join(" "))
}

macro_rules! probes {
    ($($test:ident: $ready:expr, $old:literal => $new:literal, $host:literal, $answers:literal;)*) => {$(
        #[test]
        fn $test() {
            probing($ready, $old, $new, $host, $answers);
        }
    )*};
}

probes! {
    http_over_ipv4_under_load: |port| format!("http://127.0.0.1:{port}/ready"), "127.0.0.1" => "127.0.0.1", "127.0.0.1", true;
    http_over_ipv6_under_load: |port| format!("http://[::1]:{port}/ready"), "::1" => "::1", "::1", true;
    http_over_ipv4_to_both_under_load: |port| format!("http://127.0.0.1:{port}/ready"), "::" => "::", "127.0.0.1", true;
    http_beside_ipv4_under_load: |port| format!("http://127.0.0.1:{port}/ready"), "0.0.0.0" => "::", "127.0.0.1", true;
    http_beside_one_address_under_load: |port| format!("http://127.0.0.1:{port}/ready"), "127.0.0.1" => "0.0.0.0",
        "127.0.0.1", true;
    tcp_over_ipv4_under_load: |port| format!("tcp:127.0.0.1:{port}"), "127.0.0.1" => "127.0.0.1", "127.0.0.1", false;
    tcp_over_ipv6_under_load: |port| format!("tcp:[::1]:{port}"), "::1" => "::1", "::1", false;
    a_command_over_ipv4_under_load: |port| command("127.0.0.1", port), "127.0.0.1" => "127.0.0.1", "127.0.0.1", true;
    a_command_over_ipv6_under_load: |port| command("::1", port), "::1" => "::1", "::1", true;
}

/// Time enough to start, to be asked, and to be asked again.
const LATE: &str = "5s";

/// Not ready in time, for a reason that is told; the old one serves on, and is not asked.
fn fails(ready: impl Fn(u16) -> String, old: &str, new: &str, why: &str) {
    let adieu = start(ready, &["--ready-timeout", LATE], old);
    is_ready(&adieu);
    let before = probes(&adieu, 1);
    let told = adieu.fails_to_reload(&before_program(&[], &program(new))).said();
    assert!(told.contains("generation 2 was not ready in time"), "{told}");
    assert!(told.contains(why), "{told}");
    let address = SocketAddr::from(([127, 0, 0, 1], adieu.port()));
    assert_eq!(get_at(address, "/").expect("it serves on"), "generation 1\n");
    assert_eq!(probes(&adieu, 1), before, "the old one was asked");
    adieu.end();
}

#[test]
fn a_probe_that_fails_says_why() {
    let url = |port: u16| format!("http://127.0.0.1:{port}/ready");
    fails(
        url,
        "127.0.0.1",
        "127.0.0.1",
        "was not answered with a status from 200 to 399 (it was answered with status 503)",
    );
    fails(
        url,
        "0.0.0.0",
        "127.0.0.1",
        "(it does not listen before it is ready, as that would take the traffic at once)",
    );
    fails(url, "127.0.0.1", "::1", "(only the one before it can be reached there (127.0.0.1:");
    fails(|port| command("127.0.0.1", port), "127.0.0.1", "127.0.0.1", "(the command ended with an error)");
}

#[test]
fn a_probe_that_reaches_nobody_says_so() {
    let nobody = Port::claim();
    let url = format!("http://127.0.0.1:{}/", nobody.number());
    let mut adieu = start(|_| url.clone(), &["--ready-timeout", LATE], "127.0.0.1");
    adieu.wait_until_it_answers("/");
    let told = adieu.fails_to_reload(&["--wait", "drained"]).said();
    assert!(told.contains("Connection refused"), "{told}");
    assert_eq!(adieu.wait_until_it_answers("/"), "generation 1\n");
    adieu.end();
}

#[test]
fn the_first_one_goes_on_when_it_is_not_ready_in_time_and_that_is_said() {
    let nobody = Port::claim();
    let url = format!("http://127.0.0.1:{}/", nobody.number());
    let mut adieu = start(|_| url.clone(), &["--ready-timeout", LATE], "127.0.0.1");
    let late = format!("generation 1 is not ready after {LATE}, and goes on: ");
    until("it is said", || adieu.output().contains(&late));
    assert!(adieu.output().contains("Connection refused"), "{}", adieu.output());
    assert_eq!(adieu.wait_until_it_answers("/"), "generation 1\n");
    assert_eq!(adieu.output().matches(&late).count(), 1, "{}", adieu.output());
    adieu.end();

    let ready = start(|port| format!("http://127.0.0.1:{port}/ready"), &["--ready-timeout", LATE], "127.0.0.1");
    is_ready(&ready);
    // Its time passes, and nothing is said.
    std::thread::sleep(std::time::Duration::from_millis(5200));
    assert!(!ready.output().contains(&late), "{}", ready.output());
    ready.end();
}
