//! Nobody listens for a while; restart commands that fail; drills that cannot begin.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use adieu_drill::{Class, Config, DrillError, NotStarted, Report, Target};

use crate::lossy::{Lossy, drill, found};

/// Answers everybody with a connection of their own, until the file is there.
fn serve_until(file: &Path, listener: &TcpListener) {
    listener.set_nonblocking(true).expect("a listener can be made so");
    while !file.exists() {
        match listener.accept() {
            Ok((mut stream, _)) => answer(&mut stream),
            Err(_) => thread::sleep(Duration::from_micros(200)),
        }
    }
    // Who is in the queue gets an answer too, so that only refusals remain.
    while let Ok((mut stream, _)) = listener.accept() {
        answer(&mut stream);
    }
}

fn answer(stream: &mut TcpStream) {
    stream.set_nonblocking(false).expect("a connection can be made so");
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => head.extend_from_slice(&buffer[..length]),
            _ => return,
        }
    }
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    stream.write_all(text.as_bytes()).expect("the client waits");
}

#[test]
fn nobody_listens_after_the_second_restart() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = |name: &str| directory.path().join(name);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let [down, gone, up, over] = ["down", "gone", "up", "over"].map(path);
    let say = |file: &Path| std::fs::write(file, "").expect("a test's own directory is writable");
    let server = thread::spawn({
        let [down, gone, up, over] = [down.clone(), gone.clone(), up.clone(), over.clone()];
        move || {
            serve_until(&down, &listener);
            drop(listener);
            say(&gone);
            while !up.exists() {
                thread::sleep(Duration::from_millis(1));
            }
            let listener = TcpListener::bind(address).expect("the port is still ours");
            serve_until(&over, &listener);
        }
    });
    // Each restart takes its turn: nothing, down, up.
    let restart =
        "echo >>count; case $(wc -l <count) in 2) : >down; while [ ! -e gone ]; do sleep 0.01; done;; 3) : >up;; esac";
    let mut config = Config::new(Target::at(address), format!("cd '{}'; {restart}", directory.path().display()));
    (config.count, config.connections, config.keepalive) = (3, 4, 0);
    (config.calm, config.pause) = (Duration::from_millis(200), Duration::from_millis(400));
    let report = drill(config);
    say(&over);
    server.join().expect("it has served");
    let refused = found(&report, Class::Refused);
    let text = report.render_text();
    assert_eq!(report.lost(), report.count(Class::Refused), "{text}");
    assert_eq!(refused.get(&(1, false)), None, "{text}");
    // Four clients that try again after 20 ms: no flood.
    let [_, second, third] = report.restarts.as_slice() else { panic!("{text}") };
    let most = 4.0 * ((third.at_s - second.at_s) / 0.02 + 1.0);
    let counted = refused.get(&(2, false)).copied().unwrap_or(0);
    assert!(counted >= 4 && (counted as f64) <= most, "{counted} of at most {most}: {text}");
    assert!(third.period.fresh.get(Class::Ok) > 0, "{text}");
    // The outage shows, although no success ends it before the next restart.
    assert!(second.period.latency.longest_gap_ms > 200.0, "{text}");
    assert!(report.total.longest_gap_ms >= 400.0, "{text}");
}

#[test]
fn a_restart_command_that_fails_is_named_and_the_drill_goes_on() {
    let server = Lossy::start(None, false);
    let mut config = server.config();
    (config.count, config.restart) = (2, "exit 3".to_owned());
    let report = drill(config);
    let failed: Vec<String> = report.restarts.iter().filter_map(|restart| restart.failed.clone()).collect();
    assert_eq!(failed, ["`exit 3` failed: exit code 3"; 2]);
    assert_eq!((report.lost(), report.is_clean(), report.gave_up), (0, false, None));
}

