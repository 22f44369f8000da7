//! Names and control sockets: who gets which, who may talk, and what is said to nonsense.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use super::{program, run};
use crate::harness::{ADIEU, Instance, PYTHON, Run, Scene, Told, until};

/// Users that nobody is.
const USER: u32 = 61_235;
const STRANGER: u32 = 61_236;

/// Starts it with a program that writes its name down and sleeps.
fn sleeping(run: Run, scene: &Scene) -> Instance {
    let before = scene.read("names").lines().count();
    let init = run.program(&["sh", "-c", "echo $ADIEU_NAME >> names; exec sleep 1000"]).start();
    scene.wait_for("names", before + 1);
    init
}

#[test]
fn a_program_is_told_whether_its_connections_may_be_held() {
    for (mode, told) in [("auto", "yes\n"), ("pass", "yes\n"), ("off", "no\n")] {
        let scene = Scene::new();
        let mut init = run(&scene, mode).program(&["sh", "-c", "echo $ADIEU_PARKS > parks"]).start();
        assert_eq!(init.wait(), 0);
        assert_eq!(scene.read("parks"), told, "{mode}");
    }
}

#[test]
fn a_name_that_is_asked_for_is_had_or_refused() {
    let scene = Scene::new();
    let mut first = sleeping(scene.run().name("x"), &scene);
    let Told { code, error, .. } = scene.adieu(&["run", "--name", "x", "--", "true"]);
    assert_eq!(code, 125);
    assert!(error.contains("\"x\" is taken by a running instance") && error.contains("--name"), "{error}");
    for bad in ["../x", "", ".x", "a b"] {
        let Told { code, error, .. } = scene.adieu(&["run", "--name", bad, "--", "true"]);
        assert_eq!(code, 125, "{bad:?}");
        assert!(error.contains("cannot be used"), "{bad:?}: {error}");
    }
    first.terminate();
    assert_eq!(scene.adieu(&["run", "--name", "x", "--", "true"]).code, 0, "it is free again");
}

#[test]
fn a_name_that_is_not_asked_for_is_the_next_free_one() {
    let scene = Scene::new();
    let mut all: Vec<Instance> = (1..=3).map(|_| sleeping(scene.run(), &scene)).collect();
    assert_eq!(scene.read("names"), "sh\nsh-2\nsh-3\n");
    let Told { code, error, .. } = scene.adieu(&["reload"]);
    assert_eq!(code, 2);
    assert!(error.contains("several instances run") && error.contains("sh-2"), "{error}");
    for init in &mut all {
        init.terminate();
    }
    assert_eq!(
        fs::read_dir(scene.directory())
            .expect("it is there")
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|e| e == "sock" || e == "lock"))
            .count(),
        0
    );
}

#[test]
fn an_instance_is_found_by_its_name_with_and_without_an_at_sign_or_as_the_only_one() {
    let scene = Scene::new();
    let mut web = sleeping(scene.run().name("web"), &scene);
    for name in ["web", "@web"] {
        for words in [&["status", name][..], &["send", name, "CONT"], &["timeline", name], &["doctor", name]] {
            let Told { code, error, .. } = scene.adieu(words);
            assert_eq!(code, 0, "{words:?}: {error}");
        }
    }
    let timeline = scene.adieu(&["timeline"]);
    assert_eq!(timeline.code, 0);
    assert!(!timeline.out.is_empty());
    // A signal goes only where it is meant to.
    let Told { code, error, .. } = scene.adieu(&["send", "CONT"]);
    assert_eq!(code, 2);
    assert!(error.ends_with("adieu: running instances: web\n"), "{error}");
    let mut other = sleeping(scene.run().name("other"), &scene);
    let Told { code, error, .. } = scene.adieu(&["timeline"]);
    assert_eq!((code, error.as_str()), (2, "adieu: several instances run, name one of them: other, web\n"));
    other.terminate();
    assert_eq!(scene.adieu(&["stop", "@web"]).code, 0);
    web.wait();
}

