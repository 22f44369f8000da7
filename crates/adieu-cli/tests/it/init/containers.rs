//! In real containers, as PID 1: an engine with its default profile, and with everything taken away.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::engine::Engine;
use crate::harness::{NEVER, Port, count, get, the_machine, until};

/// The least that a container can have.
const HARDENED: &[&str] =
    &["--user", "1000:1000", "--cap-drop", "ALL", "--read-only", "--security-opt", "no-new-privileges"];

const WAYS: [&[&str]; 2] = [&[], HARDENED];

/// Seconds until the engine kills, as long as the grace: whichever of them were waited for, the command would not return in
/// a test's patience.
const NEVER_KILLS: u32 = 600;

/// A server that needs half a second to clean up, behind a shell as most images have it.
const WORK: &str = "trap 'sleep 0.5; echo clean; exit 7' TERM QUIT; echo ready; while :; do sleep 0.05; done";

/// busybox has the tools, and no links to them.
fn shell(script: &str) -> [&str; 4] {
    ["/bin/busybox", "sh", "-c", script]
}

#[test]
fn a_container_stops_as_soon_as_its_work_is_done() {
    let engine = Engine::start();
    let behind = format!("busybox sh -c \"{WORK}\"; true");
    for (at, way) in WAYS.iter().enumerate() {
        for sockets in ["auto", "off"] {
            let name = format!("adieu-{at}-{sockets}");
            let run = ["--network", "none", "it", "/bin/adieu", "run", "--grace", NEVER, "--sockets", sockets, "--"];
            engine.run(&name, &[way, &run[..], &shell(WORK)].concat());
            engine.wait_for(&name, "ready");
            assert_eq!(engine.stop(&name, NEVER_KILLS), 7, "{name}: {}", engine.logs(&name));
            assert!(engine.logs(&name).contains("clean"), "{name}: {}", engine.logs(&name));

            let name = format!("behind-{at}-{sockets}");
            engine.run(&name, &[way, &run[..], &shell(&behind)].concat());
            engine.wait_for(&name, "ready");
            assert_eq!(engine.stop(&name, NEVER_KILLS), 143, "{name}: {}", engine.logs(&name));
            assert!(engine.logs(&name).contains("clean"), "{name}: {}", engine.logs(&name));
        }
    }
    // The same without us: a shell as PID 1 hears nothing, and everything is killed when the time is over.
    engine.run("shell", &[&["--network", "none", "it"][..], &shell(&behind)].concat());
    engine.wait_for("shell", "ready");
    let began = Instant::now();
    assert_eq!((engine.stop("shell", 3), engine.logs("shell").contains("clean")), (137, false));
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn the_signal_of_the_image_stops() {
    let engine = Engine::start();
    engine.build("quits", "STOPSIGNAL SIGQUIT\nENV ADIEU_STOP_SIGNAL=QUIT ADIEU_RESTART=always ADIEU_GRACE=10m");
    let work = "trap 'echo got QUIT; exit 0' QUIT; trap 'echo got TERM; exit 1' TERM; echo ready; while :; do sleep 0.05; done";
    engine.run("quits", &[&["--network", "none", "quits", "/bin/adieu", "run", "--"][..], &shell(work)].concat());
    engine.wait_for("quits", "ready");
    let code = engine.stop("quits", NEVER_KILLS);
    let logs = engine.logs("quits");
    assert_eq!((code, logs.matches("ready").count(), logs.contains("got QUIT")), (0, 1, true), "{logs}");
}

#[test]
fn a_kill_for_memory_in_a_container_is_told() {
    let engine = Engine::start();
    let run = ["--network", "none", "--memory", "64m", "--memory-swap", "64m", "it", "/bin/adieu", "run"];
    let hook = ["--post-stop", "echo told $ADIEU_CAUSE $ADIEU_CODE", "--"];
    engine.run("eats", &[&run[..], &hook, &shell("exec tail /dev/zero")].concat());
    until("it has ended", || engine.must(&["inspect", "--format", "{{.State.Running}}", "eats"]).trim() == "false");
    assert!(engine.logs("eats").contains("told oom 137"), "{}", engine.logs("eats"));
}

/// What clients see while something is done.
fn under_load(port: u16, act: impl FnOnce(&dyn Fn())) -> (usize, Vec<String>) {
    let (answered, lost, over) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match get(port, "/") {
                        Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => lost.lock().expect("nobody panics with it").push(error.to_string()),
                    }
                }
            });
        }
        let more = || {
            let enough = answered.load(Ordering::Relaxed) + 200;
            until("clients are answered", || answered.load(Ordering::Relaxed) >= enough);
        };
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&more)));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = acted {
            std::panic::resume_unwind(panic);
        }
    });
    (answered.into_inner(), lost.into_inner().expect("nobody panicked with it"))
}

#[test]
fn a_reload_inside_a_container_loses_nothing() {
    let _alone = the_machine();
    let engine = Engine::start();
    let ways: [&[&str]; 3] = [&[], HARDENED, &["--cap-add", "SYS_PTRACE"]];
    for (at, way) in ways.iter().enumerate() {
        let (port, name) = (Port::claim(), format!("web-{at}"));
        let environment = format!("PORT={}", port.number());
        // The host's network: then the clients need no bridge.
        let run = [
            "--network",
            "host",
            "--env",
            &environment,
            "it",
            "/bin/adieu",
            "run",
            "--name",
            &name,
            "--settle",
            "100ms",
            "--grace",
            NEVER,
        ];
        engine.run(&name, &[way, &run[..], &["--", "/bin/server"]].concat());
        until("it answers", || get(port.number(), "/").is_ok());
        let (answered, lost) = under_load(port.number(), |more| {
            for _ in 0..count(5, 50) {
                more();
                let reload = engine.docker(&["exec", &name, "/bin/adieu", "reload", &name, "--wait", "drained"]);
                assert!(reload.is_fine(), "{way:?}: {reload:?}\n{}", engine.logs(&name));
            }
            more();
        });
        let timeline = || engine.must(&["exec", &name, "/bin/adieu", "timeline", &name]);
        println!("{way:?}: {answered} answered\n{}", engine.must(&["exec", &name, "/bin/adieu", "status", &name]));
        assert!(lost.is_empty(), "{way:?}: {lost:?}\n{}", timeline());
        assert_eq!(engine.stop(&name, NEVER_KILLS), 0, "{way:?}: {}", engine.logs(&name));
    }
}

#[test]
fn a_restart_of_the_container_loses_what_a_reload_keeps() {
    let _alone = the_machine();
    let engine = Engine::start();
    let port = Port::claim();
    let environment = format!("PORT={}", port.number());
    engine.run("web", &["--network", "host", "--env", &environment, "it", "/bin/server"]);
    until("it answers", || get(port.number(), "/").is_ok());
    let (_, lost) = under_load(port.number(), |more| {
        more();
        engine.must(&["restart", "web"]);
        more();
    });
    assert!(!lost.is_empty(), "were nothing lost here, the other test would prove nothing");
}
