//! As PID 1: orphans are reaped, everything below is asked to end and waited for.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{MODES, run};
use crate::harness::proc::{all, state};
use crate::harness::{Instance, NEVER, PYTHON, Scene, count, until};

/// Every other init that is installed, called as its users do.
const OTHERS: [&[&str]; 3] = [&["tini", "--"], &["dumb-init", "--"], &["catatonit", "--"]];

/// A program in the place of PID 1 that waits for nobody it did not start.
const NO_INIT: &str = "import subprocess, sys, signal
subprocess.run(sys.argv[1:])
signal.pause()";

fn zombies(init: &Instance) -> usize {
    let inside = fs::read_link(format!("/proc/{}/ns/pid", init.pid)).expect("the namespace is there");
    all()
        .filter(|pid| state(*pid) == Some('Z'))
        .filter(|pid| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|there| there == inside))
        .count()
}

/// Leaves orphans behind and then says so.
fn orphans(number: usize) -> String {
    format!("i=0; while [ $i -lt {number} ]; do (: &); i=$((i+1)); done; echo done >> done")
}

#[test]
fn ten_thousand_orphans_are_reaped() {
    for mode in MODES {
        let scene = Scene::new();
        let rounds = count(1, 10);
        let script = vec![orphans(10_000); rounds].join("; ") + "; exec sleep 1000";
        let mut init = run(&scene, mode).program(&["sh", "-c", &script]).start_as_pid1();
        // Round by round: what is waited for is that it goes on.
        (1..=rounds).for_each(|round| scene.wait_for("done", round));
        until("no zombie is left", || zombies(&init) == 0);
        assert_eq!(init.terminate(), 143, "{mode}");
    }
}

#[test]
fn without_an_init_the_orphans_stay() {
    let scene = Scene::new();
    let init = scene.start_as_pid1("none", &[PYTHON, "-c", NO_INIT, "sh", "-c", &orphans(100)]);
    scene.wait_for("done", 1);
    until("the orphans are zombies", || zombies(&init) >= 100);
}

/// Writes `NAME.ready`, and `NAME.clean` when it has cleaned up after SIGTERM, which takes so many seconds.
fn careful(name: &str, seconds: &str) -> String {
    format!(
        "trap 'trap \"\" TERM; sleep {seconds}; echo clean > {name}.clean; exit' TERM
         echo ready > {name}.ready
         while :; do sleep 0.02; done"
    )
}

#[test]
fn daemons_are_asked_and_waited_for() {
    for mode in MODES {
        let scene = Scene::new();
        scene.write("daemon", &careful("daemon", "0.5"));
        scene.write("child", &careful("child", "0.5"));
        let script = "(setsid sh daemon &); sh child & exec sleep 1000";
        let mut init = run(&scene, mode).options(&["--grace", NEVER]).program(&["sh", "-c", script]).start_as_pid1();
        scene.wait_for("daemon.ready", 1);
        scene.wait_for("child.ready", 1);
        let code = init.terminate();
        assert_eq!(code, 143, "{mode}");
        assert_eq!(scene.read("daemon.clean") + &scene.read("child.clean"), "clean\nclean\n", "{mode}");
    }
}

#[test]
fn other_inits_never_ask_a_daemon() {
    for other in OTHERS {
        let scene = Scene::new();
        scene.write("daemon", &careful("daemon", "0"));
        let script = ["sh", "-c", "(setsid sh daemon &); exec sleep 1000"];
        let mut init = scene.start_as_pid1(other[0], &[other, &script].concat());
        scene.wait_for("daemon.ready", 1);
        init.terminate();
        assert_eq!(scene.read("daemon.clean"), "", "{other:?}");
    }
}

#[test]
fn a_second_child_has_its_time_to_clean_up() {
    for mode in MODES {
        let scene = Scene::new();
        scene.write("child", &careful("child", "2"));
        let script = ["sh", "-c", "sh child & exec sleep 1000"];
        let mut init = run(&scene, mode).program(&script).start_as_pid1();
        scene.wait_for("child.ready", 1);
        let began = Instant::now();
        let code = init.terminate();
        assert_eq!((code, scene.read("child.clean").as_str()), (143, "clean\n"), "{mode}");
        assert!(began.elapsed() >= Duration::from_secs(2), "{mode}: {:?}", began.elapsed());
    }
    for other in OTHERS {
        let scene = Scene::new();
        scene.write("child", &careful("child", "2"));
        let script = ["sh", "-c", "sh child & exec sleep 1000"];
        let mut init = scene.start_as_pid1(other[0], &[other, &script].concat());
        scene.wait_for("child.ready", 1);
        init.terminate();
        assert_eq!(scene.read("child.clean"), "", "{other:?} waits as well");
    }
}

#[test]
fn a_server_behind_a_shell_gets_the_stop() {
    let server = "sh server";
    let scripts = [format!("{server} & wait"), server.to_owned(), format!("{server} | cat"), format!("{server}; true")];
    for mode in MODES {
        for script in &scripts {
            let scene = Scene::new();
            scene.write("server", &careful("server", "0.1"));
            scene.write("start.sh", &format!("#!/bin/sh\n{script}\n"));
            let mut init = run(&scene, mode).options(&["--grace", NEVER]).program(&["sh", "start.sh"]).start_as_pid1();
            scene.wait_for("server.ready", 1);
            let code = init.terminate();
            assert_eq!((code, scene.read("server.clean").as_str()), (143, "clean\n"), "{mode}: {script}");
        }
    }
}

#[test]
fn a_shell_as_pid_1_passes_no_stop_on() {
    let scene = Scene::new();
    scene.write("server", &careful("server", "0.1"));
    let mut init = scene.start_as_pid1("sh", &["sh", "-c", "sh server; true"]);
    scene.wait_for("server.ready", 1);
    init.signal(Signal::TERM);
    std::thread::sleep(Duration::from_secs(1));
    assert!(!init.has_ended(), "it has no handler, so as PID 1 it gets no SIGTERM");
    assert_eq!(scene.read("server.clean"), "");
    init.signal(Signal::KILL);
    init.wait();
}

#[test]
fn what_the_main_process_leaves_behind_is_asked_and_the_code_is_its_own() {
    for mode in MODES {
        let scene = Scene::new();
        scene.write("child", &careful("child", "0.3"));
        let script = "sh child & while ! [ -e child.ready ]; do sleep 0.01; done; exit 7";
        let mut init = run(&scene, mode).program(&["sh", "-c", script]).start_as_pid1();
        assert_eq!(init.wait(), 7, "{mode}");
        assert_eq!(scene.read("child.clean"), "clean\n", "{mode}");
    }
}
