use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use adieu_drill::{AFTER_A_LOSS, Class, Unconnected, connect};
use futures_util::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::http1::GOT;
use super::{APART, Errand, PART, PARTS, TIMEOUT};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the streams of a connection ask for, each again and again.
const ASKED: [(Method, &str, &str); 4] = [
    (Method::GET, "/quick", "here\n"),
    (Method::GET, "/quick", "here\n"),
    (Method::GET, "/slow", "done\n"),
    (Method::POST, "/upload", GOT),
];

/// Keeps one connection with streams of all kinds; takes a new one when its server says so.
pub(super) async fn streams(errand: Errand, kind: &'static str) {
    while !errand.is_over() {
        match connect(errand.address, TIMEOUT).await {
            Ok(stream) => one_connection(stream, &errand, kind).await,
            Err(Unconnected::Ours(error)) => return errand.account.trouble(&error),
            Err(Unconnected::Lost(class)) => {
                errand.account.push(kind, class, "a new connection");
                tokio::time::sleep(AFTER_A_LOSS).await;
            }
        }
    }
}

async fn one_connection(stream: TcpStream, errand: &Errand, kind: &'static str) {
    let (sender, connection) = match handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(stream)).await {
        Ok(both) => both,
        Err(error) => return errand.account.push(kind, class_of(&error), format!("{error:?}")),
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
        && is_reset(&error)
    {
        errand.account.reset(kind, format!("{error:?}"));
    }
}

async fn ask_on(
    mut sender: SendRequest<Body>,
    (method, path, expect): (Method, &'static str, &'static str),
    errand: Errand,
    kind: &'static str,
) {
    while !errand.is_over() && sender.ready().await.is_ok() {
        let request = Request::builder().method(method.clone()).uri(format!("http://here{path}"));
        let body = if method == Method::POST { slow_body() } else { Empty::new().boxed_unsync() };
        let Ok(request) = request.body(body) else { return };
        let ended = tokio::time::timeout(TIMEOUT, answer(&mut sender, request, expect)).await;
        let (class, how) = match ended {
            Ok(None) => return,
            Ok(Some(ended)) => ended,
            Err(_) => (Class::Timeout, String::new()),
        };
        errand.account.push(kind, class, format!("{path}: {how}"));
        if class.is_lost() {
            tokio::time::sleep(AFTER_A_LOSS).await;
        }
        errand.pause(Duration::from_millis(20)).await;
    }
}

/// `None` when the request has not been sent.
async fn answer(sender: &mut SendRequest<Body>, request: Request<Body>, expect: &str) -> Option<(Class, String)> {
    let answer: Response<Incoming> = match sender.send_request(request).await {
        Ok(answer) => answer,
        Err(error) if error.is_canceled() => return None,
        Err(error) => return Some((class_of(&error), format!("{error:?}"))),
    };
    let status = answer.status();
    let body = match answer.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Some((Class::Cut, format!("{error:?}"))),
    };
    let text = String::from_utf8_lossy(&body);
    let class = match status.as_u16() {
        500.. => Class::ServerError,
        200 if text.contains(expect) => Class::Ok,
        _ => Class::WrongBody,
    };
    Some((class, format!("{status}: {text:?}")))
}

fn slow_body() -> Body {
    let parts = stream::iter([PART; PARTS]).then(|part| async move {
        tokio::time::sleep(APART).await;
        Ok(Frame::data(Bytes::from_static(part)))
    });
    StreamBody::new(parts).boxed_unsync()
}

/// No answer has begun.
fn class_of(error: &hyper::Error) -> Class {
    match reason(error) {
        // Not processed: it may be sent again (RFC 9113, 8.7).
        Some(h2::Reason::REFUSED_STREAM) => Class::Race,
        Some(h2::Reason::NO_ERROR) if of_the_connection(error) => Class::Race,
        _ => Class::Reset,
    }
}

fn source(error: &hyper::Error) -> Option<&h2::Error> {
    error.source().and_then(|source| source.downcast_ref())
}

fn reason(error: &hyper::Error) -> Option<h2::Reason> {
    source(error).and_then(h2::Error::reason)
}

fn of_the_connection(error: &hyper::Error) -> bool {
    source(error).is_some_and(|error| error.is_go_away() && error.is_remote())
}

fn is_reset(error: &hyper::Error) -> bool {
    source(error).and_then(h2::Error::get_io).is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}
