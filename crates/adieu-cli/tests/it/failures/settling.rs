//! A new generation that dies right after the switch: the one before takes over again, and what was lost with the dead one
//! is counted.

use std::thread;

use rustix::process::{Pid, Signal};

use super::service;
use crate::harness::crowd::{CLIENTS, Crowd, Ends};
use crate::harness::proc::{kill, kill_for_good, state};
use crate::harness::{Begun, Instance, NEVER, NEVER_AND_MORE, Told, get, until};

/// A test does what it wants while a generation settles.
const LONG: &[&str] = &["--settle", NEVER, "--grace", NEVER_AND_MORE];

/// The newcomer is serving, the one before settles.
fn switched(service: &Instance, words: &[&str]) -> (Begun, Pid) {
    let reload = service.begin_reload(words);
    service.wait_for_phase(1, "settling");
    (reload, service.main(2))
}

/// After the newcomer's death: the reload has failed, the first generation serves, nobody was refused.
fn is_back(service: &Instance, crowd: Crowd, reload: Begun, death: &str) -> (Ends, String) {
    let told = reload.end();
    let again = crowd.so_far().answered.get(&1).copied().unwrap_or(0);
    crowd.wait_for_answers_of(1, again + 20);
    let ends = crowd.end();
    let account = format!("{told:?}\n{ends:?}\n{}", service.account());
    assert_eq!(told.code, 7, "{account}");
    let why = format!("generation 2 {death} right after the switch; the one before serves again");
    assert!(told.error.contains(&why), "{account}");
    assert_eq!(ends.refused, 0, "{account}");
    service.must_reload(&["--wait", "switched"]);
    assert_eq!(service.answers(), 3);
    (ends, service.timeline())
}

#[test]
fn one_that_dies_before_it_has_taken_a_connection() {
    let service = service().options(LONG).serving();
    let crowd = Crowd::at(&service);
    let (reload, newcomer) = switched(&service, &["--env", "FAULT=deaf"]);
    let waiting = || service.generation(2).map(|generation| generation["listeners"][0]["queue"].clone());
    until("all clients wait in its queue", || waiting() == Some(CLIENTS.into()));
    kill_for_good(newcomer);
    let (ends, timeline) = is_back(&service, crowd, reload, "was ended by SIGKILL");
    // Nobody had taken them: the kernel gives them to the one that serves again.
    assert_eq!(ends.lost(), 0, "{ends:?}\n{timeline}");
    let told = format!("generation 2 has died: {CLIENTS} connections waited in its accept queues");
    assert!(timeline.contains(&told), "{timeline}");
    service.end();
}

#[test]
fn one_that_dies_with_connections() {
    let service = service().options(LONG).serving();
    let crowd = Crowd::at(&service);
    let (reload, newcomer) = switched(&service, &["--env", "FAULT=mute"]);
    let owed = || service.generation(2).map(|generation| generation["connections"]["owed"].clone());
    until("it has taken all clients' connections", || owed() == Some(CLIENTS.into()));
    kill_for_good(newcomer);
    let (ends, timeline) = is_back(&service, crowd, reload, "was ended by SIGKILL");
    assert_eq!(ends.lost(), CLIENTS, "{ends:?}\n{timeline}");
    let told = format!("generation 2 has died: {CLIENTS} connections were owed an answer");
    assert!(timeline.contains(&told), "{timeline}");
    service.end();
}

#[test]
fn one_that_dies_at_work() {
    let service = service().options(LONG).serving();
    let crowd = Crowd::at(&service);
    let (reload, newcomer) = switched(&service, &[]);
    crowd.wait_for_answers_of(2, 50);
    kill(newcomer, Signal::SEGV);
    let (ends, timeline) = is_back(&service, crowd, reload, "was ended by SIGSEGV");
    assert!(ends.lost() <= CLIENTS, "{ends:?}\n{timeline}");
    service.end();
}

/// The old one is drained already, but not asked to stop yet: it can still take over.
#[test]
fn one_that_dies_while_the_old_one_drains() {
    let options = ["--drain-quiet", NEVER, "--drain-timeout", NEVER, "--grace", NEVER_AND_MORE];
    let service = service().options(&options).serving();
    let crowd = Crowd::at(&service);
    let port = service.port();
    let slow = thread::spawn(move || get(port, "/until/go"));
    until("the slow request is under way", || {
        let all = service.generation(1).map(|generation| generation["connections"].clone());
        all.is_some_and(|all| all["owed"].as_u64() >= Some(1))
    });
    let reload = service.begin_reload(&["--wait", "drained"]);
    service.wait_for_phase(1, "draining");
    kill_for_good(service.main(2));
    let (ends, timeline) = is_back(&service, crowd, reload, "was ended by SIGKILL");
    assert!(ends.lost() <= CLIENTS, "{ends:?}\n{timeline}");
    service.scene.write("go", "");
    let answer = slow.join().expect("the client does not panic").unwrap_or_else(|error| panic!("{error}\n{timeline}"));
    assert!(answer.starts_with("generation 1 "), "{answer}");
    service.end();
}

/// As reload after reload fails, each goes back to the same one.
#[test]
fn one_after_the_other() {
    let service = service().options(LONG).serving();
    let crowd = Crowd::at(&service);
    for newcomer in 2..=4 {
        let reload = service.begin_reload(&[]);
        crowd.wait_for_answers_of(newcomer, 5);
        kill_for_good(service.main(newcomer));
        let told: Told = reload.end();
        assert_eq!(told.code, 7, "{told:?}");
        assert_eq!(service.answers(), 1);
    }
    let ends = crowd.end();
    assert_eq!(ends.refused, 0, "{ends:?}\n{}", service.account());
    assert!(ends.lost() <= 3 * CLIENTS, "{ends:?}\n{}", service.account());
    service.end();
}

/// The one that would take over dies at that moment, too: nobody is left, and that is the end, or a restart.
#[test]
fn one_that_dies_with_the_one_before_it() {
    for step in ["before switch 1", "after switch 1"] {
        for restart in ["never", "on-failure"] {
            let service = service().env("ADIEU_FAILPOINT", step).options(LONG);
            let mut service = service.options(&["--restart", restart]).serving();
            let crowd = Crowd::at(&service);
            let old = service.main(1);
            let (reload, newcomer) = switched(&service, &[]);
            kill_for_good(newcomer);
            until(&format!("it stops {step}"), || state(service.pid) == Some('T'));
            kill_for_good(old);
            kill(service.pid, Signal::CONT);
            let told = reload.end();
            assert!(told.code != 0 && told.error.contains("generation 2 was ended by SIGKILL"), "{step}: {told:?}");
            if restart == "never" {
                assert_eq!(service.wait(), 137, "{step}: {}", service.output());
                service.scene.nobody_is_left();
                crowd.end();
            } else {
                crowd.wait_for_answers_of(3, 10);
                let ends = crowd.end();
                assert_eq!(ends.refused, 0, "{step}: {ends:?}\n{}", service.account());
                assert!(ends.lost() <= 2 * CLIENTS, "{step}: {ends:?}\n{}", service.account());
                service.end();
            }
        }
    }
}
