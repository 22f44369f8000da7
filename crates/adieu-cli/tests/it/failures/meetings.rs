//! Reloads that meet: another reload, a stop, the end of whoever asked for them.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use super::{GOOD, service};
use crate::harness::crowd::Crowd;
use crate::harness::{Begun, Instance, NEVER, NEVER_AND_MORE, until};

#[test]
fn reloads_wait_for_one_another() {
    let service = service().serving();
    let crowd = Crowd::at(&service);
    let all: Vec<Begun> = (0..4).map(|_| service.begin_reload(&["--env", "WAITS=go"])).collect();
    until("four are asked for", || service.timeline().matches("reload asked for").count() == 4);
    service.scene.write("go", "");
    let all: Vec<_> = all.into_iter().map(Begun::end).collect();
    for told in &all {
        assert_eq!(told.code, 0, "{told:?}");
    }
    let queued = all.iter().filter(|told| told.out.starts_with("waiting for the reload before this one\n")).count();
    assert_eq!(queued, 3, "{all:?}");
    assert_eq!(service.answers(), 5);
    let ends = crowd.end();
    assert!(ends.refused == 0 && ends.lost() == 0, "{ends:?}\n{}", service.account());
    service.end();
}

/// What one brings along is there for the next.
#[test]
fn a_reload_that_waits_builds_on_the_one_before_it() {
    let service = service().serving();
    let first = service.begin_reload(&["--env", "A=1", "--env", "BEFORE=0.3"]);
    until("the first is under way", || service.generation(2).is_some());
    let second = service.begin_reload(&["--env", "B=2", "--unset", "BEFORE"]);
    assert_eq!((first.end().code, second.end().code), (0, 0));
    assert_eq!(service.answers(), 3);
    let variable = |name: &str| service.get(&format!("/env/{name}")).expect("it answers");
    assert_eq!((variable("A"), variable("B"), variable("BEFORE")), ("1".into(), "2".into(), "unset".into()));
    service.end();
}

/// A failed reload in front does not take those behind it along.
#[test]
fn a_reload_that_waits_for_one_that_fails() {
    let service = service().options(&["--ready-timeout", GOOD]).serving();
    let first = service.begin_reload(&["--env", "FAULT=never"]);
    until("the first is under way", || service.generation(2).is_some());
    let second = service.begin_reload(&["--env", "B=2"]);
    assert_eq!((first.end().code, second.end().code), (7, 0));
    assert_eq!((service.answers(), service.get("/env/FAULT").ok().as_deref()), (3, Some("unset")));
    service.end();
}

#[test]
fn too_many_reloads_are_refused() {
    let service = service().options(&["--ready-timeout", NEVER]).serving();
    let first = service.begin_reload(&["--env", "FAULT=never"]);
    until("the first is under way", || service.generation(2).is_some());
    let mut waiting: Vec<Begun> = (0..16).map(|_| service.begin_reload(&[])).collect();
    // They are counted by what the timeline has of them.
    until("sixteen wait", || service.timeline().matches("reload asked for").count() == 17);
    let told = service.reload(&[]);
    assert_eq!(told.code, 7, "{told:?}");
    assert!(told.error.contains("too many reloads wait already"), "{told:?}");
    assert!(waiting.iter_mut().all(|reload| !reload.is_over()));
    assert_eq!(service.answers(), 1);
    // The stop answers them all.
    let stop = service.stop();
    assert_eq!(stop.code, 0, "{stop:?}");
    for told in waiting.into_iter().chain([first]).map(Begun::end) {
        assert!(told.code == 1 && told.error.contains("everything is being stopped"), "{told:?}");
    }
    service.scene.nobody_is_left();
}

/// Without anybody to wait for it, a reload goes on all the same.
#[test]
fn whoever_asked_for_a_reload_goes_away() {
    let service = service().serving();
    for (generation, words) in [(2, &["--wait", "drained"][..]), (3, &[])] {
        let reload = service.begin_reload(&[words, &["--env", "BEFORE=0.3"]].concat());
        until("it is under way", || service.generation(generation).is_some());
        drop(reload);
        until("the new one serves", || service.answers() == generation);
        until("and alone", || service.generation(generation - 1).is_none());
    }
    // Nor does one that does not read what it is told hold anybody up.
    let mut deaf = UnixStream::connect(service.scene.path("s.sock")).expect("it listens");
    deaf.write_all(b"{\"do\":\"reload\",\"wait\":\"drained\"}\n").expect("it reads");
    until("the new one serves", || service.answers() == 4);
    let last = BufReader::new(deaf).lines().map(|line| line.expect("it answers")).last();
    assert!(last.is_some_and(|line| line.contains("\"code\":0")));
    service.end();
}

/// A stop in each phase of a reload: everything ends, with the serving one's code, and nothing is left.
#[test]
fn a_stop_in_the_middle_of_a_reload() {
    // How the reload stands still; a sign that it does; the reload's code.
    type Sign = fn(&Instance) -> bool;
    let starting: Sign = |service| service.generation(2).is_some();
    let settling: Sign = |service| service.generation(1).is_some_and(|one| one["phase"] == "settling");
    let draining: Sign = |service| service.generation(1).is_some_and(|one| one["phase"] == "draining");
    let table: [(&str, &[&str], &[&str], Sign); 3] = [
        ("starting", &[], &["--env", "FAULT=never"], starting),
        ("settling", &["--settle", NEVER, "--grace", NEVER_AND_MORE], &[], settling),
        ("draining", &["--drain-timeout", NEVER, "--drain-quiet", NEVER, "--grace", NEVER_AND_MORE], &[], draining),
    ];
    for (phase, options, words, sign) in table {
        let mut service = service().options(options).serving();
        let _slow = super::slow_request(&service);
        let owed = || service.generation(1).map(|generation| generation["connections"]["owed"].clone());
        until("a request is under way", || owed().is_some_and(|owed| owed.as_u64() >= Some(1)));
        let reload = service.begin_reload(&[words, &["--wait", "drained"]].concat());
        until(&format!("the reload is {phase}"), || sign(&service));
        let told = service.stop();
        assert!(told.code == 0 && told.out.contains("stopped, exit code 143"), "{phase}: {told:?}");
        let told = reload.end();
        assert!(told.code == 1 && told.error.contains("everything is being stopped"), "{phase}: {told:?}");
        assert_eq!(service.wait(), 143, "{phase}: {}", service.output());
        service.scene.nobody_is_left();
    }
}

/// A reload that comes while everything ends is told so.
#[test]
fn a_reload_in_the_middle_of_a_stop() {
    let options = ["--pre-stop", "until test -e go; do sleep 0.02; done", "--grace", NEVER];
    let mut service = service().options(&options).serving();
    let mut stop = service.begin(&["stop", "s"]);
    service.wait_for_phase(1, "ending");
    let told = service.reload(&[]);
    assert!(told.code == 1 && told.error.contains("everything is being stopped"), "{told:?}");
    assert!(!stop.is_over(), "the hook still ran");
    service.scene.write("go", "");
    stop.end();
    assert_eq!(service.wait(), 143);
    service.scene.nobody_is_left();
}
