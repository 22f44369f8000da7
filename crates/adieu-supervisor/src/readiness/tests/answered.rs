//! Probes that wait for an answer by HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;

/// A generation that is asked, and the server that gets the question.
fn asked() -> (Scene, TcpStream) {
    let (listener, address) = stranger();
    let ready = format!("http://{address}/healthz").parse().expect("a URL");
    let mut scene = Scene::new(World::starting(), ready);
    scene.begin_probing(OLD);
    scene.probe();
    let (server, _) = listener.accept().expect("it is asked");
    (scene, server)
}

fn answer(status: u16) -> Scene {
    let (mut scene, mut server) = asked();
    server.write_all(format!("HTTP/1.1 {status} x\r\n\r\n").as_bytes()).expect("it is read");
    scene.until_concluded();
    scene
}

#[test]
fn it_is_asked_for_the_path() {
    let (mut scene, mut server) = asked();
    let mut request = Vec::new();
    server.set_nonblocking(true).expect("ours");
    eventually("it asks", || {
        assert!(matches!(scene.advance(), Need::Nothing));
        let mut buffer = [0; 1024];
        let length = server.read(&mut buffer).unwrap_or(0);
        request.extend_from_slice(&buffer[..length]);
        request.ends_with(b"\r\n\r\n").then_some(())
    });
    assert!(request.starts_with(b"GET /healthz HTTP/1.1\r\n"), "{:?}", String::from_utf8_lossy(&request));
}

#[test]
fn statuses_from_200_to_399_are_ready() {
    for status in [200, 204, 301, 399] {
        let scene = answer(status);
        assert_eq!(scene.events, [Event::Ready(OLD)], "{status}");
        assert!(scene.readiness.probe.is_none());
    }
}

#[test]
fn other_statuses_are_not() {
    for status in [100, 199, 400, 500] {
        let scene = answer(status);
        assert_eq!((scene.events.len(), scene.next()), (0, Some(EVERY)));
        assert_eq!(scene.failure(), Some(format!("it was answered with status {status}").as_str()));
        assert!(scene.is_pausing());
    }
}

#[test]
fn an_answer_after_failures_is_ready() {
    let (listener, address) = stranger();
    let ready = format!("http://{address}/").parse().expect("a URL");
    let mut scene = Scene::new(World::starting(), ready);
    scene.begin_probing(OLD);
    for status in [503, 200] {
        scene.probe();
        let (mut server, _) = listener.accept().expect("it is asked");
        server.write_all(format!("HTTP/1.1 {status} x\r\n\r\n").as_bytes()).expect("it is read");
        scene.until_concluded();
        scene.pass(EVERY);
    }
    assert_eq!(scene.events, [Event::Ready(OLD)]);
}

#[test]
fn a_connection_that_is_closed_is_no_answer() {
    let (mut scene, server) = asked();
    server.shutdown(std::net::Shutdown::Write).expect("it is open");
    scene.until_concluded();
    assert_eq!((scene.events.len(), scene.failure()), (0, Some("unexpected end of file")));
}

#[test]
fn a_connection_that_is_refused_is_no_answer() {
    let (_bound, address) = nobody();
    let ready = format!("http://{address}/").parse().expect("a URL");
    let mut scene = Scene::new(World::starting(), ready);
    scene.begin_probing(OLD);
    scene.probe();
    if !scene.is_pausing() {
        scene.until_concluded();
    }
    assert_eq!((scene.events.len(), scene.failure()), (0, Some("Connection refused (os error 111)")));
}

#[test]
fn an_answer_that_does_not_come_in_time_is_none() {
    let (mut scene, _server) = asked();
    scene.pass(PROBE_TIME - Duration::from_millis(1));
    assert!(matches!(scene.advance(), Need::Nothing));
    scene.pass(Duration::from_millis(1));
    assert!(matches!(scene.advance(), Need::Release));
    assert_eq!((scene.events.len(), scene.failure()), (0, Some("timed out")));
}

#[test]
fn our_own_listener_is_asked_from_the_port_that_is_steered() {
    let mut scene = Scene::new(World::starting(), ReadyWhen::Auto);
    let listener = scene.listens(OLD, "127.0.0.1:0");
    let address = listener.local_addr().expect("it is bound");
    scene.world.options.ready = format!("http://{address}/").parse().expect("a URL");
    scene.begin_probing(OLD);
    let start = scene.due();
    let (port, _) = start.steering().expect("it is our own");
    scene.make(start, Ok(()));
    let (mut server, peer) = listener.accept().expect("it is asked");
    assert_eq!(peer.port(), port);
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("it is read");
    scene.until_concluded();
    assert_eq!(scene.events, [Event::Ready(OLD)]);
}
