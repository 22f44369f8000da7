//! Two programs on one port: the second one gets EADDRINUSE, as without adieu, and the first is not disturbed.

use std::net::SocketAddr;

use rustix::process::Signal;

use super::{SHORT, it, it_in, python, python_with};
use crate::harness::{Instance, Load, Process, Scene, get, the_machine, until, wait_until_it_answers};

/// A second `adieu run` for a program that wants the port of `first`.
fn second(first: &Instance) -> Instance {
    let second = Scene::new().run().name("second").options(SHORT).env("PORT", &first.port().to_string());
    second.program(&python("plain.py")).start()
}

/// A program without adieu that wants the port of `first`: its exit code and what it said.
fn foreign(first: &Instance) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut process = Process::start("foreign", &plain(first, &[]), directory.path());
    (process.wait().code(), process.output())
}

fn plain(first: &Instance, arguments: &[&str]) -> std::process::Command {
    let command = python("plain.py");
    let mut plain = std::process::Command::new(&command[0]);
    plain.args(&command[1..]).args(arguments).env("PORT", first.port().to_string());
    plain
}

#[test]
fn a_second_supervisor_and_a_foreign_program_get_eaddrinuse_under_load() {
    let _alone = the_machine();
    let adieu = it().program(&python("plain.py")).serving();
    let address = SocketAddr::from(([127, 0, 0, 1], adieu.port()));
    // Also after a reload: then the sockets of two generations have shared the port.
    let ends = Load { path: "/", reloads: 1, kept: 8 }.during(address, |more| {
        for round in 0..2 {
            let mut second = second(&adieu);
            assert_eq!(second.wait(), 98, "round {round}: {}", second.output());
            assert!(second.output().contains("cannot listen: EADDRINUSE"), "round {round}: {}", second.output());
            assert_eq!(foreign(&adieu), (Some(98), "cannot listen: EADDRINUSE\n".to_owned()), "round {round}");
            if round == 0 {
                adieu.replace();
            }
            more();
        }
    });
    ends.assert_nothing_lost(&adieu);
    let generations: Vec<&str> = ends.bodies().collect();
    assert_eq!(generations, ["generation 1\n", "generation 2\n"]);
    adieu.end();
}

#[test]
fn a_program_gets_eaddrinuse_where_a_foreign_one_listens() {
    let scene = Scene::new();
    let command = python("plain.py");
    let mut plain = std::process::Command::new(&command[0]);
    plain.args(&command[1..]).env("PORT", scene.port().to_string());
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut foreign = Process::start("foreign", &plain, directory.path());
    let port = scene.port();
    wait_until_it_answers(&mut foreign, port, "/");
    let mut adieu = it_in(&scene).program(&command).start();
    assert_eq!(adieu.wait(), 98, "{}", adieu.output());
    assert!(adieu.output().contains("cannot listen: EADDRINUSE"), "{}", adieu.output());
    assert_eq!(get(port, "/").expect("the foreign one is not disturbed"), "generation 0\n");
}

/// The kernel lets programs of one user share an address if both ask for it, and ours asks for the sake of reloads. So a
/// foreign one gets in; it must not get anything, nor confuse what follows.
#[test]
fn a_foreign_program_that_asks_to_share_is_told_of_and_gets_nothing_under_load() {
    let _alone = the_machine();
    let adieu = it().program(&python("plain.py")).serving();
    let address = SocketAddr::from(([127, 0, 0, 1], adieu.port()));
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut foreign = Process::start("foreign", &plain(&adieu, &["reuseport"]), directory.path());
    until("the foreign one serves", || foreign.output().contains("serves"));
    let ends = Load { path: "/", reloads: 3, kept: 8 }.during(address, |more| {
        for _ in 1..=3 {
            adieu.replace();
            more();
        }
        foreign.signal(Signal::TERM);
        foreign.wait();
        adieu.replace();
    });
    ends.assert_nothing_lost(&adieu);
    let generations: Vec<&str> = ends.bodies().collect();
    let expected: Vec<String> = (1..=5).map(|number| format!("generation {number}\n")).collect();
    assert_eq!(generations, expected);
    let notes = adieu.status().notes;
    assert!(notes.iter().any(|note| note.contains("another program of this user listens on")), "{notes:?}");
    adieu.end();
}

#[test]
fn a_program_that_asks_to_share_with_a_foreign_one_does() {
    let scene = Scene::new();
    let command = python_with("plain.py", &["reuseport"]);
    let mut plain = std::process::Command::new(&command[0]);
    plain.args(&command[1..]).env("PORT", scene.port().to_string());
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let port = scene.port();
    let mut foreign = Process::start("foreign", &plain, directory.path());
    wait_until_it_answers(&mut foreign, port, "/");
    let adieu = it_in(&scene).program(&command).start();
    until("it serves", || adieu.output().contains("serves"));
    // The kernel shares the connections out, as it does without adieu.
    for wanted in ["generation 0\n", "generation 1\n"] {
        until(wanted, || get(port, "/").is_ok_and(|body| body == wanted));
    }
    let notes = adieu.status().notes;
    assert!(notes.iter().any(|note| note.contains("asks to share it")), "{notes:?}");
    adieu.end();
}
