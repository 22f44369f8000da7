use adieu::serve::Serve;
use adieu::{App, StopReport};
use axum::body::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{anywhere, port, routes, tell_port};
use crate::scene::{PATIENCE, play, scene};

fn plain() -> StopReport {
    let app = App::new("h2");
    let server = app.serve_with("api", anywhere(), routes(), Serve::new().linger(Duration::ZERO));
    tell_port(&app, &server);
    drop(server);
    app.run()
}

fn lingering() -> StopReport {
    let app = App::new("h2");
    let server = app.serve_with("api", anywhere(), routes(), Serve::new().linger(Duration::from_secs(3)));
    tell_port(&app, &server);
    drop(server);
    app.run()
}

fn asks(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://here{path}")).body(Empty::new()).expect("a request")
}

#[test]
fn streams_are_finished_and_nothing_is_lost_on_the_way_out() {
    play(scene!(streams_are_finished_and_nothing_is_lost_on_the_way_out), plain, |mut service| {
        let port = port(&mut service);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
            let (mut client, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
            let connection = tokio::spawn(connection);
            let slow: Vec<_> = (0..20).map(|_| tokio::spawn(client.send_request(asks("/slow")))).collect();
            let pieces = tokio::spawn(client.send_request(asks("/pieces")));
            // One after the other, up to the GOAWAY: none that was sent is lost.
            let mut busy = client.clone();
            let one_by_one = tokio::spawn(async move {
                let mut answers = 0;
                while busy.ready().await.is_ok() {
                    match busy.send_request(asks("/")).await {
                        Ok(answer) => assert_eq!(answer.status(), 200),
                        // Not sent at all: the connection has been told to end.
                        Err(error) if error.is_canceled() => break,
                        Err(error) => panic!("lost: {error:?}"),
                    }
                    answers += 1;
                }
                answers
            });
            tokio::time::sleep(Duration::from_millis(150)).await;
            service.hears("asked slowly");
            service.hears("asked for pieces");
            service.signal("TERM");
            for answer in slow {
                let body = answer.await.expect("asked").expect("answered").collect().await.expect("a body");
                assert_eq!(body.to_bytes(), "slow");
            }
            let body = pieces.await.expect("asked").expect("answered").collect().await.expect("a body");
            assert_eq!(body.to_bytes(), "piece ".repeat(6));
            assert!(one_by_one.await.expect("nothing is lost") > 0);
            connection.await.expect("no panic").expect("ends in order");
        });
        assert_eq!(service.ends().code(), Some(0));
    });
}

/// A frame (RFC 9113, 4.1).
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn send(to: &mut TcpStream, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
    to.write_all(&frame).expect("sends");
}

fn get(to: &mut TcpStream, stream: u32) {
    // GET http://here/, by the numbers of HPACK's table.
    let head = [&[0x82, 0x86, 0x84, 0x41, 4][..], b"here"].concat();
    send(to, HEADERS, END_STREAM | END_HEADERS, stream, &head);
}

/// The next frame, if one begins to come within the time. What asks for an acknowledgement gets it before all else.
fn next(from: &mut TcpStream, within: Duration) -> Option<Frame> {
    from.set_read_timeout(Some(within)).expect("a limit");
    from.peek(&mut [0]).ok().filter(|bytes| *bytes > 0)?;
    from.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut head = [0; 9];
    from.read_exact(&mut head).expect("a frame");
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    from.read_exact(&mut payload).expect("a frame");
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let frame = Frame { kind: head[3], flags: head[4], stream, payload };
    match (frame.kind, frame.flags & ACK) {
        (SETTINGS, 0) => send(from, SETTINGS, ACK, 0, &[]),
        (PING, 0) => send(from, PING, ACK, 0, &frame.payload),
        _ => {}
    }
    Some(frame)
}

/// Reads until the whole answer on `stream` has come: whether it is a 200.
fn answered(from: &mut TcpStream, stream: u32) -> bool {
    let mut well = false;
    while let Some(frame) = next(from, PATIENCE) {
        if frame.stream == stream {
            // 0x88: status 200.
            well |= frame.kind == HEADERS && frame.payload.first() == Some(&0x88);
            if frame.flags & END_STREAM != 0 {
                return well;
            }
        }
    }
    false
}

/// A client acknowledges a PING before it sends the request that it has ready: the last stream must not have been named by then.
#[test]
fn a_request_that_crosses_the_goaway_is_answered() {
    play(scene!(a_request_that_crosses_the_goaway_is_answered), lingering, |mut service| {
        let mut stream = TcpStream::connect(("127.0.0.1", port(&mut service))).expect("connects");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sends");
        send(&mut stream, SETTINGS, 0, 0, &[]);
        get(&mut stream, 1);
        assert!(answered(&mut stream, 1));
        service.signal("TERM");
        let away = std::iter::from_fn(|| next(&mut stream, PATIENCE)).find(|frame| frame.kind == GOAWAY);
        assert_eq!(away.expect("it says that it goes").payload, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        // Whatever comes together with it is acknowledged first.
        while next(&mut stream, Duration::from_millis(50)).is_some() {}
        get(&mut stream, 3);
        assert!(answered(&mut stream, 3), "a request is refused that was sent before the last stream was named");
        drop(stream);
        assert_eq!(service.ends().code(), Some(0));
    });
}
