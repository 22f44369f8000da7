//! Pre-stop and post-stop: run when they should, told why, never in the way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{MODES, hears, run};
use crate::harness::proc::kill;
use crate::harness::{PATIENCE, PYTHON, Run, Scene, until};

/// Writes the facts from the environment on one line and the JSON from standard input on the next.
const TELL: &str = "echo $ADIEU_EVENT $ADIEU_NAME $ADIEU_GENERATION cause=$ADIEU_CAUSE code=$ADIEU_CODE \
                    signal=$ADIEU_SIGNAL pid=$ADIEU_PID >> told; cat >> told; echo >> told";

/// An `adieu run` of this name that tells of every end.
fn tells(scene: &Scene, mode: &str, name: &str) -> Run {
    run(scene, mode).name(name).options(&["--post-stop", TELL])
}

/// The words and the JSON of each end that was told.
fn told(scene: &Scene) -> Vec<(String, serde_json::Value)> {
    let text = scene.read("told");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines: Vec<&str> = whole.lines().collect();
    lines.chunks_exact(2).map(|both| (both[0].to_owned(), serde_json::from_str(both[1]).expect("JSON"))).collect()
}

#[test]
fn post_stop_is_told_how_the_program_ended() {
    // Script, options, what ends it from outside, cause, code, signal.
    type Row = (&'static str, &'static [&'static str], Option<Signal>, &'static str, i32, &'static str);
    let table: [Row; 6] = [
        ("exit 0", &[], None, "exit", 0, ""),
        ("exit 3", &[], None, "exit", 3, ""),
        ("kill -KILL $$", &[], None, "signal", 137, "SIGKILL"),
        ("kill -SEGV $$", &[], None, "signal", 139, "SIGSEGV"),
        ("echo > up; exec sleep 1000", &[], Some(Signal::TERM), "exit", 143, "SIGTERM"),
        (
            "trap '' TERM; echo > up; while :; do sleep 0.05; done",
            &["--grace", "300ms"],
            Some(Signal::TERM),
            "forced",
            137,
            "SIGKILL",
        ),
    ];
    for mode in MODES {
        for (script, options, ending, cause, code, signal) in table {
            let scene = Scene::new();
            let mut init = tells(&scene, mode, "x").options(options).program(&["sh", "-c", script]).start();
            let mut pid = None;
            if let Some(ending) = ending {
                scene.wait_for("up", 1);
                pid = Some(init.find("sleep").as_raw_nonzero().get());
                init.signal(ending);
            }
            assert_eq!(init.wait(), code, "{mode} {script}");
            let all = told(&scene);
            let [(words, json)] = all.as_slice() else { panic!("{mode} {script}: told {all:?}") };
            let expected = format!("post-stop x 1 cause={cause} code={code} signal={signal} pid=");
            assert!(words.starts_with(&expected), "{mode} {script}: {words}");
            assert_eq!((&json["cause"], &json["code"], &json["generation"]), (&cause.into(), &code.into(), &1.into()));
            assert_eq!(json["signal"], if signal.is_empty() { serde_json::Value::Null } else { signal.into() });
            assert!(json["started"].as_f64() <= json["ended"].as_f64() && json["pid"].as_i64() > Some(1), "{json}");
            if cause == "exit" && pid.is_some() {
                assert_eq!(json["pid"].as_i64(), pid.map(i64::from), "{mode} {script}");
            }
        }
    }
}

#[test]
fn a_kill_from_outside_is_a_signal_and_no_force() {
    for mode in MODES {
        let scene = Scene::new();
        let mut init = tells(&scene, mode, "x").program(&["sleep", "1000"]).start();
        let main = init.find("sleep 1000");
        kill(main, Signal::KILL);
        assert_eq!(init.wait(), 137);
        let (words, _) = told(&scene).remove(0);
        assert!(words.contains(&format!("cause=signal code=137 signal=SIGKILL pid={main}")), "{mode}: {words}");
    }
}

/// A memory cgroup (v1) of its own; removed when everything in it has ended.
struct MemoryGroup(std::path::PathBuf);

impl MemoryGroup {
    fn new(limit: usize) -> Self {
        let path = std::path::PathBuf::from(format!("/sys/fs/cgroup/memory/adieu-test-{}", std::process::id()));
        std::fs::create_dir(&path).expect("the memory controller is mounted as cgroup v1");
        std::fs::write(path.join("memory.limit_in_bytes"), limit.to_string()).expect("a limit can be set");
        Self(path)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        until("the cgroup is empty", || std::fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn a_kill_for_memory_is_told_apart() {
    for mode in MODES {
        let scene = Scene::new();
        let group = MemoryGroup::new(64 << 20);
        // In the group with everything, as in a container, and moved there by the program itself.
        let procs = group.0.join("cgroup.procs").display().to_string();
        let eat = "eat = [bytearray(8 << 20) for _ in range(64)]";
        let join = format!("echo $$ > {procs}; exec \"$@\"");
        let within = tells(&scene, mode, "x").front(&["sh", "-c", &join, "sh"]).program(&[PYTHON, "-c", eat]);
        assert_eq!(within.start().wait(), 137, "{mode}");
        // The supervisor has to see where it is, and looks once a second.
        let inside = ["sh", "-c", &join, "sh", "sh", "-c", "sleep 4; exec \"$@\"", "sh", PYTHON, "-c", eat];
        let mut init = tells(&scene, mode, "y").program(&inside).start();
        assert_eq!(init.wait(), 137, "{mode}");
        // And one that is killed in there for another reason.
        let sleeps = ["sh", "-c", &join, "sh", "sh", "-c", "sleep 4; kill -KILL $$"];
        tells(&scene, mode, "z").program(&sleeps).start().wait();
        let causes: Vec<String> =
            told(&scene).into_iter().map(|(_, json)| json["cause"].as_str().expect("a word").to_owned()).collect();
        assert_eq!(causes, ["oom", "oom", "signal"], "{mode}");
    }
}

#[test]
fn a_crash_loop_is_called_one() {
    let scene = Scene::new();
    let mut init =
        scene.run().options(&["--restart", "on-failure", "--post-stop", TELL]).program(&["sh", "-c", "exit 1"]).start();
    until("it has crashed six times", || told(&scene).len() >= 6);
    init.terminate();
    let causes: Vec<String> =
        told(&scene).into_iter().map(|(_, json)| json["cause"].as_str().expect("a word").to_owned()).collect();
    assert_eq!(causes[..6], ["exit", "exit", "exit", "exit", "crash-loop", "crash-loop"]);
}

#[test]
fn every_generation_is_told_on_its_own() {
    let scene = Scene::new();
    let mut init = tells(&scene, "off", "x").program(&hears()).start();
    for generation in 2..=3 {
        scene.wait_for("heard", 2 * generation - 3);
        init.must_reload(&[]);
    }
    scene.wait_for("heard", 5);
    init.terminate();
    let words: Vec<String> =
        told(&scene).into_iter().map(|(words, _)| words.split(" cause").next().expect("a part").to_owned()).collect();
    assert_eq!(words, ["post-stop x 1", "post-stop x 2", "post-stop x 3"]);
}

/// An HTTP server that answers with this status, or not at all, and passes on what it was asked.
fn server(status: Option<u16>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut silent: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().expect("a descriptor can be duplicated"));
            let (mut text, mut length) = (String::new(), 0);
            while reader.read_line(&mut text).is_ok_and(|read| read > 2) {
                let last = text.lines().last().unwrap_or_default().to_ascii_lowercase();
                length = last.strip_prefix("content-length: ").map_or(length, |value| value.parse().expect("a number"));
            }
            let mut body = vec![0; length];
            drop(reader.read_exact(&mut body));
            text.push_str(&String::from_utf8_lossy(&body));
            drop(sender.send(text));
            match status {
                Some(status) => {
                    drop((&stream).write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes()))
                }
                None => silent.push(stream),
            }
        }
    });
    (url, receiver)
}

