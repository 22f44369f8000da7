//! The end of the grace, and the end of whoever should have watched over it.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::{MODES, hears, program, run};
use crate::harness::proc::{command_line, kill, lives, parent, state};
use crate::harness::{Instance, NEVER, PYTHON, Run, Scene, until};

/// Starts it with the recorder of signals as its main process.
fn hearing(run: Run, extra: &[&str]) -> Instance {
    let init = run.program(&hears()).arguments(extra).start();
    init.scene.wait_for("heard", 1);
    init
}

/// A script that starts the recorder of signals, which it knows as `$0`.
fn both(script: &str) -> [String; 4] {
    ["sh".to_owned(), "-c".to_owned(), script.to_owned(), program("hears.py")]
}

/// Nobody works in the directory of this test any more, not even for a moment.
fn nothing_left_of(scene: &Scene) {
    let left = scene.at_work();
    assert!(left.is_empty(), "still there: {left:?}");
}

/// The parent of a main process.
fn keeper_of(main: Pid) -> Pid {
    parent(main).unwrap_or_else(|| panic!("{main} has no parent"))
}

#[test]
fn what_ignores_the_stop_is_killed_at_the_end_of_the_grace_and_not_before() {
    for mode in MODES {
        let scene = Scene::new();
        let mut init = hearing(run(&scene, mode).options(&["--grace", "700ms"]), &["stubborn"]);
        let began = Instant::now();
        assert_eq!(init.terminate(), 137, "{mode}");
        assert!(began.elapsed() >= Duration::from_millis(690), "{mode}: {:?}", began.elapsed());
        assert!(init.output().contains("the grace period is spent, killing"), "{}", init.output());
    }
}

#[test]
fn processes_that_never_stay_where_they_are_are_killed_too() {
    for mode in MODES {
        for sessions in ["no", "yes"] {
            let scene = Scene::new();
            let words = [PYTHON, &program("hops.py"), "8", sessions];
            let mut init = run(&scene, mode).options(&["--grace", "300ms"]).program(&words).start();
            scene.wait_for("hopping", 1);
            let code = init.terminate();
            assert_eq!(code, 137, "{mode}, own sessions: {sessions}");
            nothing_left_of(&scene);
        }
    }
}

#[test]
fn a_stopped_process_gets_its_stop() {
    for mode in MODES {
        let scene = Scene::new();
        let script = "/usr/bin/python3 \"$0\" child & exec /usr/bin/python3 \"$0\" heard";
        let mut init = run(&scene, mode).options(&["--grace", NEVER]).program(&both(script)).start();
        scene.wait_for("heard", 1);
        scene.wait_for("child", 1);
        let (main, child) = (init.find("heard"), init.find("child"));
        for pid in [main, child] {
            kill(pid, Signal::STOP);
            until("it is stopped", || state(pid) == Some('T'));
        }
        let code = init.terminate();
        assert_eq!(code, 55, "{mode}");
        for file in ["heard", "child"] {
            let heard = scene.read(file);
            // The signal that ends it may come before or after the one that continues it.
            assert!(heard.ends_with("15\n"), "{mode}: {file}: {heard:?}");
        }
    }
}

#[test]
fn a_stopped_process_is_killed_at_the_end_of_the_grace() {
    for mode in MODES {
        let scene = Scene::new();
        let script = "trap '' TERM; while :; do kill -STOP $$; done";
        let mut init = run(&scene, mode).options(&["--grace", "300ms"]).program(&["sh", "-c", script]).start();
        let main = init.find("kill -STOP");
        until("it is stopped", || state(main) == Some('T'));
        assert_eq!(init.terminate(), 137, "{mode}");
        nothing_left_of(&scene);
    }
}

#[test]
fn a_fork_bomb_is_killed() {
    for mode in MODES {
        let scene = Scene::new();
        std::os::unix::fs::chown(scene.directory(), Some(NOBODY), None).expect("the tests run as root");
        let bomb = "import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        os.fork()
    except OSError:
        open('full', 'w').write('yes')";
        // A user that nobody else is, so that the limit counts the bomb alone.
        let user = NOBODY.to_string();
        let words = ["setpriv", "--reuid", &user, "--clear-groups", "prlimit", "--nproc=150", PYTHON, "-c", bomb];
        let mut init = run(&scene, mode).options(&["--grace", "500ms"]).program(&words).start();
        scene.wait_for("full", 1);
        let code = init.terminate();
        assert_eq!(code, 137, "{mode}");
        nothing_left_of(&scene);
    }
}

