//! Signals: what is forwarded, what is rewritten, what stops, what forces, and what a program is born with.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{MODES, hears, run};
use crate::harness::{Instance, NEVER, Run, Scene, count};

const STATUS: [&str; 2] = ["cat", "/proc/self/status"];

/// Starts it with the recorder of signals as its main process.
fn hearing(run: Run) -> Instance {
    let init = run.program(&hears()).start();
    init.scene.wait_for("heard", 1);
    init
}

/// What was heard after "ready".
fn heard(scene: &Scene) -> Vec<i32> {
    scene.read("heard").lines().skip(1).map(|line| line.parse().expect("a number")).collect()
}

#[test]
fn signals_arrive_exactly() {
    for mode in MODES {
        let scene = Scene::new();
        let mut init = hearing(run(&scene, mode));
        let mut sent = Vec::new();
        // Not: HUP (see below), CHLD, PIPE, TTIN and TTOU (the supervisor's own), TSTP and CONT (they stop the program).
        for number in [10, 12, 28, 14, 23, 24, 26, 29, 30, 31, 16].into_iter().chain(34..=64) {
            init.signal_number(number);
            sent.push(number);
            scene.wait_for("heard", sent.len() + 1);
        }
        assert_eq!(heard(&scene), sent, "{mode}");
        // Real-time signals queue up.
        for _ in 0..20 {
            init.signal_number(40);
        }
        sent.extend([40; 20]);
        scene.wait_for("heard", sent.len() + 1);
        assert_eq!((init.terminate(), sent.push(15)), (55, ()), "{mode}");
        assert_eq!(heard(&scene), sent, "{mode}");
    }
}

#[test]
fn the_exit_code_is_the_programs_and_can_be_mapped() {
    let table: [(&[&str], &str, i32); 6] = [
        (&[], "exit 0", 0),
        (&[], "exit 42", 42),
        (&[], "kill -KILL $$", 137),
        (&[], "kill -ABRT $$", 134),
        (&["--map-exit", "143=0"], "kill -TERM $$", 0),
        (&["--map-exit", "1=2,3=0"], "exit 3", 0),
    ];
    for mode in MODES {
        for (options, script, code) in table {
            let scene = Scene::new();
            let mut init = run(&scene, mode).options(options).program(&["sh", "-c", script]).start();
            assert_eq!(init.wait(), code, "{mode} {options:?} {script}");
        }
        let scene = Scene::new();
        let sleeps = ["sh", "-c", "echo > up; exec sleep 1000"];
        let mut stopped = run(&scene, mode).options(&["--map-exit", "143=0"]).program(&sleeps).start();
        scene.wait_for("up", 1);
        assert_eq!(stopped.terminate(), 0);
    }
}

#[test]
fn the_stop_signal_is_the_one_asked_for() {
    for mode in MODES {
        // Received, options, what the program gets.
        let table: [(Signal, &[&str], i32); 5] = [
            (Signal::TERM, &[], 15),
            (Signal::INT, &[], 2),
            (Signal::TERM, &["--stop-signal", "QUIT"], 3),
            (Signal::INT, &["--stop-signal", "SIGQUIT"], 3),
            (Signal::TERM, &["--rewrite", "TERM=QUIT"], 3),
        ];
        for (received, options, expected) in table {
            let scene = Scene::new();
            let mut init = hearing(run(&scene, mode).options(options));
            init.signal(received);
            assert_eq!(init.wait(), 40 + expected, "{mode} {received:?} {options:?}");
            assert_eq!(heard(&scene), [expected], "{mode} {received:?} {options:?}");
        }
    }
}

#[test]
fn rewritten_signals_arrive_as_what_they_became() {
    for mode in MODES {
        let scene = Scene::new();
        let mut init = hearing(run(&scene, mode).options(&["--rewrite", "USR1=USR2,WINCH=35"]));
        for (at, signal) in [Signal::USR1, Signal::WINCH].into_iter().enumerate() {
            init.signal(signal);
            scene.wait_for("heard", at + 2);
        }
        assert_eq!(init.terminate(), 55);
        assert_eq!(heard(&scene), [12, 35, 15], "{mode}");
    }
    // What becomes a TERM is a stop like any other: nothing is restarted after it.
    let scene = Scene::new();
    let options = ["--rewrite", "USR1=TERM", "--restart", "always"];
    let mut init = hearing(run(&scene, "off").options(&options));
    init.signal(Signal::USR1);
    assert_eq!(init.wait(), 55);
}

