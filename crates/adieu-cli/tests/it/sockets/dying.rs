//! A program that dies while a duplicate of its listener is held.

use std::thread;

use rustix::process::Signal;

use super::{it, python};
use crate::harness::{NEVER, get, until};

#[test]
fn after_a_crash_clients_are_refused_at_once() {
    let adieu = it().options(&["--grace", NEVER]).program(&python("dies.py")).serving();
    let port = adieu.port();
    assert!(get(port, "/die").is_err());
    // What is left of its tree takes its time, but nobody holds the listener any more.
    until("the listener is gone", || get(port, "/").is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused));
    assert_eq!(adieu.status().generations.len(), 1, "the tree was expected to be there still");
}

/// Without adieu a program that closes its listener and finishes what it has refuses others at once: so it must be with.
#[test]
fn what_a_stopping_program_has_closed_refuses_at_once() {
    let mut adieu = it().program(&python("closes.py")).serving();
    let port = adieu.port();
    adieu.signal(Signal::TERM);
    until("it has closed its listener", || adieu.output().contains("closed"));
    assert_eq!(get(port, "/").expect_err("nobody listens").kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(!adieu.has_ended(), "it was expected to take its time");
    assert_eq!(adieu.wait(), 0, "{}", adieu.output());
}

#[test]
fn with_restart_clients_wait_and_are_served() {
    let options = ["--grace", "300ms", "--restart", "on-failure"];
    let adieu = it().options(&options).program(&python("dies.py")).serving();
    let port = adieu.port();
    for life in 2..5 {
        assert!(get(port, "/die").is_err());
        let answers: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| get(port, "/"))).collect();
            clients.into_iter().map(|client| client.join().expect("no client panics")).collect()
        });
        for answer in answers {
            let answer = answer.unwrap_or_else(|error| panic!("life {life}: {error}\n{}", adieu.timeline()));
            assert_eq!(answer, format!("generation {life}\n"));
        }
    }
    adieu.end();
}
