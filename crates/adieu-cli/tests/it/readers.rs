//! A reader that has gone: `adieu signals | head -1` must be as quiet as any other command of Unix.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::harness::servers::PYTHON_PLAIN;
use crate::harness::{ADIEU, Instance, Process, Scene, Told, wait_until_it_answers};

/// The writing end of a pipe that nobody reads.
fn nobody() -> OwnedFd {
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    writer.into()
}

fn full() -> OwnedFd {
    File::options().write(true).open("/dev/full").expect("/dev/full is there").into()
}

fn adieu(scene: &Scene, words: &[&str], out: impl Into<Stdio>) -> Told {
    scene.command(&[ADIEU]).args(words).stdout(out).output().expect("adieu can be started").into()
}

fn silent(told: &Told) -> bool {
    told.error.is_empty()
}

fn web(scene: &Scene) -> Instance {
    scene.run().name("web").options(&["--sockets", "off"]).program(&["sleep", "1000"]).up()
}

const PIPE: i32 = 128 + 13;

#[test]
fn commands_whose_reader_has_gone_end_by_sigpipe_and_say_nothing() {
    let scene = Scene::new();
    let mut init = web(&scene);
    for words in [
        &["signals"][..],
        &["signals", "TERM"],
        &["signals", "--json", "143"],
        &["status"],
        &["status", "web", "--json"],
        &["timeline", "web"],
        &["timeline", "web", "--json"],
    ] {
        let read = adieu(&scene, words, Stdio::piped());
        assert!(read.is_fine() && !read.out.is_empty(), "with a reader {words:?} says something: {read:?}");
        let unread = adieu(&scene, words, nobody());
        assert!((unread.code, silent(&unread)) == (PIPE, true), "{words:?}: {unread:?}");
        let full = adieu(&scene, words, full());
        assert!(full.code == 1 && full.error.contains("No space left"), "{words:?}: {full:?}");
    }
    assert_eq!(init.terminate(), 143);
}

#[test]
fn commands_with_work_to_do_do_it_without_a_reader() {
    let scene = Scene::new();
    let mut init = web(&scene);
    for words in [&["reload", "web", "--wait", "drained"][..], &["send", "web", "CONT"], &["stop", "web"]] {
        let unread = adieu(&scene, words, nobody());
        assert!(silent(&unread) && unread.is_fine(), "{words:?}: {unread:?}");
    }
    assert_eq!(init.wait(), 143);
}

#[test]
fn a_drill_without_a_reader_ends_with_what_it_has_found() {
    let scene = Scene::new();
    let mut server =
        Process::start("server", &PYTHON_PLAIN.command(scene.port(), scene.directory()), scene.directory());
    wait_until_it_answers(&mut server, scene.port(), "/");
    let url = format!("http://127.0.0.1:{}/", scene.port());
    let words = ["drill", "--url", &url, "--calm", "100ms", "--pause", "100ms", "--count", "1", "--connections", "1"];
    let drill = |restart| adieu(&scene, &[&words[..], &["--restart", restart]].concat(), nobody());
    assert!(matches!(drill("true"), told if told.code == 0 && silent(&told)));
    assert!(matches!(drill("false"), told if told.code == 1 && silent(&told)));
}

#[test]
fn help_without_a_reader_is_quiet() {
    let scene = Scene::new();
    for words in [&["--help"][..], &["--version"], &["signals", "--help"], &["run", "--help"], &["drill", "--help"]] {
        let unread = adieu(&scene, words, nobody());
        assert!(silent(&unread) && unread.code != 101, "{words:?}: {unread:?}");
    }
}

/// `2>&1 | head -1`: a message that nobody reads must not change what the exit code says.
#[test]
fn messages_without_a_reader_leave_the_exit_code_alone() {
    let scene = Scene::new();
    let mut init = web(&scene);
    for (words, code) in [
        (&["status", "nobody"][..], 6),
        (&["signals", "TREM"], 2),
        (&["reload", "web", "--", "/nonexistent/program"], 7),
        (&["drill", "--restart", "true", "--url", "http://127.0.0.1:1/"], 6),
        (&["run", "--name", "other", "--", "/nonexistent/program"], 127),
    ] {
        let mut command: Command = scene.command(&[ADIEU]);
        let status = command.args(words).stdout(nobody()).stderr(nobody()).status().expect("adieu can be started");
        assert_eq!(status.code(), Some(code), "{words:?}");
    }
    init.signal(Signal::TERM);
    init.wait();
}