#[test]
fn a_restart_command_that_hangs_is_ended_and_ends_the_drill() {
    let server = Lossy::start(None, false);
    let mut config = server.config();
    (config.restart, config.restart_timeout) = ("sleep 60".to_owned(), Duration::from_secs(1));
    let report = drill(config);
    let [restart] = report.restarts.as_slice() else { panic!("{}", report.render_text()) };
    assert!(
        restart.failed.as_ref().is_some_and(|why| why.starts_with("`sleep 60` took longer than 1s")),
        "{restart:?}"
    );
    assert_eq!((report.lost(), report.is_clean(), report.interrupted), (0, false, false));
    assert!(report.render_text().contains("given up: the restart command did not end"), "{}", report.render_text());
}

fn error_of(config: Config) -> DrillError {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(adieu_drill::run(config, std::future::pending(), |_| {})).expect_err("it cannot begin")
}

#[test]
fn a_drill_does_not_begin_where_nothing_or_something_else_answers() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("free");
    assert!(matches!(error_of(Config::new(Target::at(free), "true")), DrillError::NotStarted(NotStarted::NotThere(_))));
    let server = Lossy::start(None, false);
    let mut config = server.config();
    config.expect = Some("another server's greeting".to_owned());
    assert!(matches!(error_of(config), DrillError::NotStarted(NotStarted::SomethingElse(..))));
    let mut config = server.config();
    config.connections = 0;
    assert!(matches!(error_of(config), DrillError::BadNumber(_)));
    assert!(!server.directory().join("restarts").exists(), "it was not restarted");
}

fn stopped_when(config: Config, seen: std::path::PathBuf, lines: u64) -> Report {
    let enough = async move {
        while std::fs::metadata(&seen).map_or(0, |meta| meta.len()) < lines {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(adieu_drill::run(config, enough, |_| {})).expect("it begins")
}

#[test]
fn a_drill_that_is_stopped_lets_the_restart_finish_and_reports_what_it_has_seen() {
    let server = Lossy::start(None, false);
    let mut config = server.config();
    let file = server.directory().join("finished");
    config.restart = format!("{}; sleep 0.3; echo >>'{}'", config.restart, file.display());
    let report = stopped_when(config, server.directory().join("restarts"), 2);
    assert!(report.interrupted && report.restarts.len() == 2 && report.is_clean(), "{}", report.render_text());
    assert_eq!(std::fs::read_to_string(file).expect("it was written"), "\n\n", "the second restart was cut short");
    assert!(report.render_text().contains("interrupted"));
}

#[test]
fn a_restart_that_does_not_finish_when_the_drill_is_stopped_is_killed_and_named() {
    let server = Lossy::start(None, false);
    let mut config = server.config();
    config.restart += "; sleep 60";
    let report = stopped_when(config, server.directory().join("restarts"), 1);
    let text = report.render_text();
    assert!(report.interrupted && !report.is_clean() && text.contains("see whether the server runs"), "{text}");
}

#[test]
fn a_drill_that_is_stopped_before_it_begins_says_so() {
    let server = Lossy::start(None, false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    // Somebody who listens and never answers: the look at the server would take its time.
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let mut config = server.config();
    config.target = Target::at(mute.local_addr().expect("it has an address"));
    let error = runtime.block_on(adieu_drill::run(config, std::future::ready(()), |_| {})).expect_err("it was stopped");
    assert!(matches!(error, DrillError::Stopped), "{error}");
}

#[test]
fn a_server_that_nothing_replaces_is_told_from_one_that_is_replaced() {
    let server = Lossy::start(None, false);
    let mut config = server.config();
    config.count = 1;
    let report = drill(config);
    assert_eq!(report.restarts[0].replaced, Some(false));
    assert!(report.is_clean() && report.render_text().contains("does the command restart this server?"));
}

#[test]
fn a_name_with_two_addresses_is_loaded_at_the_one_that_answers() {
    let server = Lossy::start(None, false);
    let mut config = server.config();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("free");
    config.count = 1;
    let right = config.target.addresses[0];
    config.target.addresses = vec![free, right];
    let report = drill(config);
    assert!(report.is_clean() && report.address == right, "{}", report.render_text());
}
