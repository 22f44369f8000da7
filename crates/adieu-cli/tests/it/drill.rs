//! `adieu drill` and `adieu demo` as their users run them.

use std::process::Stdio;

use rustix::process::Signal;

use crate::harness::servers::PYTHON_PLAIN;
use crate::harness::{Port, Process, the_machine, wait_until_it_answers};
use crate::init::{ADIEU, Scene, lives, until};

/// A server that knows nothing of anybody, on a port of its own.
fn server(scene: &Scene) -> (Process, Port) {
    let port = Port::claim();
    let command = PYTHON_PLAIN.command(port.number(), scene.directory());
    let mut process = Process::start("server", &command, scene.directory());
    wait_until_it_answers(&mut process, port.number(), "/");
    (process, port)
}

#[test]
fn a_drill_that_loses_nothing_ends_with_0_and_one_that_does_with_1() {
    let _alone = the_machine();
    let scene = Scene::new();
    let (server, port) = server(&scene);
    let url = format!("http://127.0.0.1:{}/", port.number());
    let quick = ["--url", &url, "--calm", "300ms", "--pause", "300ms", "--count", "2", "--connections", "4"];
    let drill =
        |restart: &str, more: &[&str]| scene.adieu(&[&["drill", "--restart", restart][..], &quick, more].concat());
    let calm = drill("true", &["--expect", "hello from python"]);
    let text = String::from_utf8_lossy(&calm.stdout);
    assert_eq!(calm.status.code(), Some(0), "{text}");
    assert!(
        text.contains("2 restarts: 0 lost") && calm.stderr.is_empty(),
        "no bar where there is no terminal: {calm:?}"
    );
    let json = drill("true", &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    assert_eq!((report["restarts"].as_array().map(Vec::len), &report["interrupted"]), (Some(2), &false.into()));
    assert!(report["calm"]["p99_ms"].is_f64() && report["restarts"][1]["fresh"]["ok"].is_u64(), "{report:#}");
    let failed = drill("exit 3", &[]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stdout).contains("the restart command failed: exit status: 3"));
    // The second restart ends the server for good.
    let kill = format!("echo >>n; [ $(wc -l <n) -lt 2 ] || kill -9 {}", server.pid());
    let lost = drill(&kill, &["--timeout", "1s"]);
    assert_eq!(lost.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&lost.stdout).contains("refused"), "{lost:?}");
    // And then there is nothing to drill.
    let gone = drill("true", &[]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("start the server before the drill"), "{gone:?}");
}

#[test]
fn an_interrupted_drill_reports_what_it_has_seen() {
    let scene = Scene::new();
    let (_server, port) = server(&scene);
    let url = format!("http://127.0.0.1:{}/", port.number());
    let words = [ADIEU, "drill", "--restart", "echo >>n; sleep 60", "--url", &url, "--calm", "100ms"];
    let mut drill = scene.start("drill", &words);
    scene.wait_for("n", 1);
    drill.signal(Signal::INT);
    assert_eq!(drill.wait(), 130);
    let output = drill.process.output();
    assert!(output.contains("1 restarts: 0 lost") && output.contains("interrupted"), "{output}");
}

/// Everything that was started by a demo in this scene.
fn started(scene: &Scene) -> Vec<rustix::process::Pid> {
    let all = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let pids =
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(rustix::process::Pid::from_raw));
    let mark = format!("TMPDIR={}", scene.directory().display());
    let ours = |pid: &rustix::process::Pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()) && lives(*pid)
    };
    pids.filter(ours).collect()
}

fn nothing_is_left(scene: &Scene) {
    until("every process of the demo has ended", || started(scene).is_empty());
    let files: Vec<_> = std::fs::read_dir(scene.directory()).expect("it is there").flatten().collect();
    let names: Vec<_> = files.iter().map(std::fs::DirEntry::file_name).filter(|name| name != "demo.log").collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn the_demo_loses_requests_in_every_act_but_the_last_and_leaves_nothing() {
    let _alone = the_machine();
    let scene = Scene::new();
    let mut demo = scene.command(&[ADIEU, "demo"]);
    let output = demo.env("TMPDIR", scene.directory()).stdin(Stdio::null()).output().expect("adieu can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    // The last three lines are the table: name, requests, lost, ...
    let rows: Vec<&str> = text.trim_end().lines().rev().take(3).collect();
    let lost = |row: &str| {
        let numbers: Vec<u64> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        numbers.get(1).copied().unwrap_or_else(|| panic!("no row of the table: {row:?}"))
    };
    let [reload, terminate, kill] = rows.as_slice() else { panic!("no table:\n{text}") };
    assert!(reload.starts_with("adieu reload") && kill.starts_with("kill -9"), "{text}");
    assert_eq!(lost(reload), 0, "{text}");
    assert!(lost(terminate) > 0 && lost(kill) > 0, "{text}");
    nothing_is_left(&scene);
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    for act in ["1. kill -9", "3. adieu run"] {
        let scene = Scene::new();
        let mut command = scene.command(&[ADIEU, "demo"]);
        command.env("TMPDIR", scene.directory());
        let mut demo = Process::start("demo", &command, scene.directory());
        until("the act begins", || demo.output().contains(act));
        until("its server runs", || started(&scene).len() > 1);
        demo.signal(Signal::INT);
        assert!(!demo.wait().success());
        nothing_is_left(&scene);
    }
}
