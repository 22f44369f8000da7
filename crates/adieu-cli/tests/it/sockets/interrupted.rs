//! Signals every 10 ms while `bind` and `listen` wait for the supervisor: the calls come back with success.

use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{SHORT, c, python, serving_generation, words};
use crate::harness::build::tool;
use crate::harness::{Place, Setup, get};
use crate::init::until;

/// How many milliseconds a call took that had success.
fn took(output: &str, call: &str) -> u32 {
    let line = output.lines().find(|line| line.starts_with(&format!("{call}: ")));
    let line = line.unwrap_or_else(|| panic!("no {call} in {output:?}"));
    let took = line.strip_prefix(&format!("{call}: success after ")).and_then(|rest| rest.strip_suffix(" ms"));
    took.unwrap_or_else(|| panic!("{line}")).parse().expect("a number")
}

#[test]
fn a_listen_that_is_held_back_is_not_interrupted() {
    let place = Place::new();
    let port = place.port().to_string();
    let command = python("plain.py");
    place.write("ready", "");
    let mut adieu = place.run(Setup {
        name: "it",
        front: &[],
        options: &[SHORT, &["--ready", "exec:test -e ready"]].concat(),
        environment: &[("HOST", "0.0.0.0")],
        program: &words(&command),
    });
    adieu.wait_until_it_answers("/");
    until("it is ready", || serving_generation(&adieu.status()).ready);
    std::fs::remove_file(adieu.place().path("ready")).expect("it is there");
    adieu.place().write("go", "");
    thread::scope(|scope| {
        // A narrower address than the serving generation's: its `listen` would take the traffic at once, so it waits.
        let reload = scope.spawn(|| {
            let narrower = c("ticks");
            let words = ["reload", "it", "--wait", "drained", "--", &narrower, "127.0.0.1", &port, "go", "interrupt"];
            adieu.client(&words)
        });
        until("its listen is held back", || adieu.output().contains("held until it is ready"));
        thread::sleep(Duration::from_millis(400));
        let answer = get(adieu.port().number(), "/").expect("the old one serves meanwhile");
        assert_eq!(answer, "generation 1\n");
        adieu.place().write("ready", "");
        let reload = reload.join().expect("the command runs");
        assert!(reload.status.success(), "{}\n{}", super::said(&reload), adieu.timeline());
    });
    assert!(took(&adieu.output(), "listen") >= 300, "{}", adieu.output());
    assert_eq!(get(adieu.port().number(), "/").expect("the new one serves"), "ticks");
    adieu.stop();
}

#[test]
fn a_bind_that_the_supervisor_takes_late_is_made_after_all() {
    let place = Place::new();
    let port = place.port().to_string();
    let command = [c("ticks"), "127.0.0.1".to_owned(), port, "go".to_owned(), "restart".to_owned()];
    let setup = Setup { name: "it", front: &[], options: SHORT, environment: &[], program: &words(&command) };
    let mut adieu = place.run(setup);
    until("it is about to bind", || adieu.output().contains("binds soon"));
    adieu.signal(Signal::STOP);
    adieu.place().write("go", "");
    thread::sleep(Duration::from_millis(400));
    assert!(!adieu.output().contains("bind: "), "{}", adieu.output());
    adieu.signal(Signal::CONT);
    assert_eq!(adieu.wait_until_it_answers("/"), "ticks");
    assert!(took(&adieu.output(), "bind") >= 300, "{}", adieu.output());
    took(&adieu.output(), "listen");
    adieu.stop();
}

/// The control: what the kernel does without the flag that adieu asks for.
#[test]
fn without_the_flag_a_call_that_waits_is_interrupted() {
    let notifies = c("notifies");
    assert_eq!(tool(Command::new(&notifies).arg("killable")), "success\n");
    assert_eq!(tool(Command::new(&notifies).arg("plain")), "Interrupted system call\n");
}
