//! Under load: when it ends the wait does, and not before.

use std::time::SystemTime;

use serde_json::Value;

use super::{HOST, HOST6, LOAD, PROBER, SLOW, UNPRIVILEGED, Waited, Wire, longest_pause, times};
use crate::harness::{PYTHON, count, the_machine, until};

/// What a wait may be later than the traffic's end asks for: two looks, and what a machine adds that also runs the clients
/// and this test.
const LATE: f64 = 0.7;
/// A look is many steps, each of which can be as late as the machine is.
const STEPS: f64 = 20.0;

/// It ended when it might, by its own clock and as this machine allowed.
fn ended_in_time(waited: &Waited, quiet_for: f64, min: f64) {
    let (late, allowed) = (waited.late(quiet_for, min), LATE + STEPS * waited.machine_late);
    assert!((0.0..=allowed).contains(&late), "{late:.3} s late, of {allowed:.3} s allowed: {waited:#?}");
}

/// Of a client that asks every `period` seconds: by how much it missed that. A probe that is not regular is none.
fn irregular(requests: &[f64], period: f64) -> f64 {
    requests.windows(2).map(|pair| (pair[1] - pair[0] - period).abs()).fold(0.0, f64::max)
}

fn random() -> f64 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").subsec_nanos();
    f64::from(nanos % 1000) / 1000.0
}

/// The load ends at a random moment; a probe goes on every 2 s and a slow client every 7 s, and so do kept connections,
/// silently.
#[test]
fn the_wait_ends_when_the_traffic_has_ended_under_load() {
    let _alone = the_machine();
    let (mut judged, rounds) = (0, count(2, 20));
    for round in 0..2 * rounds {
        if judged == rounds {
            break;
        }
        let wire = Wire::new();
        let side = round % 2;
        let length = 7.0 + 4.0 * random();
        let probe = wire.clients("probe", HOST, PROBER, "probe", "2");
        let slow = wire.clients("slow", HOST, SLOW, "probe", "7");
        let load = wire.clients("load", [HOST, HOST6][side], LOAD[side], "load", &length.to_string());
        until("there is load", || load.output().contains("loading"));
        let waited = wire.prestop(&UNPRIVILEGED, &[]);
        let last = *times(&load, "last ").first().unwrap_or_else(|| panic!("the load goes on: {waited:#?}"));
        let requests = times(&slow, "request ");
        let due = due(last, &requests, waited.began, 3.0, 5.0);
        let after = waited.ended - due;
        println!("load of {length:.3} s: {after:.3} s after what is due; {}", waited.summary());
        assert!(after >= 0.0, "{after:.3} s too early (slow: {requests:?}, load until {last}): {waited:#?}");
        let missed = irregular(&times(&probe, "request "), 2.0);
        if missed > 0.1 {
            println!("the probe itself was {missed:.3} s late, and so not to be told from a client: once more");
            continue;
        }
        judged += 1;
        ended_in_time(&waited, 3.0, 5.0);
        let summary = waited.summary();
        // What it waited for were those that count, and not the probe.
        let last_peer = &summary["last_peer"];
        assert!(last_peer == LOAD[side] || last_peer == SLOW, "{waited:#?}");
        assert_eq!(waited.code, 0, "{waited:#?}");
        let probed = |probe: &Value| probe[0] == PROBER && (1.9..2.1).contains(&probe[2].as_f64().unwrap_or(0.0));
        assert!(summary["probes"].as_array().is_some_and(|probes| probes.iter().any(probed)), "{waited:#?}");
        assert_eq!(waited.sight(), "netlink");
        assert!(summary["open"].as_u64() >= Some(4), "the kept connections are still there: {waited:#?}");
        assert!(!times(&probe, "request ").is_empty());
    }
}

/// The first moment at which nobody has sent for `quiet` seconds and `min` have passed.
fn due(last: f64, slow: &[f64], began: f64, quiet: f64, min: f64) -> f64 {
    let mut last = last;
    for request in slow {
        if (last..last + quiet).contains(request) || *request < began + min && *request > last {
            last = *request;
        }
    }
    (last + quiet).max(began + min)
}

#[test]
fn traffic_that_never_stops_ends_at_the_budget_under_load() {
    let _alone = the_machine();
    let wire = Wire::new();
    let load = wire.clients("load", HOST, LOAD[0], "load", "600");
    until("there is load", || load.output().contains("loading"));
    let waited = wire.prestop(&[], &["--budget", "8s"]);
    assert!((8.0..8.0 + LATE + STEPS * waited.machine_late).contains(&waited.at()), "{waited:#?}");
    assert_eq!((waited.code, &waited.summary()["verdict"]), (4, &"budget-spent".into()), "{waited:#?}");
    assert!(waited.summary()["connections"].as_u64() > Some(100), "{waited:#?}");
    // Without it, and with nobody else, the minimum is enough.
    drop(load);
    let calm = wire.prestop(&[], &["--budget", "50s", "--quiet-for", "1s", "--min", "2s"]);
    assert_eq!(calm.code, 0, "{calm:#?}");
    ended_in_time(&calm, 1.0, 2.0);
}

/// Netlink refused: the tables of /proc, which do not tell what was received.
#[test]
fn without_netlink_the_wait_is_never_shorter_under_load() {
    let _alone = the_machine();
    let wire = Wire::new();
    let without = super::program("without_netlink.py");
    let front = [PYTHON, &without];
    let options = |budget| ["--quiet-for", "1s", "--min", "2s", "--budget", budget];
    let nobody = wire.prestop(&front, &options("50s"));
    assert_eq!((nobody.sight(), nobody.code), ("tables", 0), "{nobody:#?}");
    ended_in_time(&nobody, 1.0, 2.0);
    let load = wire.clients("load", HOST, LOAD[0], "load", "4");
    until("there is load", || load.output().contains("loading"));
    let some = wire.prestop(&front, &options("50s"));
    let last = times(&load, "last ");
    assert!(some.code == 0 && last.first().is_some_and(|last| some.ended >= last + 1.0), "{last:?} {some:#?}");
    ended_in_time(&some, 1.0, 2.0);
    // Short connections alone, which no table shows: they are counted.
    let probe = wire.clients("probe", HOST, PROBER, "probe", "0.4");
    until("it has asked", || !times(&probe, "request ").is_empty());
    let counted = wire.prestop(&front, &options("9s"));
    assert!(counted.is_spent() || longest_pause(&probe, &counted) > 1.0, "{counted:#?}");
}
