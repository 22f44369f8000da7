//! Nobody listens for a while; restart commands that fail; drills that cannot begin.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use adieu_drill::{Class, Config, DrillError, Target};

use crate::lossy::{Lossy, drill, found};

fn target(address: SocketAddr) -> Target {
    Target { address, host: address.to_string(), path: "/".to_owned() }
}

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
    let (down, up) = (directory.path().join("down"), directory.path().join("up"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let (stop, start) = (down.clone(), up.clone());
    let server = thread::spawn(move || {
        serve_until(&stop, &listener);
        drop(listener);
        while !start.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        let listener = TcpListener::bind(address).expect("the port is still ours");
        serve_until(&start.with_extension("over"), &listener);
    });
    // Each restart takes its turn: nothing, down, up.
    let (down, up) = (down.display(), up.display());
    let count = directory.path().join("count");
    let count = count.display();
    let restart = format!("echo >>'{count}'; case $(wc -l <'{count}') in 2) : >'{down}';; 3) : >'{up}';; esac");
    let mut config = Config::new(target(address), restart);
    (config.count, config.connections, config.keepalive) = (3, 4, 0);
    (config.calm, config.pause) = (Duration::from_millis(200), Duration::from_millis(400));
    let report = drill(config);
    std::fs::write(directory.path().join("up.over"), "").expect("a test's own directory is writable");
    server.join().expect("it has served");
    let refused = found(&report, Class::Refused);
    assert_eq!(report.lost(), report.count(Class::Refused), "{}", report.render_text());
    assert_eq!(refused.get(&(1, false)), None, "{}", report.render_text());
    let second = refused.get(&(2, false)).copied().unwrap_or(0);
    // Four clients that try again after 2 ms: more than a few, and no flood.
    assert!((20..4 * 400).contains(&second), "{}", report.render_text());
    assert!(report.restarts[2].fresh.get(Class::Ok) > 0, "{}", report.render_text());
    assert!(report.restarts[1].latency.longest_gap_ms < 400.0, "a gap is between successes of one window");
}

#[test]
fn a_restart_command_that_fails_or_hangs_is_named_and_the_drill_goes_on() {
    let server = Lossy::start(None, false);
    let mut config = server.config();
    config.count = 2;
    let file = server.directory().join("once");
    config.restart = format!("if [ -e '{0}' ]; then sleep 60; fi; : >'{0}'; exit 3", file.display());
    config.restart_timeout = Duration::from_secs(1);
    let report = drill(config);
    let failed: Vec<String> = report.restarts.iter().filter_map(|restart| restart.failed.clone()).collect();
    assert_eq!(failed, ["the restart command failed: exit status: 3", "the restart command took longer than 1 s"]);
    assert_eq!((report.lost(), report.is_clean()), (0, false));
}

fn error_of(config: Config) -> DrillError {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(adieu_drill::run(config, std::future::pending(), |_| {})).expect_err("it cannot begin")
}

#[test]
fn a_drill_does_not_begin_where_nothing_or_something_else_answers() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("free");
    assert!(matches!(error_of(Config::new(target(free), "true")), DrillError::NotThere(..)));
    let server = Lossy::start(None, false);
    let mut config = server.config();
    config.expect = Some("another server's greeting".to_owned());
    assert!(matches!(error_of(config), DrillError::SomethingElse(..)));
    let mut config = server.config();
    config.connections = 0;
    assert!(matches!(error_of(config), DrillError::BadNumber(_)));
    assert!(!server.directory().join("restarts").exists(), "it was not restarted");
}

#[test]
fn a_drill_that_is_stopped_reports_what_it_has_seen() {
    let server = Lossy::start(None, false);
    let mut config = server.config();
    config.restart = format!(
        "{}; [ $(wc -l <'{}') -lt 2 ] || sleep 60",
        config.restart,
        server.directory().join("restarts").display()
    );
    let seen = server.directory().join("restarts");
    let second = async move {
        while std::fs::metadata(&seen).map_or(0, |meta| meta.len()) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    let report = runtime.block_on(adieu_drill::run(config, second, |_| {})).expect("it begins");
    assert!(report.interrupted && report.restarts.len() == 2, "{}", report.render_text());
    assert!(report.render_text().contains("interrupted"));
}
