//! Unix listeners: programs that only bind their path, that unlink it before or after, that die, that share an abstract name.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{it, python, python_with, serving_generation, without};
use crate::harness::unix::{ask, insist, under_load};
use crate::harness::{Instance, Process, Scene, the_machine, until};

pub(super) fn start(front: &[String], options: &[&str], arguments: &[&str]) -> Instance {
    let adieu = it().front(front).options(options).program(&python("paths.py")).arguments(arguments).start();
    until("it listens", || adieu.output().contains("listens on"));
    adieu
}

/// What is in the directory of the socket, second names included.
fn names(adieu: &Instance) -> Vec<String> {
    let all = std::fs::read_dir(adieu.scene.directory()).expect("it is there").flatten();
    let mut names: Vec<String> = all.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains("socket"));
    names.sort();
    names
}

/// Reloads under load; and for how long nobody was found at the path.
fn reloads(front: &[String], arguments: &[&str]) -> Duration {
    let adieu = start(front, &[], arguments);
    let path = adieu.scene.path("socket");
    let (ends, missed) = under_load(&path, |more| {
        for number in 1..=4 {
            adieu.replace();
            let answer = insist(&path).0.expect("it is served");
            assert_eq!(answer, format!("generation {}\n", number + 1), "{}", adieu.timeline());
            let status = adieu.status();
            let paths = &serving_generation(&status).paths;
            let expected = format!("unix:{}", std::fs::canonicalize(&path).expect("it is there").display());
            assert!(paths.len() == 1 && paths[0].target && paths[0].path == expected, "{status:#?}");
            more();
        }
    });
    println!("{arguments:?} {ends:?}, nobody there for {missed:?}");
    assert!(ends.keys().all(|end| is_answer(end)), "{front:?} {arguments:?}: {ends:?}\n{}", adieu.timeline());
    assert_eq!(ends.len(), 5, "{ends:?}");
    adieu.end();
    missed
}

fn is_answer(end: &str) -> bool {
    end.starts_with("generation ")
}

/// Without adieu the second one gets EADDRINUSE.
#[test]
fn one_that_only_binds_loses_nothing_under_load() {
    let _alone = the_machine();
    for front in [vec![], without("pidfd_getfd").to_vec()] {
        assert_eq!(reloads(&front, &["binds", "leaves"]), Duration::ZERO, "{front:?}");
    }
}

/// Between its `unlink` and the moment at which the path is put back nobody can be found there: that is the program's own
/// doing, and short. Whoever has connected is answered.
#[test]
fn one_that_unlinks_its_path_is_hardly_missed_under_load() {
    let _alone = the_machine();
    // By its own name the first generation, which knows no other, unlinks its path.
    for (way, stop) in [("unlinks", "leaves"), ("binds", "unlinks"), ("unlinks", "unlinks"), ("binds", "own")] {
        // Whoever insists finds somebody: for how long it had to is printed, and no test's to judge.
        reloads(&[], &[way, stop]);
    }
}

/// The control: what happens when a program that unlinks its path at its end is replaced without adieu.
#[test]
fn without_adieu_the_path_is_gone_for_good() {
    let scene = Scene::new();
    let start = |name: &str| {
        let command = scene.command(&python_with("paths.py", &["unlinks", "unlinks"]));
        let process = Process::start(name, &command, scene.directory());
        until("it listens", || process.output().contains("listens on"));
        process
    };
    let mut old = start("old");
    let _new = start("new");
    assert!(ask(&scene.path("socket"), "/").is_ok());
    old.signal(Signal::TERM);
    old.wait();
    assert!(ask(&scene.path("socket"), "/").is_err());
}

#[test]
fn nothing_is_left_behind_that_was_not_there_before() {
    for (way, stop, left) in [("binds", "leaves", &["socket"][..]), ("binds", "own", &[]), ("unlinks", "unlinks", &[])]
    {
        let mut adieu = start(&[], &[], &[way, stop]);
        for _ in 1..=2 {
            adieu.replace();
        }
        assert!(names(&adieu).len() <= 2 && names(&adieu).contains(&"socket".to_owned()), "{:?}", names(&adieu));
        adieu.signal(Signal::TERM);
        adieu.wait();
        assert_eq!(names(&adieu), left, "{way} {stop}");
    }
}

#[test]
fn the_new_socket_is_as_accessible_as_the_old_one() {
    let adieu = start(&[], &[], &["binds", "leaves", "mode=620"]);
    let path = adieu.scene.path("socket");
    let mode = || std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o620);
    adieu.replace();
    assert_eq!(mode(), 0o620);
    adieu.end();
}

#[test]
fn with_restart_clients_wait_and_are_served() {
    for way in ["binds", "unlinks"] {
        let adieu = start(&[], &["--restart", "on-failure"], &[way, "leaves"]);
        let path = adieu.scene.path("socket");
        for life in 2..4 {
            assert!(ask(&path, "/die").is_err());
            let answers: Vec<io::Result<String>> = thread::scope(|scope| {
                let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(&path, "/"))).collect();
                clients.into_iter().map(|client| client.join().expect("no client panics")).collect()
            });
            for answer in answers {
                let answer = answer.unwrap_or_else(|error| panic!("{way} {life}: {error}\n{}", adieu.timeline()));
                assert_eq!(answer, format!("generation {life}\n"), "{way}");
            }
        }
        adieu.end();
    }
}

#[test]
fn one_at_a_time_refuses_nobody_under_load() {
    let _alone = the_machine();
    let adieu = start(&[], &["--overlap", "no"], &["binds", "leaves"]);
    let (ends, _) = under_load(&adieu.scene.path("socket"), |more| {
        for _ in 1..=2 {
            adieu.replace();
            more();
        }
    });
    assert!(ends.keys().all(|end| is_answer(end)), "{ends:?}\n{}", adieu.timeline());
    adieu.end();
}

#[test]
fn one_that_does_not_listen_there_is_not_ready() {
    let adieu = start(&[], &["--ready-timeout", "1s"], &["binds", "leaves"]);
    let path = adieu.scene.path("socket");
    let told = adieu.fails_to_reload(&["--", "sleep", "20"]).said();
    assert!(told.contains("it does not listen on unix:"), "{told}");
    assert_eq!(ask(&path, "/").expect("it serves on"), "generation 1\n");
    adieu.end();
}

#[test]
fn an_abstract_name_is_shared() {
    let adieu = start(&[], &[], &["binds", "leaves", "@"]);
    for _ in 1..=2 {
        adieu.replace();
    }
    let status = adieu.status();
    let paths = &serving_generation(&status).paths;
    assert!(paths.len() == 1 && paths[0].path.starts_with("unix:@adieu-test-"), "{status:#?}");
    assert!(status.notes.iter().any(|note| note.contains("has no file: generations share it")), "{status:#?}");
    adieu.end();
}
