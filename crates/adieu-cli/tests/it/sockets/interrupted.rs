//! Signals every 10 ms while `bind` and `listen` wait for the supervisor: the calls come back with success.

use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{c, it_in, python, serving_generation};
use crate::harness::{Scene, get, tool, until};

/// How many milliseconds a call took that had success.
fn took(output: &str, call: &str) -> u32 {
    let line = output.lines().find(|line| line.starts_with(&format!("{call}: ")));
    let line = line.unwrap_or_else(|| panic!("no {call} in {output:?}"));
    let took = line.strip_prefix(&format!("{call}: success after ")).and_then(|rest| rest.strip_suffix(" ms"));
    took.unwrap_or_else(|| panic!("{line}")).parse().expect("a number")
}

#[test]
fn a_listen_that_is_held_back_is_not_interrupted() {
    let scene = Scene::new();
    let port = scene.port().to_string();
    scene.write("ready", "");
    let adieu = it_in(&scene).options(&["--ready", "exec:test -e ready"]).env("HOST", "0.0.0.0");
    let adieu = adieu.program(&python("plain.py")).serving();
    until("it is ready", || serving_generation(&adieu.status()).ready);
    std::fs::remove_file(adieu.scene.path("ready")).expect("it is there");
    adieu.scene.write("go", "");
    thread::scope(|scope| {
        // A narrower address than the serving generation's: its `listen` would take the traffic at once, so it waits.
        let reload = scope.spawn(|| {
            let narrower = c("ticks");
            adieu.replace_by(&[&narrower, "127.0.0.1", &port, "go", "interrupt"]);
        });
        until("its listen is held back", || adieu.output().contains("held until it is ready"));
        thread::sleep(Duration::from_millis(400));
        let answer = get(adieu.port(), "/").expect("the old one serves meanwhile");
        assert_eq!(answer, "generation 1\n");
        adieu.scene.write("ready", "");
        reload.join().expect("the reload goes well");
    });
    assert!(took(&adieu.output(), "listen") >= 300, "{}", adieu.output());
    assert_eq!(get(adieu.port(), "/").expect("the new one serves"), "ticks");
    adieu.end();
}

#[test]
fn a_bind_that_the_supervisor_takes_late_is_made_after_all() {
    let scene = Scene::new();
    let program = [&c("ticks"), "127.0.0.1", &scene.port().to_string(), "go", "restart"];
    let mut adieu = it_in(&scene).program(&program).start();
    until("it is about to bind", || adieu.output().contains("binds soon"));
    adieu.signal(Signal::STOP);
    adieu.scene.write("go", "");
    until("signals come while it waits", || adieu.output().matches("tick\n").count() >= 20);
    assert!(!adieu.output().contains("bind: "), "{}", adieu.output());
    adieu.signal(Signal::CONT);
    assert_eq!(adieu.wait_until_it_answers("/"), "ticks");
    took(&adieu.output(), "bind");
    took(&adieu.output(), "listen");
    adieu.end();
}

/// The control: what the kernel does without the flag that adieu asks for.
#[test]
fn without_the_flag_a_call_that_waits_is_interrupted() {
    let notifies = c("notifies");
    assert_eq!(tool(Command::new(&notifies).arg("killable")), "success\n");
    assert_eq!(tool(Command::new(&notifies).arg("plain")), "Interrupted system call\n");
}
