use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use adieu_linux::{clock, sockets};

use super::*;
use crate::testing::{alone, until};

#[test]
fn status_lines() {
    assert_eq!(status_of(b"HTTP/1.1 204 No Content\r\n").expect("valid"), Some(204));
    assert_eq!(status_of(b"HTTP/1.0 503\r\n").expect("valid"), Some(503));
    assert_eq!(status_of(b"HTTP/1.1 2").expect("incomplete"), None);
    assert!(status_of(b"SSH-2.0-x\r\n").is_err() && status_of(&[b'a'; 5000]).is_err());
}

#[test]
fn a_first_line_has_its_limit() {
    assert_eq!(status_of(&[b'a'; 4096]).expect("it may still end"), None);
    assert_eq!(status_of(&[b'a'; 4097]).expect_err("it is too long").kind(), io::ErrorKind::InvalidData);
    for odd in [&b"HTTP/2 200\r\n"[..], b"HTTP/1.1\r\n", b"HTTP/1.1 ok\r\n", b"HTTP/1.1 99999 x\r\n", b"\n"] {
        assert_eq!(status_of(odd).expect_err("no status").kind(), io::ErrorKind::InvalidData, "{odd:?}");
    }
}

fn deadline() -> Timestamp {
    clock::now() + Duration::from_secs(3_600)
}

fn start(address: SocketAddr, body: &str, deadline: Timestamp) -> Exchange {
    let socket = sockets::tcp_socket(sockets::family_for(address)).expect("a socket");
    let target = HttpTarget { address, path: "/p?q".to_owned() };
    Exchange::start(socket, "GET", &target, body, deadline).expect("it begins")
}

/// An exchange and the other end of its connection.
fn exchange(body: &str) -> (Exchange, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let exchange = start(listener.local_addr().expect("an address"), body, deadline());
    let (stream, _) = listener.accept().expect("a client");
    (exchange, stream)
}

fn is_pending(exchange: &mut Exchange) -> bool {
    matches!(exchange.advance(clock::now()), Outcome::Pending)
}

/// What becomes of the exchange.
fn outcome(exchange: &mut Exchange) -> Result<u16, io::ErrorKind> {
    let mut found = None;
    until("an outcome", || {
        found = match exchange.advance(clock::now()) {
            Outcome::Pending => None,
            Outcome::Status(status) => Some(Ok(status)),
            Outcome::Failed(error) => Some(Err(error.kind())),
        };
        found.is_some()
    });
    found.expect("just found")
}

#[test]
fn a_request_is_sent_whole_and_its_answer_may_come_in_pieces() {
    let (mut exchange, mut peer) = exchange("{}");
    assert_eq!(exchange.interest(), Readiness::WRITE, "nothing is sent yet");
    until("it is sent", || {
        assert!(is_pending(&mut exchange));
        exchange.interest() == Readiness::READ
    });
    let address = peer.local_addr().expect("an address");
    let expected = format!(
        "GET /p?q HTTP/1.1\r\nHost: {address}\r\nUser-Agent: adieu\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let mut request = vec![0; expected.len()];
    peer.read_exact(&mut request).expect("all of it");
    assert_eq!(String::from_utf8_lossy(&request), expected);
    for part in ["HTTP/1", ".1 2", "0"] {
        peer.write_all(part.as_bytes()).expect("it reads");
        until("it has that", || {
            assert!(is_pending(&mut exchange));
            exchange.head.ends_with(part.as_bytes())
        });
    }
    peer.write_all(b"1 Created\r\nX: y\r\n").expect("it reads");
    assert_eq!(outcome(&mut exchange), Ok(201));
}

#[test]
fn a_request_that_does_not_fit_goes_on_when_there_is_room() {
    let body = "x".repeat(32 << 20);
    let (mut exchange, mut peer) = exchange(&body);
    until("no room", || is_pending(&mut exchange) && exchange.sent > 0);
    assert!(exchange.sent < exchange.request.len());
    assert_eq!(exchange.interest(), Readiness::WRITE);
    let length = exchange.request.len();
    let reader = std::thread::spawn(move || {
        let mut request = vec![0; length];
        peer.read_exact(&mut request).expect("all of it");
        peer.write_all(b"HTTP/1.1 200 OK\r\n").expect("it reads");
        request
    });
    assert_eq!(outcome(&mut exchange), Ok(200));
    assert!(reader.join().expect("no panic").ends_with(body.as_bytes()), "in its order");
}

#[test]
fn an_answer_that_ends_too_soon_or_is_none_has_failed() {
    for (answer, kind) in [
        ("", io::ErrorKind::UnexpectedEof),
        ("HTTP/1.1 200", io::ErrorKind::UnexpectedEof),
        ("SSH-2.0-x\r\n", io::ErrorKind::InvalidData),
    ] {
        let (mut exchange, mut peer) = exchange("");
        peer.write_all(answer.as_bytes()).expect("it reads");
        peer.shutdown(std::net::Shutdown::Write).expect("it is open");
        assert_eq!(outcome(&mut exchange), Err(kind), "{answer:?}");
    }
}

#[test]
fn a_long_head_is_none_of_a_status() {
    let (mut exchange, mut peer) = exchange("");
    peer.write_all(&[b'x'; 5_000]).expect("it reads");
    assert_eq!(outcome(&mut exchange), Err(io::ErrorKind::InvalidData));
}

#[test]
fn a_connection_that_is_reset_has_failed() {
    drop(alone(|| {
        let (mut exchange, peer) = exchange("");
        until("it is sent", || is_pending(&mut exchange) && exchange.interest() == Readiness::READ);
        until("it has arrived", || peer.peek(&mut [0; 1]).is_ok());
        // What was not read is answered by a reset.
        drop(peer);
        assert_eq!(outcome(&mut exchange), Err(io::ErrorKind::ConnectionReset));
    }));
}

#[test]
fn where_nobody_listens_it_is_refused() {
    drop(alone(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let mut exchange = start(address, "", deadline());
        assert_eq!(exchange.interest(), Readiness::WRITE);
        assert_eq!(outcome(&mut exchange), Err(io::ErrorKind::ConnectionRefused));
    }));
}

#[test]
fn a_connection_that_is_not_made_yet_is_waited_for() {
    // The queue is full: the handshake is not answered.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    sockets::listen(listener.as_fd(), 0).expect("a shorter queue");
    let address = listener.local_addr().expect("an address");
    let first = TcpStream::connect(address).expect("room for one");
    let mut exchange = start(address, "", deadline());
    assert!(is_pending(&mut exchange) && !exchange.connected);
    assert_eq!(exchange.interest(), Readiness::WRITE);
    drop((first, listener));
}

#[test]
fn its_time_ends_at_its_deadline() {
    let (mut exchange, _peer) = exchange("");
    let deadline = exchange.deadline;
    let before = Timestamp::from_origin(deadline.since_origin() - Duration::from_nanos(1));
    assert!(matches!(exchange.advance(before), Outcome::Pending));
    let Outcome::Failed(error) = exchange.advance(deadline) else { panic!("its time is over") };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
