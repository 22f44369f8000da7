//! Unix sockets whose names the next generation does not bind, and those that are bound when their generation serves already.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};

use super::paths::start;
use super::{it_in, python_with, serving_generation};
use crate::harness::unix::ask;
use crate::harness::{NEVER, Scene, come, until};

/// As HAProxy does, which is among the servers of the matrix: a name with the pid in it, and `rename` before `listen`.
#[test]
fn a_name_with_a_pid_is_not_waited_for() {
    let adieu = start(&[], &["--ready-timeout", NEVER], &["moves", "leaves"]);
    let path = adieu.scene.path("socket");
    for number in 1..=3 {
        adieu.replace();
        assert_eq!(ask(&path, "/").expect("it serves"), format!("generation {}\n", number + 1), "{}", adieu.timeline());
    }
    assert!(adieu.status().notes.is_empty(), "{:?}", adieu.status().notes);
    adieu.end();
}

/// As Python's multiprocessing does.
#[test]
fn a_name_in_a_directory_of_its_own_is_not_waited_for() {
    let adieu = start(&[], &["--ready-timeout", NEVER], &["private", "leaves"]);
    for _ in 1..=2 {
        adieu.replace();
    }
    let status = adieu.status();
    let paths = &serving_generation(&status).paths;
    assert!(paths.len() == 1 && paths[0].path.contains("/tmp"), "{status:#?}");
    adieu.end();
}

/// Where the generation before has nothing but names of its own, one that listens nowhere is not ready all the same.
#[test]
fn names_of_its_own_are_counted() {
    let adieu = start(&[], &["--ready-timeout", "1s"], &["private", "leaves"]);
    let told = adieu.fails_to_reload(&["--", "sleep", "20"]).said();
    assert!(told.contains("it does not listen on unix:"), "{told}");
    adieu.end();
}

/// One that is ready by what it answers elsewhere, and binds its path when new connections go to it already.
#[test]
fn a_path_that_is_bound_late_gets_new_connections() {
    let scene = Scene::new();
    let (port, path) = (scene.port(), scene.path("socket"));
    let program = python_with("paths.py", &["binds", "leaves", "late"]);
    let ready = format!("exec:grep -q :{:04X} /proc/net/tcp", port);
    let adieu = it_in(&scene).options(&["--ready", &ready]).program(&program).start();
    let come = || {
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
        let mut woken = come("somebody listens on the port", connect);
        woken.read_to_end(&mut Vec::new()).expect("it closes");
    };
    let serves = |generation: u64| {
        let answers = || ask(&path, "/").ok() == Some(format!("generation {generation}\n"));
        until("the path is this generation's", answers);
    };
    come();
    serves(1);
    for generation in 2..=3 {
        adieu.must_reload(&["--wait", "switched"]);
        come();
        serves(generation);
        until("the one before is gone", || adieu.status().generations.len() == 1);
        serves(generation);
    }
    adieu.end();
}
