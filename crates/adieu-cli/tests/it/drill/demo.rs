//! `adieu demo`: what it shows, and that nothing is left of it.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};

use crate::harness::proc::{all, lives};
use crate::harness::{ADIEU, Process, Scene, the_machine, until};

/// Everything that was started by a demo whose directory for temporary files is this one.
pub(super) fn started(scene: &Scene) -> Vec<Pid> {
    let mark = format!("TMPDIR={}", scene.path("tmp").display());
    let ours = |pid: &Pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()) && lives(*pid)
    };
    all().filter(ours).collect()
}

pub(super) fn scene_for_a_demo() -> Scene {
    let scene = Scene::new();
    fs::create_dir(scene.path("tmp")).expect("a test's own directory is writable");
    scene
}

/// When a demo has ended: it has waited for all that it had started, so nobody is waited for here.
pub(super) fn nothing_is_left(scene: &Scene) {
    assert_eq!(started(scene), []);
    let files: Vec<_> = fs::read_dir(scene.path("tmp")).expect("it is there").flatten().collect();
    assert!(files.is_empty(), "{files:?}");
}

fn demo(scene: &Scene) -> Command {
    let mut demo = scene.command(&[ADIEU, "demo"]);
    demo.env("TMPDIR", scene.path("tmp")).stdin(Stdio::null());
    demo
}

#[test]
fn the_demo_loses_requests_in_every_act_but_the_last_and_leaves_nothing() {
    let _alone = the_machine();
    let scene = scene_for_a_demo();
    // With nothing but a shell, and its sleep.
    fs::create_dir(scene.path("bin")).expect("a test's own directory is writable");
    for name in ["sh", "sleep"] {
        std::os::unix::fs::symlink(format!("/bin/{name}"), scene.path("bin").join(name)).expect("a link can be made");
    }
    let output = demo(&scene).env("PATH", scene.path("bin")).output().expect("adieu can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no bar without a terminal, and nothing went wrong");
    nothing_is_left(&scene);
    // Name, requests, lost, ...
    let rows: Vec<&str> = text.trim_end().lines().rev().take(3).collect();
    let lost = |row: &str| {
        let numbers: Vec<u64> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        numbers.get(1).copied().unwrap_or_else(|| panic!("no row of the table: {row:?}"))
    };
    let [reload, terminate, kill] = rows.as_slice() else { panic!("no table:\n{text}") };
    assert!(reload.starts_with("adieu reload") && kill.starts_with("kill -9"), "{text}");
    assert_eq!(lost(reload), 0, "{text}");
    assert!(lost(terminate) > 0 && lost(kill) > 0, "{text}");
    assert_eq!(text.matches("6 restarts: ").count(), 3, "{text}");
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    for (act, signal) in [("1. kill -9", Signal::INT), ("2. SIGTERM", Signal::HUP), ("3. adieu run", Signal::TERM)] {
        let scene = scene_for_a_demo();
        let mut running = Process::start("demo", &demo(&scene), scene.directory());
        until("the act begins", || running.output().contains(act));
        until("its server runs", || started(&scene).len() > 1);
        running.signal(signal);
        let status = running.wait();
        assert_eq!(status.code(), Some(130), "{act}: {}", running.output());
        nothing_is_left(&scene);
    }
}

#[test]
fn a_demo_ends_when_nobody_reads_it() {
    let scene = scene_for_a_demo();
    let mut running = demo(&scene).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("adieu can be started");
    drop(running.stdout.take());
    let output = running.wait_with_output().expect("it can be waited for");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(130), ""));
    nothing_is_left(&scene);
}
