//! Programs that look whether somebody listens on their Unix socket before they bind it, and give up when somebody does.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::SHORT;
use super::paths::{ask, under_load};
use crate::harness::{Adieu, Place, Process, Setup, the_machine};
use crate::init::until;

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
    connection.set_read_timeout(Some(Duration::from_secs(20)))?;
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

fn configure(place: &Place) -> Vec<String> {
    let here = std::fs::canonicalize(place.directory()).expect("it is there");
    let text = CONFIGURATION.replace("HERE", &here.display().to_string());
    place.write("fpm.conf", &text);
    let configuration = here.join("fpm.conf").display().to_string();
    [FPM, "--nodaemonize", "--allow-to-run-as-root", "--fpm-config", &configuration].map(str::to_owned).to_vec()
}

fn start(options: &[&str]) -> Adieu {
    let place = Place::new();
    let program = configure(&place);
    let program: Vec<&str> = program.iter().map(String::as_str).collect();
    let options = [SHORT, options].concat();
    let path = place.path("socket");
    let adieu = place.run(Setup { name: "it", front: &[], options: &options, environment: &[], program: &program });
    until("php-fpm answers", || ping(&path).is_ok());
    adieu
}

/// The control: it does look.
#[test]
fn without_adieu_a_second_php_fpm_gives_up() {
    let place = Place::new();
    let program = configure(&place);
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).current_dir(place.directory());
    let _first = Process::start("first", &command, place.directory());
    until("php-fpm answers", || ping(&place.path("socket")).is_ok());
    let mut second = Process::start("second", &command, place.directory());
    let status = second.wait();
    assert_eq!(status.code(), Some(78), "{status}: {}", second.output());
    assert!(second.output().contains("already listen"), "{}", second.output());
}

#[test]
fn php_fpm_is_replaced_although_it_looks_for_another() {
    for options in [&[][..], &["--overlap", "no"]] {
        let adieu = start(options);
        let path = adieu.place().path("socket");
        let main = || adieu.status().generations.last().map(|generation| generation.pid);
        for number in 1..=2 {
            let before = main();
            adieu.reload(number);
            assert_ne!(main(), before, "{options:?}");
            ping(&path).unwrap_or_else(|error| panic!("{options:?}: {error}\n{}", adieu.timeline()));
        }
        // The first attempt failed and said why it is made again; no other does.
        let again = adieu.output().matches("it is started again and will find nobody").count();
        assert_eq!(again, 1, "{}", adieu.output());
        adieu.stop();
    }
}

const APPLICATION: &str = "run lambda { |_| [200, {}, [\"generation #{ENV['ADIEU_GENERATION']}\\n\"]] }";

#[test]
fn puma_is_replaced_under_load_although_it_looks_for_another() {
    let _alone = the_machine();
    let place = Place::new();
    place.write("config.ru", APPLICATION);
    let (path, bind) = (place.path("socket"), format!("unix://{}", place.path("socket").display()));
    let program = ["/usr/bin/puma", "--bind", &bind, "config.ru"];
    let adieu = place.run(Setup { name: "it", front: &[], options: SHORT, environment: &[], program: &program });
    until("puma answers", || ask(&path, "/").is_ok());
    let (ends, _) = under_load(&path, |more| {
        for number in 1..=2 {
            adieu.reload(number);
            more();
        }
    });
    let expected = ["generation 1\n", "generation 2\n", "generation 3\n"];
    assert_eq!(ends.keys().collect::<Vec<_>>(), expected, "{ends:?}\n{}", adieu.timeline());
    adieu.stop();
}

/// A program that fails for another reason is not tried for ever, and the old one serves on.
#[test]
fn one_that_fails_anyhow_is_tried_twice() {
    let adieu = start(&[]);
    let path = adieu.place().path("socket");
    let counted = "echo attempt >> attempts; exit 3";
    let reload = adieu.client(&["reload", "it", "--", "sh", "-c", counted]);
    assert_eq!(reload.status.code(), Some(7), "{}", super::said(&reload));
    assert_eq!(adieu.place().read("attempts").lines().count(), 2);
    ping(&path).expect("the old one serves on");
    // Known by now: the next one is not tried twice.
    assert_eq!(adieu.client(&["reload", "it", "--", "sh", "-c", counted]).status.code(), Some(7));
    assert_eq!(adieu.place().read("attempts").lines().count(), 3);
    adieu.stop();
}