#[test]
fn what_a_killed_instance_leaves_is_in_nobodys_way() {
    let scene = Scene::new();
    let mut first = sleeping(run(&scene, "off").name("x"), &scene);
    first.signal(Signal::KILL);
    first.wait();
    assert!(scene.path("x.sock").exists());
    for words in [&["status", "x"][..], &["reload", "x"], &["stop", "x"], &["send", "x", "HUP"], &["timeline", "x"]] {
        let Told { code, error, .. } = scene.adieu(words);
        assert_eq!((code, error.contains("no instance named \"x\"")), (6, true), "{words:?}: {error}");
    }
    assert_eq!(scene.adieu(&["reload"]).code, 6);
    let mut second = sleeping(scene.run().name("x"), &scene);
    assert_eq!(scene.adieu(&["status", "x"]).code, 0);
    second.terminate();
}

/// What is answered to these bytes; the connection stays open for writing.
fn answer(scene: &Scene, bytes: &[u8]) -> serde_json::Value {
    let mut stream = UnixStream::connect(scene.path("x.sock")).expect("it listens");
    // It may answer, and close, before it has read everything.
    drop(stream.write_all(bytes));
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("it answers");
    serde_json::from_str(&line).expect("JSON")
}

#[test]
fn nonsense_is_refused_and_holds_nobody_up() {
    let scene = Scene::new();
    let mut init = sleeping(scene.run().name("x"), &scene);
    let long = [b" ".repeat(300 * 1024), b"\n".to_vec()].concat();
    let endless = b"x".repeat(300 * 1024);
    let wrong: [&[u8]; 8] = [
        b"\n",
        b"reload\n",
        b"\xff\xfe\x00\n",
        b"{\"do\":\"explode\"}\n",
        b"{\"do\":\"reload\",\"wait\":\"never\"}\n",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
        &long,
        &endless,
    ];
    // Some say nothing at all, some half a line, and some go away.
    let silent: Vec<UnixStream> =
        (0..20).map(|_| UnixStream::connect(scene.path("x.sock")).expect("it listens")).collect();
    for mut stream in silent.iter().step_by(2) {
        stream.write_all(b"{\"do\":").expect("it reads");
    }
    for bytes in wrong {
        let reply = answer(&scene, bytes);
        assert_eq!((&reply["say"], &reply["code"]), (&"done".into(), &2.into()), "{reply}");
        assert!(reply["message"].as_str().is_some_and(|message| !message.is_empty()), "{reply}");
    }
    drop(silent);
    let crowd: Vec<UnixStream> = (0..200).filter_map(|_| UnixStream::connect(scene.path("x.sock")).ok()).collect();
    drop(crowd);
    until("it answers again", || scene.adieu(&["status", "x"]).is_fine());
    assert_eq!(init.terminate(), 143);
}

/// A command as a user without any right.
fn as_user<'a>(user: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    let groups = [
        "setpriv",
        "--reuid",
        user,
        "--regid",
        user,
        "--clear-groups",
        "env",
        "-u",
        "ADIEU_RUNTIME_DIR",
        "-u",
        "XDG_RUNTIME_DIR",
    ];
    [&groups[..], words].concat()
}

