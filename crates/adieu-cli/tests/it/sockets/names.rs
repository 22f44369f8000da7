//! Unix sockets whose names the next generation does not bind, and those that are bound when their generation serves already.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};

use super::paths::{ask, start};
use super::{SHORT, python, said, serving_generation, words};
use crate::harness::{Place, Setup};
use crate::init::until;

/// As HAProxy does, which is among the servers of the matrix: a name with the pid in it, and `rename` before `listen`.
#[test]
fn a_name_with_a_pid_is_not_waited_for() {
    let adieu = start(&[], &["--ready-timeout", "20s"], &["moves", "leaves"]);
    let path = adieu.place().path("socket");
    for number in 1..=3 {
        adieu.reload(number);
        assert_eq!(ask(&path, "/").expect("it serves"), format!("generation {}\n", number + 1), "{}", adieu.timeline());
    }
    assert!(adieu.status().notes.is_empty(), "{:?}", adieu.status().notes);
    adieu.stop();
}

/// As Python's multiprocessing does.
#[test]
fn a_name_in_a_directory_of_its_own_is_not_waited_for() {
    let adieu = start(&[], &["--ready-timeout", "20s"], &["private", "leaves"]);
    for number in 1..=2 {
        adieu.reload(number);
    }
    let status = adieu.status();
    let paths = &serving_generation(&status).paths;
    assert!(paths.len() == 1 && paths[0].path.contains("/tmp"), "{status:#?}");
    adieu.stop();
}

/// Where the generation before has nothing but names of its own, one that listens nowhere is not ready all the same.
#[test]
fn names_of_its_own_are_counted() {
    let adieu = start(&[], &["--ready-timeout", "1s"], &["private", "leaves"]);
    let reload = adieu.client(&["reload", "it", "--", "sleep", "20"]);
    assert_eq!(reload.status.code(), Some(7), "{}", said(&reload));
    assert!(said(&reload).contains("it does not listen on unix:"), "{}", said(&reload));
    adieu.stop();
}

/// One that is ready by what it answers elsewhere, and binds its path when new connections go to it already.
#[test]
fn a_path_that_is_bound_late_gets_new_connections() {
    let place = Place::new();
    let (port, path) = (place.port(), place.path("socket"));
    let program = python("paths.py");
    let program = [&words(&program)[..], &["binds", "leaves", "late"]].concat();
    let ready = format!("exec:grep -q :{:04X} /proc/net/tcp", port);
    let options = [SHORT, &["--ready", &ready]].concat();
    let adieu = place.run(Setup { name: "it", front: &[], options: &options, environment: &[], program: &program });
    let come = || {
        let mut woken = None;
        until("somebody listens on the port", || {
            woken = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
            woken.is_some()
        });
        let mut all = Vec::new();
        woken.expect("it has connected").read_to_end(&mut all).expect("it closes");
    };
    let serves = |generation: u64| {
        let answers = || ask(&path, "/").ok() == Some(format!("generation {generation}\n"));
        until("the path is this generation's", answers);
    };
    come();
    serves(1);
    for generation in 2..=3 {
        let reload = adieu.client(&["reload", "it", "--wait", "switched"]);
        assert!(reload.status.success(), "{}", said(&reload));
        come();
        serves(generation);
        until("the one before is gone", || adieu.status().generations.len() == 1);
        serves(generation);
    }
    adieu.stop();
}
