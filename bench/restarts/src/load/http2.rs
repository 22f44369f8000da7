//! With h2 itself, as only it tells a request that was never sent from one that its server did not take.

use std::time::Duration;

use adieu_drill::{AFTER_A_LOSS, Class};
use axum::body::Bytes;
use h2::client::{SendRequest, handshake};
use h2::{Reason, SendStream};
use http::{Method, Request};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::errand::{APART, Errand, PART, PARTS, TIMEOUT};
use super::http1::GOT;

/// What the streams of a connection ask for, each again and again.
const ASKED: [(Method, &str, &str); 4] = [
    (Method::GET, "/quick", "here\n"),
    (Method::GET, "/quick", "here\n"),
    (Method::GET, "/slow", "done\n"),
    (Method::POST, "/upload", GOT),
];

/// Keeps one connection with streams of all kinds; takes a new one when its server says so.
pub(super) async fn streams(errand: Errand, kind: &'static str) {
    while let Some(stream) = errand.reach(kind).await {
        one_connection(stream, &errand, kind).await;
    }
}

async fn one_connection(stream: TcpStream, errand: &Errand, kind: &'static str) {
    let (sender, connection) = match handshake(stream).await {
        Ok(both) => both,
        Err(error) => return errand.account.push(kind, unanswered(&error), format!("no settings: {error:?}")),
    };
    let connection = tokio::spawn(connection);
    let mut streams = JoinSet::new();
    for asked in ASKED {
        streams.spawn(ask_on(sender.clone(), asked, errand.clone(), kind));
    }
    drop(sender);
    // Whoever panicked would be missed in the counts.
    while let Some(ended) = streams.join_next().await {
        ended.unwrap_or_else(|panicked| errand.account.trouble(&panicked));
    }
    if let Ok(Err(error)) = connection.await
        && error.get_io().is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    {
        errand.account.reset(kind, error);
    }
}

async fn ask_on(
    mut sender: SendRequest<Bytes>,
    (method, path, expect): (Method, &'static str, &'static str),
    errand: Errand,
    kind: &'static str,
) {
    while !errand.is_over() {
        // An error: the connection takes no more requests.
        sender = match sender.ready().await {
            Ok(sender) => sender,
            Err(_) => return,
        };
        let ended = tokio::time::timeout(TIMEOUT, ask(&mut sender, method.clone(), path, expect)).await;
        let (class, how) = match ended {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(class))) => (class, "an answer".to_owned()),
            Ok(Err((class, error))) => (class, format!("{error:?}")),
            Err(_) => (Class::Timeout, String::new()),
        };
        errand.account.push(kind, class, format!("{path}: {how}"));
        if class.is_lost() {
            tokio::time::sleep(AFTER_A_LOSS).await;
        }
        errand.pause(Duration::from_millis(20)).await;
    }
}

/// `None` when the request was not sent.
async fn ask(
    sender: &mut SendRequest<Bytes>,
    method: Method,
    path: &str,
    expect: &str,
) -> Result<Option<Class>, (Class, h2::Error)> {
    let uploads = method == Method::POST;
    let Ok(request) = Request::builder().method(method).uri(format!("http://here{path}")).body(()) else {
        return Ok(None);
    };
    let Ok((answer, body)) = sender.send_request(request, !uploads) else { return Ok(None) };
    if uploads {
        // Should it fail, the answer tells more.
        let _sent = upload(body).await;
    }
    let answer = answer.await.map_err(|error| (unanswered(&error), error))?;
    let status = answer.status();
    let mut body = answer.into_body();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| (Class::Cut, error))?;
        // An error says that the connection is at its end, which is heard of anyway.
        let _released = body.flow_control().release_capacity(data.len());
        text.extend_from_slice(&data);
    }
    Ok(Some(match status.as_u16() {
        500.. => Class::ServerError,
        200 if text.ends_with(expect.as_bytes()) => Class::Ok,
        _ => Class::WrongBody,
    }))
}

async fn upload(mut body: SendStream<Bytes>) -> Result<(), h2::Error> {
    for _ in 0..PARTS {
        tokio::time::sleep(APART).await;
        body.send_data(Bytes::from_static(PART), false)?;
    }
    body.send_data(Bytes::new(), true)
}

/// No answer has begun. What the server says it has not processed may be sent again (RFC 9113, 8.7).
fn unanswered(error: &h2::Error) -> Class {
    let not_processed = error.reason() == Some(Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR));
    if not_processed { Class::Race } else { Class::Reset }
}
