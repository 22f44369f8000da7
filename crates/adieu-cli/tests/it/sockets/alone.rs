//! Programs that look whether somebody listens on their Unix socket before they bind it, and give up when somebody does.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::it_in;
use crate::harness::unix::{ask, under_load};
use crate::harness::{Instance, PATIENCE, Process, Scene, the_machine, until};

const FPM: &str = "php-fpm8.2";
const CONFIGURATION: &str = "[global]
error_log = /dev/stderr
daemonize = no
[www]
listen = HERE/socket
pm = static
pm.max_children = 2
ping.path = /ping
ping.response = pong
";

/// One record of FastCGI, version 1, of request 1.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("short").to_be_bytes();
    [&[1, kind, 0, 1, length[0], length[1], 0, 0][..], content].concat()
}

/// The answer of php-fpm to `GET /ping`.
fn ping(path: &Path) -> io::Result<String> {
    const BEGIN: u8 = 1;
    const PARAMETERS: u8 = 4;
    const INPUT: u8 = 5;
    let mut connection = UnixStream::connect(path)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let pairs = [("SCRIPT_NAME", "/ping"), ("SCRIPT_FILENAME", "/ping"), ("REQUEST_METHOD", "GET")];
    let short = |text: &str| u8::try_from(text.len()).expect("short");
    let pair =
        |(name, value): &(&str, &str)| [&[short(name), short(value)], name.as_bytes(), value.as_bytes()].concat();
    let parameters: Vec<u8> = pairs.iter().flat_map(pair).collect();
    // A responder, which closes afterwards.
    connection.write_all(&record(BEGIN, &[0, 1, 0, 0, 0, 0, 0, 0]))?;
    connection.write_all(&[record(PARAMETERS, &parameters), record(PARAMETERS, &[]), record(INPUT, &[])].concat())?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.contains("pong").then_some(answer).ok_or_else(|| io::Error::other("cut off"))
}

fn configure(scene: &Scene) -> Vec<String> {
    let here = std::fs::canonicalize(scene.directory()).expect("it is there");
    let text = CONFIGURATION.replace("HERE", &here.display().to_string());
    scene.write("fpm.conf", &text);
    let configuration = here.join("fpm.conf").display().to_string();
    [FPM, "--nodaemonize", "--allow-to-run-as-root", "--fpm-config", &configuration].map(str::to_owned).to_vec()
}

fn start(options: &[&str]) -> Instance {
    let scene = Scene::new();
    let adieu = it_in(&scene).options(options).program(&configure(&scene)).start();
    until("php-fpm answers", || ping(&scene.path("socket")).is_ok());
    adieu
}

/// The control: it does look.
#[test]
fn without_adieu_a_second_php_fpm_gives_up() {
    let scene = Scene::new();
    let command = scene.command(&configure(&scene));
    let _first = Process::start("first", &command, scene.directory());
    until("php-fpm answers", || ping(&scene.path("socket")).is_ok());
    let mut second = Process::start("second", &command, scene.directory());
    let status = second.wait();
    assert_eq!(status.code(), Some(78), "{status}: {}", second.output());
    assert!(second.output().contains("already listen"), "{}", second.output());
}

#[test]
fn php_fpm_is_replaced_although_it_looks_for_another() {
    for options in [&[][..], &["--overlap", "no"]] {
        let adieu = start(options);
        let path = adieu.scene.path("socket");
        let main = || adieu.status().generations.last().map(|generation| generation.pid);
        for _ in 1..=2 {
            let before = main();
            adieu.replace();
            assert_ne!(main(), before, "{options:?}");
            ping(&path).unwrap_or_else(|error| panic!("{options:?}: {error}\n{}", adieu.timeline()));
        }
        // The first attempt failed and said why it is made again; no other does.
        let again = adieu.output().matches("it is started again and will find nobody").count();
        assert_eq!(again, 1, "{}", adieu.output());
        adieu.end();
    }
}

const APPLICATION: &str = "run lambda { |_| [200, {}, [\"generation #{ENV['ADIEU_GENERATION']}\\n\"]] }";

#[test]
fn puma_is_replaced_under_load_although_it_looks_for_another() {
    let _alone = the_machine();
    let scene = Scene::new();
    scene.write("config.ru", APPLICATION);
    let path = scene.path("socket");
    let bind = format!("unix://{}", path.display());
    let adieu = it_in(&scene).program(&["/usr/bin/puma", "--bind", &bind, "config.ru"]).start();
    until("puma answers", || ask(&path, "/").is_ok());
    let (ends, _) = under_load(&path, |more| {
        for _ in 1..=2 {
            adieu.replace();
            more();
        }
    });
    let expected = ["generation 1\n", "generation 2\n", "generation 3\n"];
    assert_eq!(ends.keys().collect::<Vec<_>>(), expected, "{ends:?}\n{}", adieu.timeline());
    adieu.end();
}

/// A program that fails for another reason is not tried for ever, and the old one serves on.
#[test]
fn one_that_fails_anyhow_is_tried_twice() {
    let adieu = start(&[]);
    let path = adieu.scene.path("socket");
    let counted = "echo attempt >> attempts; exit 3";
    adieu.fails_to_reload(&["--", "sh", "-c", counted]);
    assert_eq!(adieu.scene.read("attempts").lines().count(), 2);
    ping(&path).expect("the old one serves on");
    // Known by now: the next one is not tried twice.
    adieu.fails_to_reload(&["--", "sh", "-c", counted]);
    assert_eq!(adieu.scene.read("attempts").lines().count(), 3);
    adieu.end();
}