/// A copy of adieu that every user can execute, wherever the build directory is.
fn for_everybody(scene: &Scene) -> String {
    let copy = scene.path("adieu-copy");
    fs::copy(ADIEU, &copy).expect("it can be copied");
    fs::set_permissions(scene.directory(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    chown(scene.directory(), Some(USER), None).expect("the tests run as root");
    copy.display().to_string()
}

#[test]
fn where_no_directory_can_be_written_everything_works_all_the_same() {
    let scene = Scene::new();
    let adieu = for_everybody(&scene);
    let (user, stranger) = (USER.to_string(), STRANGER.to_string());
    let name = format!("abstract-{}", std::process::id());
    let ready = "exec:test $(grep -c ready heard) = $ADIEU_GENERATION";
    let hears = program("hears.py");
    fs::copy(hears, scene.path("hears.py")).expect("it can be copied");
    let run = [&adieu, "run", "--name", &name, "--ready", ready, "--settle", "0", "--", PYTHON, "hears.py", "heard"];
    let mut init = scene.start("adieu", &as_user(&user, &run));
    scene.wait_for("heard", 1);
    let ask = |user: &str, words: &[&str]| {
        let words = [&[adieu.as_str()], words].concat();
        Told::of(&mut scene.command(&as_user(user, &words)))
    };
    assert!(!ask(&user, &["status", &name]).out.is_empty());
    // Root may, others see nothing; another instance cannot take the name.
    for who in [&user, "0"] {
        let reload = ask(who, &["reload", &name, "--wait", "drained"]);
        assert!(reload.is_fine(), "as {who}: {reload:?}");
    }
    assert_eq!(ask(&stranger, &["stop", &name]).code, 6);
    assert_eq!(ask(&user, &["run", "--name", &name, "--", "true"]).code, 125);
    // A stranger who knows the address is told what is wrong.
    let talk = format!(
        "import socket
s = socket.socket(socket.AF_UNIX)
s.connect('\\0adieu/{USER}/{name}')
try:
    s.sendall(b'{{\"do\":\"stop\"}}\\n')
except OSError:
    pass # It did not wait for what we want.
print(s.makefile().readline())"
    );
    let reply = Told::of(&mut scene.command(&as_user(&stranger, &[PYTHON, "-c", &talk]))).json();
    assert_eq!((&reply["code"], &reply["message"]), (&5.into(), &"this instance belongs to another user".into()));
    assert!(!init.has_ended());
    assert_eq!(ask(&user, &["stop", &name]).code, 0);
    assert_eq!(init.wait(), 55);
}

#[test]
fn another_users_instance_is_not_ours_to_stop() {
    let scene = Scene::new();
    let adieu = for_everybody(&scene);
    let stranger = STRANGER.to_string();
    let mut init = sleeping(scene.run().name("x"), &scene);
    let runtime = format!("ADIEU_RUNTIME_DIR={}", scene.directory().display());
    let words = [&runtime, &adieu, "stop", "x"];
    let told = Told::of(&mut scene.command(&as_user(&stranger, &words.map(AsRef::as_ref))));
    let Told { code, error, .. } = told;
    assert_eq!((code, error.contains("belongs to another user")), (5, true), "{error}");
    assert!(!init.has_ended());
    init.terminate();
}

#[test]
fn a_runtime_directory_that_was_asked_for_and_cannot_be_had_is_an_error() {
    let scene = Scene::new();
    let file = scene.write("file", "");
    let elsewhere = ["env", &format!("ADIEU_RUNTIME_DIR={file}/x"), ADIEU, "run", "--", "true"];
    let Told { code, error, .. } = Told::of(&mut scene.command(&elsewhere));
    assert_eq!(code, 125);
    assert!(error.contains("runtime directory") && error.contains(&file), "{error}");
}

#[test]
fn options_are_variables_too_and_options_win() {
    let (scene, hears) = (Scene::new(), program("hears.py"));
    let variables = [
        "env",
        "ADIEU_NAME=fromenv",
        "ADIEU_STOP_SIGNAL=QUIT",
        "ADIEU_MAP_EXIT=43=0,44=1",
        "ADIEU_GRACE=50s",
        "ADIEU_SOCKETS=off",
    ];
    let words = [&variables[..], &[ADIEU, "run", "--", PYTHON, &hears, "heard"]].concat();
    let mut init = scene.start("adieu", &words);
    scene.wait_for("heard", 1);
    let status = scene.adieu(&["status", "--json", "fromenv"]).json();
    assert_eq!((&status["name"], &status["sockets"]), (&"fromenv".into(), &"off".into()));
    assert_eq!(init.terminate(), 0);
    let words = [&variables[..], &[ADIEU, "run", "--stop-signal", "INT", "--", PYTHON, &hears, "heard"]].concat();
    let mut init = scene.start("adieu", &words);
    scene.wait_for("heard", 3);
    assert_eq!(init.terminate(), 42);
}

#[test]
fn an_instance_below_another_has_a_name_of_its_own() {
    let scene = Scene::new();
    let script = "echo $ADIEU_NAME >> names; exec sleep 1000";
    let mut init = scene.run().name("x").program(&[ADIEU, "run", "--", "sh", "-c", script]).start();
    scene.wait_for("names", 1);
    assert_eq!(scene.read("names"), "sh\n");
    assert_eq!(init.terminate(), 143, "{}", init.output());
}
