//! What else `adieu stop` promises: trees, ports, pre-stops, dumps, refusals.

use std::fs;

use serde_json::Value;

use super::case::{self, Case};
use crate::harness::proc::lives;
use crate::harness::{ADIEU, Instance, PYTHON, Scene, until};

fn started(scene: &Scene, script: &str) -> Instance {
    let init = scene.start("program", &["sh", "-c", script]);
    until("it is ready", || scene.path("ready").exists());
    init
}

#[test]
fn a_tree_is_stopped_only_if_it_is_meant() {
    let script = "sleep 1000 & sleep 1000 & touch ready; wait";
    for (options, remain) in [(&["--tree"][..], 0), (&[], 2)] {
        let scene = Scene::new();
        let mut init = started(&scene, script);
        until("both children run", || init.tree().len() == 2);
        let (pid, children) = (init.pid.to_string(), init.tree());
        let output = scene.adieu(&[&["stop", &pid, "--json"], options].concat());
        assert_eq!(output.code, 0, "{:#}", output.json());
        let left = children.iter().filter(|child| lives(**child)).count();
        for child in children {
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        }
        assert_eq!(left, remain, "{:#}", output.json());
        init.wait();
    }
}

#[test]
fn a_port_is_freed_by_its_topmost_owner() {
    let scene = Scene::new();
    let number = scene.port().to_string();
    let answer = scene.adieu(&["stop", "--port", &number]);
    assert_eq!(answer.code, 6, "nobody listens");
    // A master and a worker that holds the same socket.
    let server = "import os, signal, socket
s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))
child = os.fork()
if child == 0:
    signal.pause()
def end(*_):
    os.kill(child, signal.SIGTERM)
    os.wait()
    os._exit(0)
signal.signal(signal.SIGTERM, end)
open('ready', 'w').close()
while True:
    signal.pause()";
    let mut init = scene.start("server", &["env", &format!("PORT={number}"), PYTHON, "-c", server]);
    until("it is ready", || scene.path("ready").exists());
    let output = scene.adieu(&["stop", "--port", &number, "--json"]);
    assert_eq!(output.code, 0, "{:#}", output.json());
    assert_eq!(output.json()["targets"].as_array().map(Vec::len), Some(1), "the worker is left to its master");
    assert_eq!(init.wait(), 0);
    assert!(std::net::TcpListener::bind(("127.0.0.1", scene.port())).is_ok(), "the port is free");
}

#[test]
fn the_applications_own_shutdown_goes_first() {
    let scene = Scene::new();
    let number = scene.port().to_string();
    let server = "import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()
    def do_POST(self):
        self.do_GET()
        self.wfile.flush()
        os._exit(42)
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()";
    let mut init = scene.start("server", &["env", &format!("PORT={number}"), PYTHON, "-c", server]);
    init.wait_until_it_answers("/");
    let url = format!("http://127.0.0.1:{number}/shutdown");
    let output = scene.adieu(&["stop", &init.pid.to_string(), "--pre-stop", &url, "--json"]);
    assert_eq!(output.code, 0, "{:#}", output.json());
    let steps: Vec<Value> =
        output.json()["timeline"].as_array().expect("a timeline").iter().map(|e| e["what"].clone()).collect();
    assert_eq!(steps[0], "pre-stop");
    assert!(!steps.contains(&"killed".into()), "{steps:?}");
    let code = init.wait();
    // The signal may come before it has left by itself.
    assert!(code == 42 || (code == 143 && steps.contains(&"asked".into())), "{code}: {steps:?}");
}

fn corpus(name: &str) -> Case {
    case::all("stubborn").into_iter().find(|case| case.name == name).expect("a case of the corpus")
}

#[test]
fn what_it_was_doing_is_kept_before_it_is_killed() {
    for (name, text) in [("java-hook", "Main.flush"), ("go-unread", "main.main"), ("node-waits", "futex")] {
        let case = corpus(name);
        let running = case.start();
        let (pid, place) = (running.target.to_string(), format!("--dump={}", running.scene.directory().display()));
        let output = running.adieu(&["stop", &pid, "--grace", "1s", "--force", &place, "--json"]);
        assert_eq!(output.code, 3, "{name}: {:#}", output.json());
        let files = fs::read_dir(running.scene.directory()).expect("it is there").flatten();
        let dumps: Vec<_> = files.filter(|file| file.path().extension().is_some_and(|end| end == "dump")).collect();
        assert_eq!(dumps.len(), 1, "{name}");
        let kept = fs::read_to_string(dumps[0].path()).expect("text");
        assert!(kept.contains(text), "{name}: {kept}");
    }
}

#[test]
fn nothing_is_stopped_that_this_was_started_by() {
    let scene = Scene::new();
    let own = std::process::id().to_string();
    let output = scene.adieu(&["stop", &own, "--signal", "URG"]);
    assert_eq!(output.code, 2, "{output:?}");
    // A search passes it over, although its arguments have the text.
    let output = scene.adieu(&["stop", "--match", "text-of-this-very-command"]);
    assert_eq!(output.code, 6, "{output:?}");
}

#[test]
fn processes_that_proc_hides_are_told_from_those_that_are_not_there() {
    let scene = Scene::new();
    // A mount namespace of its own, in which another user sees only its own processes.
    let script = "mount -t proc -o hidepid=2 proc /proc || exit 99
setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" doctor 1; echo $? > hidden
setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" doctor 2147483647; echo $? > absent
setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" doctor --all > table; echo $? > all";
    let mut init = scene.start("hidden", &["unshare", "--mount", "sh", "-c", script, ADIEU]);
    assert_eq!(init.wait(), 0, "{}", init.output());
    assert!(init.output().contains("process 1 is there, but /proc does not show it"), "{}", init.output());
    assert_eq!((scene.read("hidden").trim(), scene.read("absent").trim(), scene.read("all").trim()), ("6", "6", "0"));
    assert!(scene.read("table").contains("doctor --all"), "its own process: {}", scene.read("table"));
}
