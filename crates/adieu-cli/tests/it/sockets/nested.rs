//! Who else wants a seccomp listener: the program itself, or an `adieu run` inside another one.

use std::process::Command;

use super::{c, it, python, serving_generation};
use crate::harness::{ADIEU, Load, get, the_machine, tool, until};

#[test]
fn a_program_with_a_listener_of_its_own_is_told_what_to_do() {
    let (own_filter, plain) = (c("own_filter"), python("plain.py"));
    let run = || it().program(&[&own_filter]).arguments(&plain);
    let adieu = run().serving();
    let output = adieu.output();
    assert!(output.contains("own listener: Device or resource busy"), "{output}");
    assert!(output.contains("wants a seccomp listener of its own and gets EBUSY: start it with --sockets pass or off"));
    adieu.replace();
    assert_eq!(get(adieu.port(), "/").expect("it serves"), "generation 2\n");
    adieu.end();

    // As told.
    for sockets in ["pass", "off"] {
        let adieu = run().options(&["--sockets", sockets]).serving();
        let output = adieu.output();
        assert!(output.contains("own listener: success") && !output.contains("adieu:"), "{sockets}: {output}");
        adieu.end();
    }
    // And without adieu.
    assert_eq!(tool(&mut Command::new(&own_filter)), "own listener: success\n");
}

#[test]
fn an_inner_supervisor_falls_back_and_says_so_under_load() {
    let _alone = the_machine();
    let plain = python("plain.py");
    for (sockets, says) in [("auto", true), ("off", false)] {
        let inner = [ADIEU, "run", "--sockets", sockets, "--grace", "5s", "--"];
        let adieu = it().program(&inner).arguments(&plain).serving();
        let fallen_back = "another seccomp listener is there already, as under an outer `adieu run`";
        assert_eq!(adieu.output().contains(fallen_back), says, "{sockets}: {}", adieu.output());
        let load = Load { path: "/", reloads: 2, kept: 8 };
        load.run(&adieu).assert_nothing_lost(&adieu);
        adieu.end();
    }
}

/// The inner one cannot let two generations overlap, as it does not see their sockets; the outer one sees them, and keeps
/// the clients waiting meanwhile.
#[test]
fn a_reload_of_the_inner_supervisor_refuses_nobody() {
    let inner = [ADIEU, "run", "--drain-timeout", "1s", "--"];
    let adieu = it().program(&inner).arguments(&python("plain.py")).serving();
    let port = adieu.port();
    assert_eq!(get(port, "/").expect("it serves"), "generation 1\n");
    std::thread::scope(|scope| {
        let reload = scope.spawn(|| adieu.begin(&["reload", "python3", "--wait", "drained"]).end());
        while !reload.is_finished() {
            if let Err(error) = get(port, "/") {
                assert_ne!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{}", adieu.output());
            }
        }
        let reload = reload.join().expect("the command runs");
        assert!(reload.is_fine(), "{reload:?}\n{}", adieu.output());
    });
    assert_eq!(get(port, "/").expect("it serves"), "generation 2\n");
    assert!(adieu.output().contains("without its sockets in sight the old generation ends before the new one starts"));
    let status = adieu.status();
    assert_eq!(serving_generation(&status).listeners.len(), 1, "{status:#?}");
    until("the outer one reloads, too", || adieu.reload(&[]).is_fine());
    adieu.end();
}
