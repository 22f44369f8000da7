//! What a reload brings along, and when it returns.

use super::{request, server, service};
use crate::harness::proc::{command_line, kill_for_good, lives};
use crate::harness::{Instance, NEVER, NEVER_AND_MORE, PYTHON, until};

fn variable(service: &Instance, name: &str) -> String {
    service.get(&format!("/env/{name}")).unwrap_or_else(|error| panic!("{error}\n{}", service.account()))
}

#[test]
fn variables_are_kept_if_the_reload_succeeds() {
    let service = service().env("OUTER", "1").env("OTHER", "1").serving();
    service.must_reload(&["--env", "A=1", "--env", "B=x=y", "--env", "EMPTY=", "--unset", "OUTER"]);
    let all = || ["A", "B", "EMPTY", "OUTER", "OTHER"].map(|name| variable(&service, name));
    let kept = ["1", "x=y", "", "unset", "1"];
    assert_eq!(all(), kept);
    service.must_reload(&[]);
    assert_eq!((service.answers(), all()), (3, kept.map(str::to_owned)));
    for fault in ["FAULT=exit:1", "FAULT=kill:9"] {
        let told = service.reload(&["--env", fault, "--env", "A=2", "--unset", "B", "--env", "OUTER=2"]);
        assert_eq!(told.code, 7, "{told:?}");
    }
    service.must_reload(&[]);
    assert_eq!((service.answers(), all()), (6, kept.map(str::to_owned)));
    service.must_reload(&["--unset", "A", "--env", "OUTER=3"]);
    assert_eq!((variable(&service, "A"), variable(&service, "OUTER")), ("unset".into(), "3".into()));
    service.end();
}

#[test]
fn a_new_command_is_kept_if_the_reload_succeeds() {
    let service = service().serving();
    let command = || service.status_json()["command"].clone();
    let old = command();
    let told = service.reload(&["--", "sh", "-c", "exit 4"]);
    assert!(told.code == 7 && told.error.contains("exited with code 4"), "{told:?}");
    assert_eq!(command(), old);
    let copy = service.scene.path("another.py").display().to_string();
    std::fs::copy(server(), &copy).expect("it can be copied");
    service.must_reload(&["--", PYTHON, &copy, "an argument"]);
    let new = serde_json::json!([PYTHON, copy, "an argument"]);
    assert_eq!((command(), service.answers()), (new.clone(), 3));
    service.must_reload(&[]);
    assert_eq!((command(), service.answers()), (new.clone(), 4));
    assert!(command_line(service.main(4)).contains("another.py an argument"));
    service.end();
}

/// A newcomer that dies while the old one can still take over takes with it what it had brought.
#[test]
fn nothing_is_kept_of_a_newcomer_that_dies_settling() {
    let service = service().options(&["--settle", NEVER, "--grace", NEVER_AND_MORE]).serving();
    let old = service.status_json()["command"].clone();
    let reload = service.begin_reload(&["--env", "A=2", "--", PYTHON, &server(), "new"]);
    service.wait_for_phase(1, "settling");
    assert_eq!(variable(&service, "A"), "2");
    kill_for_good(service.main(2));
    assert_eq!(reload.end().code, 7);
    assert_eq!((service.answers(), service.status_json()["command"].clone()), (1, old.clone()));
    service.must_reload(&["--wait", "switched"]);
    assert_eq!((variable(&service, "A"), service.status_json()["command"].clone()), ("unset".into(), old));
    service.end();
}

/// What was kept is what a crash starts again, too.
#[test]
fn a_restart_runs_what_the_last_reload_brought() {
    let service = service().options(&["--restart", "on-failure"]).serving();
    service.must_reload(&["--env", "A=2", "--wait", "drained"]);
    kill_for_good(service.main(2));
    until("it is started again", || service.generation(3).is_some_and(|it| it["ready"] == true));
    assert_eq!((service.answers(), variable(&service, "A")), (3, "2".into()));
    service.end();
}

#[test]
fn waiting_for_the_switch_is_over_at_the_switch() {
    let service = service().options(&["--settle", NEVER, "--grace", NEVER_AND_MORE]).serving();
    let told = service.must_reload(&["--wait", "switched"]);
    assert_eq!(told.out, "generation 2 starts\ngeneration 2 serves\n");
    assert_eq!(
        (service.answers(), service.generation(1).expect("it is there")["phase"].clone()),
        (2, "settling".into())
    );
    let mut settled = service.begin_reload(&[]);
    service.wait_for_phase(2, "settling");
    assert_eq!(service.answers(), 3);
    assert!(!settled.is_over(), "it waits for more than the switch");
    assert_eq!(service.stop().code, 0);
    assert_eq!(settled.end().code, 1);
}

#[test]
fn waiting_until_it_has_settled_and_until_the_old_one_is_gone() {
    let options = ["--drain-timeout", NEVER, "--drain-quiet", NEVER, "--grace", NEVER_AND_MORE];
    let service = service().options(&options).serving();
    let old = service.main(1);
    let _slow = request(&service, "/until/go");
    let owed = || service.generation(1).map(|generation| generation["connections"]["owed"].clone());
    until("a request is under way", || owed().is_some_and(|owed| owed.as_u64() >= Some(1)));
    let mut drained = service.begin_reload(&["--wait", "drained"]);
    service.wait_for_phase(1, "draining");
    assert!(!drained.is_over(), "it waits for more than the settling");
    // By default it is settled that is waited for; the old one is still there then.
    let told = service.must_reload(&[]);
    assert!(told.out.ends_with("generation 3 has settled\n"), "{told:?}");
    assert!(service.generation(1).is_some_and(|one| one["phase"] == "draining"), "{}", service.account());
    service.scene.write("go", "");
    let told = drained.end();
    assert!(told.code == 0 && told.out.ends_with("generation 2 is alone\n"), "{told:?}");
    assert!(service.generation(1).is_none() && !lives(old));
    service.end();
}

#[test]
fn a_hangup_reloads() {
    let service = service().serving();
    service.signal(rustix::process::Signal::HUP);
    until("the new one serves", || service.answers() == 2);
    service.end();
}
