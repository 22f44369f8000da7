//! Unix listeners: programs that only bind their path, that unlink it before or after, that die, that share an abstract name.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{SHORT, c, python, said, serving_generation, words};
use crate::harness::{Adieu, PATIENCE, Place, Process, Setup, the_machine};
use crate::init::until;

pub(super) fn ask(path: &Path, what: &str) -> io::Result<String> {
    let mut connection = UnixStream::connect(path)?;
    connection.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(connection, "GET {what} HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).ok_or_else(|| io::Error::other("cut off"))
}

/// As a client that tries again when it finds nothing at the path; and for how long it did.
fn insist(path: &Path) -> (io::Result<String>, Duration) {
    let (began, mut missed) = (Instant::now(), Duration::ZERO);
    loop {
        match ask(path, "/") {
            Err(error) if error.kind() == io::ErrorKind::NotFound && missed < PATIENCE => missed = began.elapsed(),
            end => return (end, missed),
        }
    }
}

/// How the requests of several clients ended, while something was done; those that found nothing at the path are there as
/// well, and the longest time in which one did not.
pub(super) fn under_load(path: &Path, act: impl FnOnce(&dyn Fn())) -> (BTreeMap<String, usize>, Duration) {
    let (ends, over) = (Mutex::new(BTreeMap::<String, usize>::new()), AtomicBool::new(false));
    let longest = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let (end, missed) = insist(path);
                    let end = end.unwrap_or_else(|error| error.to_string());
                    let mut longest = longest.lock().expect("no client panicked");
                    *longest = (*longest).max(missed);
                    drop(longest);
                    *ends.lock().expect("no client panicked").entry(end).or_default() += 1;
                }
            });
        }
        let all = || ends.lock().expect("no client panicked").values().sum::<usize>();
        let more = || {
            let enough = all() + 100;
            until("clients are answered", || all() >= enough);
        };
        more();
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&more)));
        more();
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = acted {
            std::panic::resume_unwind(panic);
        }
    });
    (ends.into_inner().expect("no client panicked"), longest.into_inner().expect("no client panicked"))
}

pub(super) fn start(front: &[&str], options: &[&str], arguments: &[&str]) -> Adieu {
    let program = python("paths.py");
    let program = [&words(&program)[..], arguments].concat();
    let options = [SHORT, options].concat();
    let adieu = Place::new().run(Setup { name: "it", front, options: &options, environment: &[], program: &program });
    until("it listens", || adieu.output().contains("listens on"));
    adieu
}

/// What is in the directory of the socket, second names included.
fn names(adieu: &Adieu) -> Vec<String> {
    let all = std::fs::read_dir(adieu.place().directory()).expect("it is there").flatten();
    let mut names: Vec<String> = all.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains("socket"));
    names.sort();
    names
}

