//! Messages on the control socket that are well-formed and ask for what cannot be: the answer says so, the service goes on.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::service;
use crate::harness::proc::{kill, state};
use crate::harness::{Begun, Instance, until};

/// All that is answered to these bytes, which end the conversation from our side or not.
fn answers(service: &Instance, bytes: &[u8]) -> Vec<Value> {
    let mut stream = UnixStream::connect(service.scene.path("s.sock")).expect("it listens");
    stream.write_all(bytes).expect("it reads");
    BufReader::new(stream).lines().map(|line| serde_json::from_str(&line.expect("it answers")).expect("JSON")).collect()
}

fn code(service: &Instance, message: &Value) -> (i64, String) {
    let all = answers(service, format!("{message}\n").as_bytes());
    let last = all.last().unwrap_or_else(|| panic!("no answer to {message}"));
    let text = last["message"].as_str().unwrap_or_default().to_owned();
    (last["code"].as_i64().unwrap_or_else(|| panic!("{message}: {last}")), text)
}

#[test]
fn what_a_reload_cannot_run_fails_the_reload_alone() {
    let service = service().serving();
    let main = service.main(1);
    let reload = |extra: Value| {
        let mut message = json!({"do": "reload", "wait": "drained"});
        message.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        message
    };
    let table = [
        (reload(json!({"command": ["python3\u{0}"]})), 7, "was not found"),
        (reload(json!({"command": ["sh", "a\u{0}b"]})), 7, "NUL"),
        (reload(json!({"command": [""]})), 7, "the command is empty"),
        (reload(json!({"set": {"A": "x\u{0}y"}})), 7, "NUL"),
        (reload(json!({"set": {"A=B": "x"}})), 2, "not the name of a variable"),
        (reload(json!({"set": {"": "x"}})), 2, "not the name of a variable"),
        (reload(json!({"unset": ["A=B"]})), 2, "not the name of a variable"),
        (reload(json!({"set": {"A": 5}})), 2, "not a request of this protocol"),
        (reload(json!({"wait": 5})), 2, "not a request of this protocol"),
        (json!({"do": "send", "signal": 0}), 2, "not a request of this protocol"),
        (json!({"do": "send", "signal": "NOPE"}), 2, "not a request of this protocol"),
        (json!({"do": "stop", "now": true}), 2, "not a request of this protocol"),
        (json!({"do": "status", "of": "x"}), 2, "not a request of this protocol"),
        (json!(null), 2, "not a request of this protocol"),
        (json!([{"do": "stop"}]), 2, "not a request of this protocol"),
    ];
    for (message, expected, why) in table {
        let (code, text) = code(&service, &message);
        assert!(code == expected && text.contains(why), "{message}: {code} {text:?}");
        assert_eq!((service.answers(), service.main(1)), (1, main), "{message}");
    }
    service.end();
}

/// One line is one request: what comes after it is nobody's.
#[test]
fn the_first_line_is_the_request() {
    let service = service().serving();
    let all = answers(&service, b"{\"do\":\"status\"}\n{\"do\":\"stop\"}\n");
    assert_eq!(all.iter().map(|reply| reply["say"].clone()).collect::<Vec<_>>(), ["status", "done"]);
    assert_eq!(service.answers(), 1);
    service.end();
}

/// A request in pieces is one request, however long it takes, and holds nobody up.
#[test]
fn a_request_that_comes_in_pieces() {
    let service = service().serving();
    let mut slow = UnixStream::connect(service.scene.path("s.sock")).expect("it listens");
    for byte in b"{\"do\":\"sta" {
        slow.write_all(&[*byte]).expect("it reads");
    }
    assert_eq!(service.status_json()["name"], "s");
    slow.write_all(b"tus\"}\n").expect("it reads");
    let mut line = String::new();
    BufReader::new(slow).read_line(&mut line).expect("it answers");
    assert!(line.starts_with("{\"say\":\"status\""), "{line}");
    service.end();
}

/// More clients than are served at once: the rest is told so, and nobody who waits is thrown out.
#[test]
fn more_clients_than_are_served() {
    let service = service().serving();
    let reload = service.begin_reload(&["--env", "BEFORE=1"]);
    until("it is under way", || service.generation(2).is_some());
    let crowd: Vec<UnixStream> =
        (0..63).map(|_| UnixStream::connect(service.scene.path("s.sock")).expect("it listens")).collect();
    let mut told = service.reload(&[]);
    until("they are all there", || {
        told = service.reload(&[]);
        told.code != 0
    });
    assert!(told.code == 1 && told.error.contains("too many clients at once: try again"), "{told:?}");
    assert_eq!(reload.end().code, 0);
    drop(crowd);
    until("there is room again", || service.command(&["status", "s"]).output().is_ok_and(|told| told.status.success()));
    service.end();
}

/// Whoever asks an instance whose process is stopped is told so, and not kept.
#[test]
fn an_instance_that_does_not_answer() {
    let service = service().serving();
    kill(service.pid, Signal::STOP);
    until("it is stopped", || state(service.pid) == Some('T'));
    let commands = [&["status"][..], &["status", "s"], &["timeline", "s"], &["send", "s", "CONT"]];
    let begun: Vec<Begun> = commands.iter().map(|words| service.begin(words)).collect();
    for (told, words) in begun.into_iter().map(Begun::end).zip(commands) {
        assert!(told.code == 1 && told.error.contains("\"s\" does not answer"), "{words:?}: {told:?}");
    }
    kill(service.pid, Signal::CONT);
    assert_eq!(service.answers(), 1);
    service.end();
}
