//! Programs that cannot have another one beside them (`--overlap no`): clients wait in the queue meanwhile.

use rustix::process::Signal;

use super::{GOOD, service};
use crate::harness::crowd::{CLIENTS, Crowd};
use crate::harness::proc::{kill, kill_for_good, lives, state};
use crate::harness::{PYTHON, Run, Scene, the_machine, until};

/// The server exits when another process has its lock.
const ALONE: [&str; 2] = ["--overlap", "no"];

fn alone() -> Run {
    service().env("LOCK", "lock").options(&ALONE)
}

#[test]
fn two_at_once_are_too_many_for_a_program_with_a_lock() {
    let service = service().env("LOCK", "lock").serving();
    let told = service.reload(&[]);
    assert!(told.code == 7 && told.error.contains("another one has the lock"), "{told:?}");
    assert_eq!(service.answers(), 1);
    service.end();
}

#[test]
fn clients_wait_while_one_goes_and_the_next_comes() {
    let _alone = the_machine();
    let service = alone().serving();
    let crowd = Crowd::at(&service);
    for generation in 2..=4 {
        let told = service.must_reload(&["--wait", "drained"]);
        assert!(!service.output().contains("another one has the lock"), "{told:?}");
        crowd.wait_for_answers_of(generation, 20);
    }
    let ends = crowd.end();
    assert!(ends.refused == 0 && ends.lost() == 0, "{ends:?}\n{}", service.account());
    service.end();
}

#[test]
fn the_old_command_comes_back_when_the_new_one_fails() {
    let _alone = the_machine();
    let service = alone().options(&["--ready-timeout", GOOD]).serving();
    let crowd = Crowd::at(&service);
    let table: [(&[&str], &str); 4] = [
        (&["--env", "FAULT=exit:3", "--env", "SAY=it goes wrong"], "exited with code 3 before it was ready"),
        (&["--env", "FAULT=kill:9"], "was ended by SIGKILL before it was ready"),
        (&["--env", "FAULT=never"], "was not ready in time"),
        (&["--", "no-such-program"], "was not found in PATH"),
    ];
    let mut generation = 1;
    for (words, why) in table {
        let told = service.reload(words);
        generation += 2;
        let account = || format!("{told:?}\n{}", service.account());
        assert!(told.code == 7 && told.error.contains(why), "{}", account());
        assert!(told.out.contains("; the command before it comes back\n"), "{}", account());
        assert_eq!(service.answers(), generation, "the answer comes when it serves: {}", account());
        crowd.ask_more();
    }
    let ends = crowd.end();
    assert!(ends.refused == 0 && ends.lost() == 0, "{ends:?}\n{}", service.account());
    service.must_reload(&[]);
    assert_eq!(service.answers(), generation + 1);
    service.end();
}

/// Nothing is left to come back: the run is over, and says so to whoever waits.
#[test]
fn the_old_command_cannot_come_back() {
    let scene = Scene::new();
    let program = scene.write("program.py", &std::fs::read_to_string(super::server()).expect("it is there"));
    let mut service = service().options(&ALONE).program(&[PYTHON, &program]).serving();
    std::fs::remove_file(&program).expect("it is ours");
    let told = service.reload(&["--env", "FAULT=exit:3"]);
    assert_eq!(told.code, 1, "{told:?}");
    assert_eq!(service.wait(), 2, "{}", service.output());
    service.scene.nobody_is_left();
}

/// The queue is not a grave: after twice the time to get ready its clients are let go.
#[test]
fn clients_do_not_wait_for_ever() {
    let server = super::server();
    // The command fails as long as there is a trap; the first start is before.
    let script = "if test -e trap; then sleep 0.1; exit 1; fi; exec \"$@\"";
    let options = ["--ready-timeout", GOOD, "--restart", "on-failure"];
    let service = service().options(&options).program(&["sh", "-c", script, "sh", PYTHON, &server]).serving();
    let trap = service.scene.path("trap");
    std::fs::write(&trap, "").expect("it is ours");
    let waiting = super::slow_request(&service);
    let listens = || std::net::TcpStream::connect(("127.0.0.1", service.port())).is_ok();
    kill_for_good(service.main(1));
    assert!(listens(), "the queue is kept");
    until("the queue is given up", || !listens());
    let output = service.output();
    assert!(output.contains("nobody has served for 10s: new connections are refused"), "{output}");
    drop(waiting);
    std::fs::remove_file(&trap).expect("it is ours");
    until("it serves again", || service.get("/").is_ok());
    service.end();
}

/// A kill at each step of a reload without overlap: whoever is started next has the listener, and nobody is refused.
#[test]
fn whoever_is_killed_at_any_step() {
    // Where, whom (0 is the generation that is none any more), and the reload's code.
    let table = [
        ("before hold 1", 1, 0),
        ("before watch_owed 1", 1, 0),
        ("before ask_main 1", 1, 0),
        ("before retire 1", 1, 0),
        ("after spawn 2", 2, 7),
    ];
    for (step, victim, code) in table {
        let service = alone().env("ADIEU_FAILPOINT", step).serving();
        let main = service.main(1);
        let crowd = Crowd::at(&service);
        let reload = service.begin_reload(&["--wait", "drained"]);
        until(&format!("it stops {step}"), || state(service.pid) == Some('T'));
        let victim = if victim == 1 { main } else { service.find("server.py") };
        // In the last steps of its life it is gone already.
        if lives(victim) {
            kill_for_good(victim);
        }
        kill(service.pid, Signal::CONT);
        let told = reload.end();
        let account = || format!("{step}: {told:?}\n{}", service.account());
        assert_eq!(told.code, code, "{}", account());
        let serves = if code == 0 { 2 } else { 3 };
        assert_eq!(service.answers(), serves, "{}", account());
        crowd.wait_for_answers_of(serves, 10);
        let ends = crowd.end();
        assert!(ends.refused == 0 && ends.lost() <= CLIENTS, "{ends:?}\n{}", account());
        service.end();
    }
}

/// The supervisor has a listener of its own then: with its end everything ends, and clients are refused, not kept waiting.
#[test]
fn the_supervisor_is_killed() {
    for step in ["after hold 1", "before ask_main 1", "before retire 1", "before spawn 2", "before serving 2"] {
        let mut service = alone().env("ADIEU_FAILPOINT", step).options(&["--grace", "1s"]).serving();
        let reload = service.begin_reload(&[]);
        until(&format!("it stops {step}"), || state(service.pid) == Some('T'));
        kill_for_good(service.pid);
        assert_eq!(reload.end().code, 1, "{step}");
        service.wait();
        service.scene.nobody_is_left();
        assert!(std::net::TcpStream::connect(("127.0.0.1", service.port())).is_err(), "{step}");
    }
}
