//! What `adieu status` and `adieu timeline` say while things happen, and that it is so.

use adieu_core::restart::Restart;
use adieu_core::switch::Policy;
use adieu_core::timeline::{Entry, Record, replay};
use serde_json::Value;
use std::time::{Duration, Instant};

use super::{GOOD, server, service, slow_request};
use crate::harness::proc::kill_for_good;
use crate::harness::{Begun, Instance, NEVER, NEVER_AND_MORE, PYTHON, until};

impl Instance {
    fn status_text(&self) -> String {
        self.begin(&["status", self.name()]).end().out
    }

    /// The recorded entries, oldest first.
    fn entries(&self) -> Vec<Entry> {
        let text = self.begin(&["timeline", self.name(), "--json"]).end().out;
        let entry = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        text.lines().map(entry).collect()
    }
}

fn at_work(service: &Instance, generation: u64, connections: u64) {
    let owed = || service.generation(generation).map(|generation| generation["connections"]["owed"].clone());
    until("the requests are under way", || owed() == Some(connections.into()));
}

#[test]
fn the_status_of_one_that_serves() {
    let script = "sleep 1000 & exec \"$@\"";
    let began = Instant::now();
    let service = service().program(&["sh", "-c", script, "sh", PYTHON, &server()]).serving();
    let _slow: Vec<_> = (0..3).map(|_| slow_request(&service)).collect();
    at_work(&service, 1, 3);
    let status = service.status_json();
    let generation = &status["generations"][0];
    assert_eq!(
        (&status["name"], &status["sockets"], &status["notes"]),
        (&"s".into(), &"auto".into(), &Value::Array(vec![]))
    );
    assert_eq!(status["pid"], service.pid.as_raw_nonzero().get());
    assert_eq!((&generation["phase"], &generation["ready"]), (&"serving".into(), &true.into()));
    // The main process and its child, and not the keeper.
    assert_eq!(generation["pid"], service.find("server.py").as_raw_nonzero().get());
    assert_eq!(generation["pids"].as_array().map(Vec::len), Some(2), "{generation}");
    let address = format!("127.0.0.1:{}", service.port());
    let listener = &generation["listeners"][0];
    assert_eq!((&listener["endpoint"]["address"], &listener["target"]), (&address.clone().into(), &true.into()));
    let (since, all) = (generation["uptime"].as_f64(), status["uptime"].as_f64());
    assert!(since > Some(0.0) && since <= all && all <= Some(began.elapsed().as_secs_f64()), "{status}");
    let text = service.status_text();
    for part in [
        &format!("s  (adieu pid {}, up ", service.pid),
        "generation 1  serving, pid ",
        ", 2 processes, for ",
        &format!("{address}  new connections come here, 0 waiting to be accepted"),
        "connections: 3 owed an answer, 0 perhaps, 0 quiet",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    service.end();
}

#[test]
fn the_status_of_one_that_starts() {
    let service = service().serving();
    let _reload = service.begin_reload(&["--env", "FAULT=never"]);
    service.wait_for_phase(2, "starting");
    until("it has begun", || service.generation(2).is_some_and(|it| it["pid"] != 0));
    let newcomer = service.generation(2).expect("it is there");
    assert_eq!((&newcomer["ready"], &newcomer["listeners"]), (&false.into(), &Value::Array(vec![])));
    assert_eq!(service.generation(1).expect("it is there")["phase"], "serving");
    let text = service.status_text();
    assert!(text.contains("generation 2  starting, not ready, pid "), "{text}");
    service.end();
}

#[test]
fn the_status_of_one_that_settles_and_of_connections_that_wait() {
    let options = ["--settle", NEVER, "--grace", NEVER_AND_MORE, "--drain-quiet", NEVER];
    let service = service().options(&options).serving();
    let _slow = slow_request(&service);
    at_work(&service, 1, 1);
    service.must_reload(&["--wait", "switched", "--env", "FAULT=deaf"]);
    let _waiting: Vec<_> = (0..2).map(|_| slow_request(&service)).collect();
    until("they wait", || service.generation(2).is_some_and(|it| it["listeners"][0]["queue"] == 2));
    let (old, new) = (service.generation(1).expect("it is there"), service.generation(2).expect("it is there"));
    assert_eq!((&old["phase"], &old["listeners"][0]["target"]), (&"settling".into(), &false.into()));
    assert_eq!((&new["phase"], &new["listeners"][0]["target"]), (&"serving".into(), &true.into()));
    assert_eq!((&old["connections"]["owed"], &new["connections"]["owed"]), (&1.into(), &0.into()));
    let text = service.status_text();
    for part in ["generation 1  settling, pid ", "  no new connections, 0 waiting", "come here, 2 waiting"] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    service.end();
}

#[test]
fn the_status_of_one_that_drains_and_of_one_that_ends() {
    let hook = ["--pre-stop", "until test -e go; do sleep 0.02; done"];
    let drain = ["--drain-timeout", NEVER, "--drain-quiet", NEVER, "--grace", NEVER_AND_MORE];
    let service = service().options(&drain).options(&hook).serving();
    let slow = slow_request(&service);
    at_work(&service, 1, 1);
    service.must_reload(&[]);
    let old = service.generation(1).expect("it is there");
    assert_eq!((&old["phase"], &old["connections"]["owed"]), (&"draining".into(), &1.into()));
    assert!(service.status_text().contains("generation 1  draining, pid "), "{}", service.status_text());
    drop(slow);
    kill_for_good(service.main(1));
    until("the old one is gone", || service.generation(1).is_none());
    let mut service = service;
    let mut stop = service.begin(&["stop", "s"]);
    service.wait_for_phase(2, "ending");
    assert!(service.status_text().contains("generation 2  ending, pid "), "{}", service.status_text());
    assert!(!stop.is_over());
    service.scene.write("go", "");
    service.wait();
    stop.end();
}

/// The inputs of a real run, with all that goes wrong in it, bring about the same outputs in a fresh machine.
#[test]
fn a_real_timeline_replays() {
    let service = service().options(&["--ready-timeout", GOOD, "--restart", "on-failure"]).serving();
    service.must_reload(&["--wait", "drained"]);
    for fault in ["FAULT=exit:3", "FAULT=never"] {
        assert_eq!(service.reload(&["--env", fault]).code, 7);
    }
    let _slow = slow_request(&service);
    let reload = service.begin_reload(&["--wait", "drained"]);
    until("it serves", || service.generation(5).is_some_and(|it| it["phase"] == "serving"));
    kill_for_good(service.main(5));
    assert_eq!(reload.end().code, 7);
    kill_for_good(service.main(2));
    until("it is started again", || service.generation(6).is_some_and(|it| it["ready"] == true));
    let reloads: Vec<_> = (0..3).map(|_| service.begin_reload(&[])).collect();
    assert!(reloads.into_iter().map(Begun::end).all(|told| told.code == 0));
    let entries = service.entries();
    let outputs: Vec<_> = entries
        .iter()
        .filter_map(|entry| if let Record::Output(action) = entry.what { Some(action) } else { None })
        .collect();
    let policy = Policy {
        grace: Duration::from_secs(10),
        drain_timeout: Duration::from_secs(5),
        settle: Duration::from_millis(200),
        linger: Duration::ZERO,
        ready_timeout: Duration::from_secs(5),
        overlap: true,
        restart: Restart::OnFailure,
        pre_stop: false,
    };
    assert!(outputs.len() > 50, "{}", outputs.len());
    assert_eq!(replay(policy.clone(), &entries), outputs);
    // Another policy would have done something else: the comparison can fail.
    assert_ne!(replay(Policy { settle: Duration::from_secs(60), ..policy }, &entries), outputs);
    service.end();
}