const NOBODY: u32 = 61_234;

#[test]
fn a_stopped_keeper_holds_nothing_up() {
    let scene = Scene::new();
    let mut init = hearing(scene.run().options(&["--grace", "500ms"]), &[]);
    let keeper = keeper_of(init.find("heard"));
    kill(keeper, Signal::STOP);
    until("it is stopped", || state(keeper) == Some('T'));
    init.terminate();
    assert_eq!(scene.read("heard"), "ready\n15\n");
    nothing_left_of(&scene);
}

#[test]
fn when_the_supervisor_is_killed_the_program_is_stopped_with_its_own_signal() {
    let scene = Scene::new();
    let script = "setsid /usr/bin/python3 \"$0\" daemon & exec /usr/bin/python3 \"$0\" heard";
    let options = ["--stop-signal", "QUIT", "--grace", NEVER];
    let mut init = scene.run().options(&options).program(&both(script)).start();
    scene.wait_for("heard", 1);
    scene.wait_for("daemon", 1);
    init.signal(Signal::KILL);
    init.wait();
    scene.nobody_is_left();
    assert_eq!((scene.read("heard"), scene.read("daemon")), ("ready\n3\n".to_owned(), "ready\n3\n".to_owned()));
}

#[test]
fn when_the_supervisor_is_killed_nothing_outlives_the_grace() {
    let scene = Scene::new();
    let script = "/usr/bin/python3 \"$0\" child stubborn & exec /usr/bin/python3 \"$0\" heard stubborn";
    let mut init = scene.run().options(&["--grace", "800ms"]).program(&both(script)).start();
    scene.wait_for("heard", 1);
    scene.wait_for("child", 1);
    kill(init.find("child"), Signal::STOP);
    let began = Instant::now();
    init.signal(Signal::KILL);
    init.wait();
    scene.wait_for("heard", 2);
    assert!(lives(find_in(&scene, "heard stubborn").expect("it has its grace")));
    scene.nobody_is_left();
    assert!(began.elapsed() >= Duration::from_millis(790), "{:?}", began.elapsed());
}

fn find_in(scene: &Scene, text: &str) -> Option<Pid> {
    scene.at_work().into_iter().find(|pid| command_line(*pid).contains(text))
}

#[test]
fn without_a_keeper_the_main_process_follows_a_killed_supervisor() {
    let scene = Scene::new();
    let mut init = hearing(run(&scene, "off"), &["stubborn"]);
    init.signal(Signal::KILL);
    init.wait();
    scene.nobody_is_left();
}

#[test]
fn other_inits_leave_everything_behind_when_they_are_killed() {
    let scene = Scene::new();
    let mut tini = scene.start("tini", &["tini", "-s", "--", PYTHON, &program("hears.py"), "heard"]);
    scene.wait_for("heard", 1);
    let program = tini.find("heard");
    tini.signal(Signal::KILL);
    tini.wait();
    std::thread::sleep(Duration::from_millis(300));
    assert!(lives(program));
    kill(program, Signal::KILL);
}

#[test]
fn a_generation_without_its_keeper_is_looked_after_directly() {
    let scene = Scene::new();
    let script = "/usr/bin/python3 \"$0\" child & exec /usr/bin/python3 \"$0\" heard";
    let ready = "exec:test $(grep -c ready heard) = $ADIEU_GENERATION";
    let options = ["--ready", ready, "--settle", "0"];
    let mut init = scene.run().name("x").options(&options).program(&both(script)).start();
    scene.wait_for("heard", 1);
    scene.wait_for("child", 1);
    let keeper = keeper_of(init.find("heard"));
    assert_ne!(keeper, init.pid);
    kill(keeper, Signal::KILL);
    until("the loss is noticed", || init.output().contains("looked after directly"));
    // It still hears signals, reloads, and stops.
    init.signal(Signal::USR1);
    scene.wait_for("heard", 2);
    init.replace();
    until("the old child is asked too", || scene.read("child").matches("15\n").count() == 1);
    assert_eq!(scene.read("heard"), "ready\n10\nready\n15\n");
    kill(keeper_of(init.find("heard")), Signal::KILL);
    assert_eq!(init.terminate(), 55);
    assert_eq!(scene.read("child").matches("15\n").count(), 2);
    nothing_left_of(&scene);
}
