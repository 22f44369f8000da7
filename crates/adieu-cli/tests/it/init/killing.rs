//! The end of the grace, and the end of whoever should have watched over it.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::{Init, MODES, PYTHON, Scene, lives, program, state, until};

fn kill(pid: Pid, signal: Signal) {
    rustix::process::kill_process(pid, signal).expect("the process is there");
}

/// Starts the recorder of signals, as a main process of its own.
fn hears(scene: &Scene, options: &[&str], extra: &[&str]) -> Init {
    let init = scene.run(options, &[&[PYTHON, &program("hears.py"), "heard"], extra].concat());
    scene.wait_for("heard", 1);
    init
}

#[test]
fn what_ignores_the_stop_is_killed_at_the_end_of_the_grace_and_not_before() {
    for mode in MODES {
        let scene = Scene::new();
        let mut init = hears(&scene, &["--sockets", mode, "--grace", "700ms"], &["stubborn"]);
        let (code, took) = init.stop();
        assert_eq!(code, 137, "{mode}");
        assert!(took >= Duration::from_millis(690) && took < Duration::from_secs(20), "{mode}: {took:?}");
        assert!(init.process.output().contains("the grace period is spent, killing"), "{}", init.process.output());
    }
}

#[test]
fn processes_that_never_stay_where_they_are_are_killed_too() {
    for mode in MODES {
        for sessions in ["no", "yes"] {
            let scene = Scene::new();
            let words = [PYTHON, &program("hops.py"), "8", sessions];
            let mut init = scene.run(&["--sockets", mode, "--grace", "300ms"], &words);
            scene.wait_for("hopping", 1);
            let (code, took) = init.stop();
            assert_eq!(code, 137, "{mode}, own sessions: {sessions}");
            assert!(took < Duration::from_secs(20), "{mode}, own sessions: {sessions}: {took:?}");
            nothing_left_of(&scene);
        }
    }
}

/// Nobody works in the directory of this test any more.
fn nothing_left_of(scene: &Scene) {
    let here = scene.directory().canonicalize().expect("the directory is there");
    let left: Vec<String> = std::fs::read_dir("/proc")
        .expect("/proc is mounted")
        .flatten()
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|there| there == here))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(left.is_empty(), "still there: {left:?}");
}

fn everybody_leaves(scene: &Scene) {
    let here = scene.directory().canonicalize().expect("the directory is there");
    until("everybody has left", || {
        let all = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
        !all.into_iter().any(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|there| there == here))
    });
}

#[test]
fn a_stopped_process_gets_its_stop() {
    for mode in MODES {
        let scene = Scene::new();
        let script = "/usr/bin/python3 \"$0\" child & exec /usr/bin/python3 \"$0\" heard";
        let mut init = scene.run(&["--sockets", mode, "--grace", "50s"], &["sh", "-c", script, &program("hears.py")]);
        scene.wait_for("heard", 1);
        scene.wait_for("child", 1);
        let (main, child) = (init.find("heard"), init.find("child"));
        for pid in [main, child] {
            kill(pid, Signal::STOP);
            until("it is stopped", || state(pid) == Some('T'));
        }
        let (code, took) = init.stop();
        assert_eq!(code, 55, "{mode}");
        assert!(took < Duration::from_secs(20), "{mode}: {took:?}");
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
        let mut init = scene.run(&["--sockets", mode, "--grace", "300ms"], &["sh", "-c", script]);
        let main = init.find("kill -STOP");
        until("it is stopped", || state(main) == Some('T'));
        assert_eq!(init.stop().0, 137, "{mode}");
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
        let mut init = scene.run(&["--sockets", mode, "--grace", "500ms"], &words);
        scene.wait_for("full", 1);
        let (code, took) = init.stop();
        assert_eq!(code, 137, "{mode}");
        assert!(took < Duration::from_secs(20), "{mode}: {took:?}");
        nothing_left_of(&scene);
    }
}

const NOBODY: u32 = 61_234;