#[test]
fn urls_get_a_post_with_the_same_facts() {
    for mode in MODES {
        let (before, asked_before) = server(Some(204));
        let (after, asked_after) = server(Some(200));
        let scene = Scene::new();
        let options = ["--pre-stop", &before, "--post-stop", &after];
        let mut init = run(&scene, mode).name("x").options(&options).program(&hears()).start();
        scene.wait_for("heard", 1);
        assert_eq!(init.terminate(), 55);
        let asked = asked_before.recv_timeout(PATIENCE).expect("it was asked");
        assert!(asked.starts_with("POST /hook HTTP/1.1\r\n"), "{asked}");
        let asked = asked_after.recv_timeout(PATIENCE).expect("it was asked");
        let json: serde_json::Value = serde_json::from_str(asked.lines().last().unwrap_or_default()).expect("JSON");
        assert_eq!((&json["cause"], &json["code"], &json["name"]), (&"exit".into(), &55.into(), &"x".into()));
        let output = init.output();
        assert!(!output.contains("pre-stop") && !output.contains("post-stop"), "{output}");
    }
}

#[test]
fn pre_stop_runs_while_the_program_still_knows_nothing() {
    for mode in MODES {
        let scene = Scene::new();
        let hook = "echo $ADIEU_EVENT $ADIEU_PID >> heard; sleep 0.3; echo over >> heard";
        let mut init = run(&scene, mode).name("x").options(&["--pre-stop", hook]).program(&hears()).start();
        scene.wait_for("heard", 1);
        let main = init.find("hears.py");
        assert_eq!(init.terminate(), 55);
        assert_eq!(scene.read("heard"), format!("ready\npre-stop {main}\nover\n15\n"), "{mode}");
    }
}

#[test]
fn a_hook_that_hangs_leaves_the_program_its_time() {
    let (silent, _asked) = server(None);
    for mode in MODES {
        for hook in ["trap '' TERM; sleep 1000; :", &silent] {
            let scene = Scene::new();
            let options = ["--grace", "2s", "--pre-stop", hook, "--post-stop", hook];
            let mut init = run(&scene, mode).options(&options).program(&hears()).start();
            scene.wait_for("heard", 1);
            let began = Instant::now();
            let code = init.terminate();
            // Asked in the reserve of the grace and not killed; then post-stop has a grace of its own.
            assert_eq!((code, scene.read("heard").as_str()), (55, "ready\n15\n"), "{mode}: {hook}");
            assert!(began.elapsed() > Duration::from_millis(3400), "{mode}: {hook}: {:?}", began.elapsed());
        }
    }
}

#[test]
fn hooks_that_fail_are_named() {
    let (refuses, _asked) = server(Some(500));
    for mode in MODES {
        for (hook, why) in
            [("exit 9", "ended with"), (refuses.as_str(), "status 500"), ("http://127.0.0.1:1/x", "failed")]
        {
            let scene = Scene::new();
            let options = ["--pre-stop", hook, "--post-stop", hook];
            let mut init = run(&scene, mode).options(&options).program(&hears()).start();
            scene.wait_for("heard", 1);
            assert_eq!(init.terminate(), 55, "{mode}: {hook}");
            let output = init.output();
            for which in ["pre-stop", "post-stop"] {
                let line = output.lines().find(|line| line.contains(which)).unwrap_or_default();
                assert!(line.contains("generation 1") && line.contains(why), "{mode}: {hook}: {output}");
            }
        }
    }
}
