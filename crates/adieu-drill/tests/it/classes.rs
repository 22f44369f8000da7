//! Each way of losing a request is found: as often as it happened, after the restart at which it happened.

use std::time::Duration;

use adieu_drill::{Class, Config, Report};

use crate::lossy::{Counts, Deed, Lossy, On, budget, drill, found};

/// After restart n there are so many of the class, and nothing else is lost.
fn only(report: &Report, class: Class, server: &Lossy, on: On) {
    let expected: Counts = (1..=3).map(|restart| ((restart, on == On::Reused), budget(restart))).collect();
    let mut done = server.done();
    done.retain(|_, count| *count > 0);
    assert_eq!(done, expected, "the server did not do what the test wants");
    assert_eq!(found(report, class), expected, "{}", report.render_text());
    for other in Class::ALL.into_iter().filter(|other| ![class, Class::Ok].contains(other)) {
        assert_eq!(report.count(other), 0, "{other}: {}", report.render_text());
    }
    let lost = if class == Class::Race { 0 } else { expected.values().sum() };
    assert_eq!((report.lost(), report.is_clean()), (lost, lost == 0));
    assert!(report.calm.count(Class::Ok) > 0 && report.failed_restarts() == 0);
}

fn finds(deed: Deed, on: On, class: Class) {
    finds_with(deed, on, class, |_| {});
}

fn finds_with(deed: Deed, on: On, class: Class, change: fn(&mut Config)) {
    let server = Lossy::start(Some((deed, on)), false);
    let mut config = server.config();
    change(&mut config);
    only(&drill(config), class, &server, on);
}

#[test]
fn a_server_that_loses_nothing() {
    let server = Lossy::start(None, false);
    let report = drill(server.config());
    assert!(report.is_clean() && report.count(Class::Race) == 0, "{}", report.render_text());
    assert!(report.restarts.iter().all(|r| r.period.fresh.get(Class::Ok) > 0 && r.period.reused.get(Class::Ok) > 0));
}

/// The client sees it before it writes, and opens a new connection.
#[test]
fn a_server_that_closes_idle_connections_is_no_loss_and_no_race() {
    let server = Lossy::start(None, true);
    let report = drill(server.config());
    assert!(report.is_clean() && report.count(Class::Race) == 0, "{}", report.render_text());
    assert!(report.restarts.iter().all(|restart| restart.period.reused.total() == 0), "{}", report.render_text());
}

#[test]
fn a_reset_before_the_answer() {
    finds(Deed::Reset(Duration::ZERO), On::Fresh, Class::Reset);
}

#[test]
fn closed_without_an_answer() {
    finds(Deed::CloseUnanswered, On::Fresh, Class::Reset);
}

/// It had been read: no race, though the connection was used before.
#[test]
fn closed_without_an_answer_on_a_reused_connection() {
    finds(Deed::CloseUnanswered, On::Reused, Class::Reset);
}

/// It had been waited for: no race either.
#[test]
fn a_late_reset_on_a_reused_connection() {
    finds(Deed::Reset(Duration::from_millis(150)), On::Reused, Class::Reset);
}

/// However late this machine sees the reset.
#[test]
fn a_reused_connection_closed_as_the_client_writes() {
    finds_with(Deed::CloseUnread, On::Reused, Class::Race, |config| config.race = Duration::from_secs(60));
}

/// A fresh connection is nobody's idle one.
#[test]
fn a_fresh_connection_closed_unread() {
    finds(Deed::CloseUnread, On::Fresh, Class::Reset);
}

#[test]
fn cut_off_in_the_head() {
    finds(Deed::Cut("HTTP/1.1 200 OK\r\nContent-Le"), On::Fresh, Class::Cut);
}

#[test]
fn cut_off_in_the_body() {
    finds(Deed::Cut("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"), On::Reused, Class::Cut);
}

#[test]
fn cut_off_between_two_chunks() {
    let part = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    finds(Deed::Cut(part), On::Reused, Class::Cut);
}

#[test]
fn an_error_of_the_server() {
    let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    finds(Deed::Say(answer), On::Fresh, Class::ServerError);
}

#[test]
fn the_wrong_body() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nhey";
    finds(Deed::Say(answer), On::Fresh, Class::WrongBody);
}

#[test]
fn something_that_is_no_http() {
    finds(Deed::Say("SSH-2.0-OpenSSH_9.2\r\n"), On::Reused, Class::WrongBody);
}

/// As of a server that listens before it knows what it serves.
#[test]
fn another_status_than_before() {
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    finds(Deed::Say(answer), On::Reused, Class::WrongBody);
}

/// They end after later restarts have begun, and belong to those after which they were asked.
#[test]
fn an_answer_that_never_comes() {
    finds_with(Deed::Silence, On::Fresh, Class::Timeout, |config| config.timeout = Duration::from_secs(3));
}
