//! A request: one whole line, once per connection.

use super::*;
use crate::testing::alone;

fn write(stream: &UnixStream, bytes: &[u8]) {
    (&*stream).write_all(bytes).expect("room");
}

#[test]
fn a_request_is_taken_when_its_line_is_whole() {
    let mut control = control();
    let (stream, id) = client(&mut control);
    assert_eq!(control.read(id), None);
    write(&stream, b"{\"do\":");
    assert_eq!(control.read(id), None);
    write(&stream, b"\"status\"}");
    assert_eq!(control.read(id), None, "it may go on");
    write(&stream, b"\n");
    assert_eq!(control.read(id), Some(Request::Status {}));
    assert_eq!(answers(&stream), (Vec::new(), false));
}

#[test]
fn there_is_one_request_per_connection() {
    let mut control = control();
    let (stream, id) = client(&mut control);
    send(&stream, &Request::Status {});
    send(&stream, &Request::Stop {});
    assert_eq!(control.read(id), Some(Request::Status {}));
    send(&stream, &Request::Stop {});
    assert_eq!(control.read(id), None);
    assert_eq!(control.read(id), None);
}

#[test]
fn garbage_is_refused_and_the_connection_closed() {
    let mut control = control();
    let (stream, id) = client(&mut control);
    write(&stream, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(control.read(id), None);
    let dones = dones(&stream);
    assert!(
        matches!(&dones[..], [(code::USAGE, text)] if text.starts_with("not a request of this protocol: ")),
        "{dones:?}"
    );
    assert_eq!(control.read(id), None);
    control.advance();
    assert_eq!(control.clients().count(), 0);
}

/// Writes `bytes` while the other side reads them, until that takes no more.
fn feed(control: &mut Control, id: ClientId, stream: &UnixStream, bytes: &[u8]) -> Option<Request> {
    let (mut sent, mut request) = (0, None);
    until("all is sent", || {
        match (&*stream).write(&bytes[sent..]) {
            Ok(length) => sent += length,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        request = request.take().or(control.read(id));
        sent == bytes.len()
    });
    request
}

#[test]
fn the_longest_request_is_read_and_a_longer_one_refused() {
    let request = |spaces: usize| [b"{\"do\":\"status\"}".to_vec(), vec![b' '; spaces], b"\n".to_vec()].concat();
    let fits = wire::LONGEST_REQUEST - request(0).len() + 1;
    let mut control = control();
    let (stream, id) = client(&mut control);
    assert_eq!(feed(&mut control, id, &stream, &request(fits)), Some(Request::Status {}));
    let (stream, id) = client(&mut control);
    assert_eq!(feed(&mut control, id, &stream, &request(fits + 1)), None);
    let dones = dones(&stream);
    assert!(matches!(&dones[..], [(code::USAGE, text)] if text.contains("at most 262144 bytes")), "{dones:?}");
}

#[test]
fn a_line_without_an_end_is_refused_when_it_is_too_long() {
    let mut control = control();
    let (stream, id) = client(&mut control);
    assert_eq!(feed(&mut control, id, &stream, &vec![b'x'; wire::LONGEST_REQUEST]), None);
    assert_eq!(control.read(id), None);
    assert_eq!(answers(&stream), (Vec::new(), false), "it may still end");
    assert_eq!(feed(&mut control, id, &stream, b"x"), None);
    assert_eq!(dones(&stream).len(), 1);
}

#[test]
fn a_client_that_ends_in_the_middle_of_a_line_has_asked_for_nothing() {
    drop(alone(|| {
        let mut control = control();
        let (stream, id) = client(&mut control);
        write(&stream, b"{\"do\":\"stop\"}");
        drop(stream);
        assert_eq!(control.read(id), None);
        control.advance();
        assert_eq!(control.clients().count(), 0);
    }));
}

#[test]
fn a_client_that_asks_and_goes_is_obeyed() {
    let mut control = control();
    let (stream, id) = client(&mut control);
    send(&stream, &Request::Stop {});
    drop(stream);
    assert_eq!(control.read(id), Some(Request::Stop {}));
}

#[test]
fn what_comes_after_a_request_is_neither_kept_nor_in_the_way() {
    drop(alone(|| {
        let mut control = control();
        let (stream, id) = client(&mut control);
        send(&stream, &Request::Status {});
        assert_eq!(control.read(id), Some(Request::Status {}));
        assert_eq!(feed(&mut control, id, &stream, &vec![b'\n'; 2 * wire::LONGEST_REQUEST]), None);
        drop(stream);
        assert_eq!(control.read(id), None);
        control.advance();
        assert_eq!(control.clients().count(), 0, "its end was seen");
    }));
}
