//! The example servers by themselves: a reload is only worth testing with servers that serve and end as they say.

use std::os::unix::process::ExitStatusExt;

use crate::harness::{Port, Process, Server, for_each_server, get, wait_until_it_answers};

/// Starts it, asks it twice, ends it the graceful way.
fn serves_and_ends(server: Server) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let port = Port::claim();
    let mut process = Process::start(server.name, &server.command(port.number(), directory.path()), directory.path());
    let first = wait_until_it_answers(&mut process, port.number(), "/");
    let second = get(port.number(), "/").expect("a server that answered once answers again");
    for body in [first, second] {
        let words: Vec<&str> = body.split_whitespace().collect();
        let [hello, from, name, pid] = words.as_slice() else { panic!("{server:?} answered {body:?}") };
        assert_eq!((*hello, *from, *name), ("hello", "from", server.name));
        assert!(pid.parse::<u32>().is_ok(), "{server:?} answered {body:?}");
    }
    process.signal(server.graceful);
    let status = process.wait();
    let signal = server.graceful.as_raw();
    // Some report a graceful end as the signal they were asked with, as 128+n, or as 0.
    let orderly = status.code() == Some(0) || status.code() == Some(128 + signal) || status.signal() == Some(signal);
    assert!(orderly, "{server:?} ended with {status}:\n{}", process.output());
    assert!(server.finishes || status.signal() == Some(signal), "{server:?} handles {signal} after all: {status}");
}

for_each_server!(serves_and_ends);