/// Reloads under load; and for how long nobody was found at the path.
fn reloads(front: &[&str], arguments: &[&str]) -> Duration {
    let adieu = start(front, &[], arguments);
    let path = adieu.place().path("socket");
    let (ends, missed) = under_load(&path, |more| {
        for number in 1..=4 {
            adieu.reload(number);
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
    adieu.stop();
    missed
}

fn is_answer(end: &str) -> bool {
    end.starts_with("generation ")
}

fn without<'a>(call: &'a str, tool: &'a str) -> [&'a str; 3] {
    [tool, call, "--"]
}

/// Without adieu the second one gets EADDRINUSE.
#[test]
fn one_that_only_binds_loses_nothing_under_load() {
    let _alone = the_machine();
    let tool = c("without");
    for front in [&[][..], &without("pidfd_getfd", &tool)] {
        assert_eq!(reloads(front, &["binds", "leaves"]), Duration::ZERO, "{front:?}");
    }
}

/// Between its `unlink` and the moment at which the path is put back nobody can be found there: that is the program's own
/// doing, and short. Whoever has connected is answered.
#[test]
fn one_that_unlinks_its_path_is_hardly_missed_under_load() {
    let _alone = the_machine();
    // By its own name the first generation, which knows no other, unlinks its path.
    for (way, stop) in [("unlinks", "leaves"), ("binds", "unlinks"), ("unlinks", "unlinks"), ("binds", "own")] {
        let missed = reloads(&[], &[way, stop]);
        assert!(missed < Duration::from_secs(5), "{way} {stop}: {missed:?}");
    }
}

/// The control: what happens when a program that unlinks its path at its end is replaced without adieu.
#[test]
fn without_adieu_the_path_is_gone_for_good() {
    let place = Place::new();
    let program = python("paths.py");
    let start = |name: &str| {
        let mut command = std::process::Command::new(&program[0]);
        command.args(&program[1..]).args(["unlinks", "unlinks"]).current_dir(place.directory());
        let process = Process::start(name, &command, place.directory());
        until("it listens", || process.output().contains("listens on"));
        process
    };
    let mut old = start("old");
    let _new = start("new");
    assert!(ask(&place.path("socket"), "/").is_ok());
    old.signal(rustix::process::Signal::TERM);
    old.wait();
    assert!(ask(&place.path("socket"), "/").is_err());
}

#[test]
fn nothing_is_left_behind_that_was_not_there_before() {
    for (way, stop, left) in [("binds", "leaves", &["socket"][..]), ("binds", "own", &[]), ("unlinks", "unlinks", &[])]
    {
        let mut adieu = start(&[], &[], &[way, stop]);
        for number in 1..=2 {
            adieu.reload(number);
        }
        assert!(names(&adieu).len() <= 2 && names(&adieu).contains(&"socket".to_owned()), "{:?}", names(&adieu));
        adieu.signal(rustix::process::Signal::TERM);
        adieu.wait();
        assert_eq!(names(&adieu), left, "{way} {stop}");
    }
}

#[test]
fn the_new_socket_is_as_accessible_as_the_old_one() {
    let adieu = start(&[], &[], &["binds", "leaves", "mode=620"]);
    let path = adieu.place().path("socket");
    let mode = || std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o620);
    adieu.reload(1);
    assert_eq!(mode(), 0o620);
    adieu.stop();
}

#[test]
fn with_restart_clients_wait_and_are_served() {
    for way in ["binds", "unlinks"] {
        let adieu = start(&[], &["--restart", "on-failure"], &[way, "leaves"]);
        let path = adieu.place().path("socket");
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
        adieu.stop();
    }
}

#[test]
fn one_at_a_time_refuses_nobody_under_load() {
    let _alone = the_machine();
    let adieu = start(&[], &["--overlap", "no"], &["binds", "leaves"]);
    let (ends, _) = under_load(&adieu.place().path("socket"), |more| {
        for number in 1..=2 {
            adieu.reload(number);
            more();
        }
    });
    assert!(ends.keys().all(|end| is_answer(end)), "{ends:?}\n{}", adieu.timeline());
    adieu.stop();
}

#[test]
fn one_that_does_not_listen_there_is_not_ready() {
    let adieu = start(&[], &["--ready-timeout", "1s"], &["binds", "leaves"]);
    let path = adieu.place().path("socket");
    let reload = adieu.client(&["reload", "it", "--", "sleep", "20"]);
    assert_eq!(reload.status.code(), Some(7), "{}", said(&reload));
    assert!(said(&reload).contains("it does not listen on unix:"), "{}", said(&reload));
    assert_eq!(ask(&path, "/").expect("it serves on"), "generation 1\n");
    adieu.stop();
}

#[test]
fn an_abstract_name_is_shared() {
    let adieu = start(&[], &[], &["binds", "leaves", "@"]);
    for number in 1..=2 {
        adieu.reload(number);
    }
    let status = adieu.status();
    let paths = &serving_generation(&status).paths;
    assert!(paths.len() == 1 && paths[0].path.starts_with("unix:@adieu-test-"), "{status:#?}");
    assert!(status.notes.iter().any(|note| note.contains("has no file: generations share it")), "{status:#?}");
    adieu.stop();
}
