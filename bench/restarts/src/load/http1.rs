use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::time::Duration;

use adieu_drill::{AFTER_A_LOSS, Ask, Class, Ended, RACE, Unconnected, connect, exchange};
use adieu_linux::connections;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::errand::{APART, Errand, PART, PARTS, TIMEOUT};

/// The answer to an upload.
pub(super) const GOT: &str = "got 50\n";
/// A stream of events may last as long as a generation.
const LIFE: Duration = Duration::from_secs(600);
/// How long a connection is watched whose last answer has come.
const FAREWELL: Duration = Duration::from_secs(5);

/// A request in parts, which are sent some time apart.
pub(super) type Parts = Vec<Vec<u8>>;

pub(super) fn get(path: &str) -> Parts {
    vec![format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").into_bytes()]
}

pub(super) fn upload() -> Parts {
    let head = format!("POST /upload HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n", PARTS * PART.len());
    let mut parts = vec![head.into_bytes()];
    parts.extend(vec![PART.to_vec(); PARTS]);
    parts
}

/// Asks again and again, on the same connection as long as it lasts or on a new one each.
pub(super) async fn asks(
    errand: Errand,
    kind: &'static str,
    parts: Parts,
    keeps: bool,
    pause: Duration,
    expect: &'static str,
) {
    let mut idle: Option<TcpStream> = None;
    while !errand.is_over() {
        let reused = idle.take().filter(|stream| is_open(stream, &errand, kind));
        let was_reused = reused.is_some();
        let stream = match reused {
            Some(stream) => Ok(stream),
            None => connect(errand.address, TIMEOUT).await,
        };
        let class = match stream {
            Err(Unconnected::Ours(error)) => return errand.account.trouble(&error),
            Err(Unconnected::Lost(class)) => class,
            Ok(mut stream) => {
                let (class, reusable) = ask(&mut stream, &parts, expect, TIMEOUT, was_reused).await;
                match reusable {
                    true if keeps => idle = Some(stream),
                    // Our own end comes first: nothing is to be seen.
                    true => {}
                    false if class == Class::Ok => drop(tokio::spawn(ends(stream, errand.clone(), kind))),
                    false => {}
                }
                class
            }
        };
        errand.account.push(kind, class, if was_reused { "a kept connection" } else { "a new connection" });
        if class.is_lost() {
            tokio::time::sleep(AFTER_A_LOSS).await;
        }
        errand.pause(pause).await;
    }
}

/// Listens to events to the end of each answer.
pub(super) async fn listens(mut errand: Errand, kind: &'static str) {
    let request = get("/events");
    while let Some(mut stream) = errand.reach(kind).await {
        let answer = ask(&mut stream, &request, "event 0", LIFE, false);
        let class = tokio::select! {
            (class, _) = answer => class,
            () = errand.end() => return,
        };
        errand.account.push(kind, class, "events");
        if class.is_lost() {
            tokio::time::sleep(AFTER_A_LOSS).await;
        }
    }
}

/// How a request ended, and whether its connection can be used again.
async fn ask(stream: &mut TcpStream, parts: &Parts, expect: &str, timeout: Duration, reused: bool) -> (Class, bool) {
    let Some((last, before)) = parts.split_last() else { return (Class::WrongBody, false) };
    for (number, part) in before.iter().enumerate() {
        if number == 0 && reused {
            // As long as nothing comes, it is well: a whole answer would be early, an end is told from a race.
            let ask = Ask { request: part, timeout: APART, expect: None, status: None, race: RACE };
            match exchange(stream, &ask, reused).await {
                Ended { class: Class::Timeout, .. } => continue,
                ended => return (ended.class, false),
            }
        }
        if stream.write_all(part).await.is_err() {
            return (Class::Reset, false);
        }
        tokio::time::sleep(APART).await;
    }
    let ask = Ask { request: last, timeout, expect: Some(expect), status: Some(200), race: RACE };
    let ended = exchange(stream, &ask, reused).await;
    (ended.class, ended.reusable)
}

/// Whether an idle connection can carry another request: the end of its input is its server's good right, a reset is not.
fn is_open(stream: &TcpStream, errand: &Errand, kind: &'static str) -> bool {
    match connections::receive_now(stream.as_fd(), &mut [0; 1], true) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => true,
        Err(error) => {
            errand.account.reset(kind, error);
            false
        }
        Ok(_) => false,
    }
}

/// After the last answer of a connection: no reset may follow it.
async fn ends(mut stream: TcpStream, errand: Errand, kind: &'static str) {
    if let Ok(Err(error)) = tokio::time::timeout(FAREWELL, stream.read(&mut [0; 1])).await {
        errand.account.reset(kind, error);
    }
}
