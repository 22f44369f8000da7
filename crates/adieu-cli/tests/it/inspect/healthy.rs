//! Ordinary services in good health: nothing alarming is said of them or of any process below them.

use std::collections::HashSet;

use rustix::process::Pid;

use super::case::{self, Case, Running};
use super::stubborn::check_all;
use crate::harness::proc::command_line;
use crate::harness::until;

#[test]
fn nothing_alarming_is_said_of_ordinary_services() {
    let all = case::all("healthy");
    assert!(all.len() >= 20, "{} services", all.len());
    check_all(all, healthy);
}

fn healthy(case: &Case) {
    let running = case.start();
    until(&format!("{} listens", case.name), || {
        std::net::TcpStream::connect(("127.0.0.1", running.scene.port())).is_ok()
    });
    // Somebody is connected and says nothing.
    let _client = std::net::TcpStream::connect(("127.0.0.1", running.scene.port())).expect("it listens");
    until(&format!("{} has its {} processes", case.name, case.below), || running.below_target().len() >= case.below);
    let mut seen = HashSet::new();
    // Some start their parts after they have opened the port: whoever has come meanwhile is asked about as well.
    while let Some(pid) = all(&running).into_iter().find(|pid| !seen.contains(pid)) {
        let (findings, alarming) = running.doctor(pid);
        assert!(!alarming, "{}: {}: {findings:#?}", case.name, command_line(pid));
        seen.insert(pid);
    }
}

fn all(running: &Running<'_>) -> Vec<Pid> {
    running.below_target().into_iter().map(|(pid, _)| pid).chain([running.target]).collect()
}