#[test]
fn hup_is_forwarded_by_a_plain_init_and_reloads_otherwise() {
    let scene = Scene::new();
    let mut init = hearing(run(&scene, "off"));
    init.signal(Signal::HUP);
    scene.wait_for("heard", 2);
    init.terminate();
    assert_eq!(heard(&scene), [1, 15]);

    let scene = Scene::new();
    let options = ["--ready", "exec:test $(grep -c ready heard) = $ADIEU_GENERATION", "--settle", "0"];
    // In a session without a terminal, wherever the tests are run.
    let mut init = hearing(scene.run().front(&["setsid"]).options(&options));
    init.signal(Signal::HUP);
    // The new one is there, then the old one is asked.
    scene.wait_for("heard", 3);
    assert_eq!(scene.read("heard"), "ready\nready\n15\n");
    init.terminate();
    assert_eq!(scene.read("heard"), "ready\nready\n15\n15\n");
}

#[test]
fn a_second_stop_forces_unless_it_comes_at_once() {
    for mode in MODES {
        let scene = Scene::new();
        let mut init =
            run(&scene, mode).options(&["--grace", NEVER]).program(&hears()).arguments(&["stubborn"]).start();
        scene.wait_for("heard", 1);
        init.signal(Signal::TERM);
        init.signal(Signal::TERM);
        init.signal(Signal::INT);
        scene.wait_for("heard", 2);
        thread::sleep(Duration::from_millis(1100));
        assert!(!init.has_ended(), "{mode}: duplicates within a second force nothing");
        // Which of them comes first is the kernel's choice.
        assert_eq!(heard(&scene).len(), 1, "{mode}: {:?}", heard(&scene));
        let code = init.terminate();
        assert_eq!(code, 137, "{mode}");
    }
}

#[test]
fn a_program_is_born_with_a_clean_slate() {
    let spoil =
        ["env", "--ignore-signal=INT,QUIT,TERM,PIPE,USR1,CHLD,TSTP,TTIN,TTOU", "--block-signal=TERM,INT,USR2,CHLD"];
    let field =
        |text: &str, name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim().to_owned());
    let masks =
        |text: &str| ["SigBlk:", "SigIgn:", "SigPnd:", "ShdPnd:"].map(|name| field(text, name).expect("a mask"));
    let zero = "0".repeat(16);
    for mode in MODES {
        let scene = Scene::new();
        let mut init = run(&scene, mode).front(&spoil).program(&STATUS).start();
        assert_eq!(init.wait(), 0);
        assert_eq!(masks(&init.output()), [zero.as_str(); 4].map(str::to_owned), "{mode}");

        let mut nohup = run(&scene, mode).front(&["env", "--ignore-signal=HUP,TERM"]).program(&STATUS).start();
        nohup.wait();
        assert_eq!(masks(&nohup.output())[1], format!("{:016x}", 1), "{mode}: nohup stays, the rest is undone");
    }
    // Other inits hand on what they were born with. (Not CHLD here: with that one ignored, tini never ends.)
    let scene = Scene::new();
    let spoil = ["env", "--ignore-signal=INT,QUIT,TERM"];
    let mut tini = scene.start("tini", &[&spoil[..], &["tini", "-s", "--"], &STATUS].concat());
    tini.wait();
    assert_ne!(masks(&tini.output())[1], zero);
}

#[test]
fn a_signal_that_comes_while_the_program_is_being_started_is_not_lost() {
    for mode in MODES {
        for turn in 0..count(30, 1000) {
            let scene = Scene::new();
            // The program itself says that it is there, perhaps before the supervisor has heard of it.
            let script = "echo > up; exec sleep 1000";
            let mut init = run(&scene, mode).options(&["--grace", NEVER]).program(&["sh", "-c", script]).start();
            while !scene.path("up").exists() {}
            let code = init.terminate();
            assert_eq!(code, 143, "{mode}, turn {turn}");
        }
    }
}