#[test]
fn a_stopped_keeper_holds_nothing_up() {
    let scene = Scene::new();
    let mut init = hears(&scene, &["--grace", "500ms"], &[]);
    let keeper = keeper_of(init.find("heard"));
    kill(keeper, Signal::STOP);
    until("it is stopped", || state(keeper) == Some('T'));
    assert!(init.stop().1 < Duration::from_secs(20));
    assert_eq!(scene.read("heard"), "ready\n15\n");
    nothing_left_of(&scene);
}

#[test]
fn when_the_supervisor_is_killed_the_program_is_stopped_with_its_own_signal() {
    let scene = Scene::new();
    let script = "setsid /usr/bin/python3 \"$0\" daemon & exec /usr/bin/python3 \"$0\" heard";
    let options = ["--stop-signal", "QUIT", "--grace", "50s"];
    let mut init = scene.run(&options, &["sh", "-c", script, &program("hears.py")]);
    scene.wait_for("heard", 1);
    scene.wait_for("daemon", 1);
    init.signal(Signal::KILL);
    init.wait();
    everybody_leaves(&scene);
    assert_eq!((scene.read("heard"), scene.read("daemon")), ("ready\n3\n".to_owned(), "ready\n3\n".to_owned()));
}

#[test]
fn when_the_supervisor_is_killed_nothing_outlives_the_grace() {
    let scene = Scene::new();
    let script = "/usr/bin/python3 \"$0\" child stubborn & exec /usr/bin/python3 \"$0\" heard stubborn";
    let mut init = scene.run(&["--grace", "800ms"], &["sh", "-c", script, &program("hears.py")]);
    scene.wait_for("heard", 1);
    scene.wait_for("child", 1);
    kill(init.find("child"), Signal::STOP);
    let began = Instant::now();
    init.signal(Signal::KILL);
    init.wait();
    scene.wait_for("heard", 2);
    assert!(lives(find_in(&scene, "heard stubborn").expect("it has its grace")));
    everybody_leaves(&scene);
    assert!(began.elapsed() >= Duration::from_millis(790), "{:?}", began.elapsed());
}

fn find_in(scene: &Scene, text: &str) -> Option<Pid> {
    let here = scene.directory().canonicalize().expect("the directory is there");
    let all = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    all.filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|there| there == here))
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .find(|pid| super::command_line(*pid).contains(text))
}

#[test]
fn without_a_keeper_the_main_process_follows_a_killed_supervisor() {
    let scene = Scene::new();
    let mut init = hears(&scene, &["--sockets", "off"], &["stubborn"]);
    init.signal(Signal::KILL);
    init.wait();
    everybody_leaves(&scene);
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
    let options = ["--name", "x", "--ready", ready, "--settle", "0"];
    let mut init = scene.run(&options, &["sh", "-c", script, &program("hears.py")]);
    scene.wait_for("heard", 1);
    scene.wait_for("child", 1);
    let keeper = keeper_of(init.find("heard"));
    assert_ne!(keeper, init.pid);
    kill(keeper, Signal::KILL);
    until("the loss is noticed", || init.process.output().contains("looked after directly"));
    // It still hears signals, reloads, and stops.
    init.signal(Signal::USR1);
    scene.wait_for("heard", 2);
    let reload = scene.adieu(&["reload", "x", "--wait", "drained"]);
    assert!(reload.status.success(), "{reload:?}\n{}", init.process.output());
    until("the old child is asked too", || scene.read("child").matches("15\n").count() == 1);
    assert_eq!(scene.read("heard"), "ready\n10\nready\n15\n");
    kill(keeper_of(init.find("heard")), Signal::KILL);
    assert_eq!(init.stop().0, 55);
    assert_eq!(scene.read("child").matches("15\n").count(), 2);
    nothing_left_of(&scene);
}

/// The parent of a main process.
fn keeper_of(main: Pid) -> Pid {
    let output = Command::new("ps").args(["-o", "ppid=", "-p", &main.to_string()]).output().expect("ps can be started");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.parse().ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("{main} has no parent: {text:?}"))
}
