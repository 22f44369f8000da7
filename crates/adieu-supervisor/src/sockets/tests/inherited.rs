//! Our own LISTEN_FDS, as a process of its own is started with them.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use crate::sockets::Inherited;
use crate::testing::start_alone;

/// This very test, in a process that has a listener as descriptors 3 and 4: what it says it has found.
fn found_by_a_child(pid: &str, count: &str) -> String {
    let own = std::thread::current().name().expect("libtest names its threads").to_owned();
    let start = format!("exec 3<&0 4<&0; LISTEN_PID={pid} exec \"$0\" --exact {own} --nocapture");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut command = Command::new("sh");
    command.args(["-c", &start]).arg(std::env::current_exe().expect("it runs"));
    command.env("LISTEN_FDS", count).env("LISTEN_FDNAMES", ":web");
    command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::piped());
    let child = start_alone(|| command.spawn()).expect("sh is there");
    let output = child.wait_with_output().expect("it ends");
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    output.split_once("found ").and_then(|(_, rest)| rest.lines().next()).unwrap_or(&output).to_owned()
}

#[test]
fn descriptors_are_taken_by_the_process_that_they_are_meant_for() {
    let inherited = Inherited::from_environment();
    if std::env::var_os("LISTEN_FDS").is_some() {
        let names: Vec<String> = (0..3).map(|at| inherited.name(at)).collect();
        println!("found {} {}", inherited.sockets.len(), names.join(" "));
        return;
    }
    assert!(inherited.sockets.is_empty());
    assert_eq!(found_by_a_child("$$", "2"), "2 unknown web unknown");
    assert_eq!(found_by_a_child("$$", "1"), "1 unknown web unknown");
    assert_eq!(found_by_a_child("1", "2"), "0 unknown web unknown");
}
