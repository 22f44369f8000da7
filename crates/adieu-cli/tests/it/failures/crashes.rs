//! Programs that crash and are started again (`--restart on-failure`): clients wait in the queue meanwhile.

use std::thread;

use super::{service, slow_request};
use crate::harness::crowd::{CLIENTS, Crowd};
use crate::harness::proc::kill_for_good;
use crate::harness::{PYTHON, get, the_machine, until};

const RESTARTS: [&str; 2] = ["--restart", "on-failure"];

#[test]
fn clients_wait_while_it_is_started_again() {
    let _alone = the_machine();
    let service = service().options(&RESTARTS).serving();
    let crowd = Crowd::at(&service);
    for generation in 1..=3 {
        kill_for_good(service.main(generation));
        crowd.wait_for_answers_of(generation + 1, 20);
    }
    let ends = crowd.end();
    // What it had accepted is lost with it, and nothing else.
    assert!(ends.refused == 0 && ends.lost() <= 3 * CLIENTS, "{ends:?}\n{}", service.account());
    service.end();
}

/// The control: without a restart somebody is refused, so the crowd would have noticed.
#[test]
fn without_a_restart_clients_are_refused() {
    let service = service().serving();
    let crowd = Crowd::at(&service);
    kill_for_good(service.main(1));
    until("clients are refused", || crowd.so_far().refused > 0);
    crowd.end();
}

#[test]
fn what_a_crash_has_cost_is_told() {
    let service = service().options(&RESTARTS).serving();
    let _slow: Vec<_> = (0..3).map(|_| slow_request(&service)).collect();
    // To ask is to look: the last look is what is told.
    let owed = || service.generation(1).map(|generation| generation["connections"]["owed"].clone());
    until("three requests are under way", || owed() == Some(3.into()));
    kill_for_good(service.main(1));
    until("it is started again", || service.generation(2).is_some_and(|it| it["ready"] == true));
    let timeline = service.timeline();
    let told = "generation 1 has died: 3 connections were owed an answer and 0 may have been, lost by the program";
    assert!(timeline.contains(told), "{timeline}");
    service.end();
}

/// Nobody has taken those that wait in the queue: the next one does.
#[test]
fn what_waits_in_the_queue_is_the_next_ones() {
    let script = "test $ADIEU_GENERATION != 1 || export FAULT=deaf; exec \"$@\"";
    let server = super::server();
    let service = service().options(&RESTARTS).program(&["sh", "-c", script, "sh", PYTHON, &server]).up();
    until("it listens", || service.generation(1).is_some_and(|it| it["ready"] == true));
    let port = service.port();
    let asked = thread::spawn(move || get(port, "/"));
    until("a client waits", || service.generation(1).is_some_and(|it| it["listeners"][0]["queue"] == 1));
    kill_for_good(service.main(1));
    let answer =
        asked.join().expect("the client does not panic").unwrap_or_else(|e| panic!("{e}\n{}", service.account()));
    assert!(answer.starts_with("generation 2 "), "{answer}");
    let told = "generation 1 has died: 1 connections waited in its accept queues and wait for the next generation";
    assert!(service.timeline().contains(told), "{}", service.account());
    service.end();
}
