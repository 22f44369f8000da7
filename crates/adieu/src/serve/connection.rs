//! One connection, from its first byte to its end.
//!
//! | state | quiesce | after the linger | after the handshake's budget |
//! |---|---|---|---|
//! | new, nothing came | – | closed, if nothing has come meanwhile | |
//! | handshake | – | – | closed |
//! | HTTP/1, active | its answer says `Connection: close` | – | – |
//! | HTTP/1, idle | – | closed, if nothing has come meanwhile | closed, if no request has come of what came |
//! | HTTP/2 | GOAWAY: first "no more", then with the last stream | – | closed, if nothing is being answered |

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tower_service::Service;

use super::Serve;
use super::answer::answer;
use super::connections::{Connection, ConnectionState};
use super::draining::Draining;
use super::stream::Stream;
use crate::hook::BoxError;

/// How an HTTP/2 client begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How often a connection that should end is looked at again.
const AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Which protocol the first bytes belong to; `None` while they could still be the beginning of either.
fn protocol(first: &[u8]) -> Option<Protocol> {
    let common = first.len().min(PREFACE.len());
    match first[..common] == PREFACE[..common] {
        false => Some(Protocol::Http1),
        true if common == PREFACE.len() => Some(Protocol::Http2),
        true => None,
    }
}

/// Serves a connection to its end.
pub(super) async fn serve<S, B>(connection: Arc<Connection>, service: S, draining: Draining, serve: Serve)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let mut stream = Stream::new(connection);
    let protocol = tokio::select! {
        protocol = greeting(&mut stream, &serve) => protocol,
        () = unwanted(stream.connection().clone(), &draining, &serve) => {
            stream.linger().await;
            None
        }
    };
    match protocol {
        None => {}
        Some(Protocol::Http1) => http1(stream, service, draining, &serve).await,
        Some(Protocol::Http2) => http2(stream, service, draining, &serve).await,
    }
}

/// Reads until the protocol is known; `None` when that never happens.
async fn greeting(stream: &mut Stream, serve: &Serve) -> Option<Protocol> {
    let known = async {
        while stream.peek_more().await.ok()? {
            if let Some(protocol) = protocol(stream.first()) {
                return Some(protocol);
            }
        }
        None
    };
    tokio::time::timeout(serve.header_timeout, known).await.ok()?
}

/// Returns when a connection that has not said what it wants has to go.
async fn unwanted(connection: Arc<Connection>, draining: &Draining, serve: &Serve) {
    draining.begun().await;
    tokio::time::sleep(serve.linger).await;
    if connection.state() != ConnectionState::New || connection.socket.has_input() {
        // Something has come: it has the time that a handshake has.
        tokio::time::sleep(serve.handshake).await;
    }
}

async fn http1<S, B>(stream: Stream, service: S, draining: Draining, serve: &Serve)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let connection = Arc::clone(stream.connection());
    let (told, counted) = (draining.clone(), Arc::clone(&connection));
    let service = service_fn(move |request| answer(service.clone(), request, Arc::clone(&counted), told.clone()));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(serve.header_timeout).half_close(true);
    {
        let mut protocol = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        tokio::select! {
            _ended = protocol.as_mut() => return hijacked(&connection),
            () = draining.begun() => {}
        }
        let begun = tokio::time::Instant::now();
        let mut wait = serve.linger;
        let mut asked = false;
        loop {
            tokio::select! {
                _ended = protocol.as_mut() => return hijacked(&connection),
                () = tokio::time::sleep(wait) => wait = AGAIN,
            }
            let idle = connection.state() != ConnectionState::Active;
            if idle && !asked && !connection.socket.has_input() {
                asked = true;
                protocol.as_mut().graceful_shutdown();
            } else if idle && !asked && begun.elapsed() >= serve.linger + serve.handshake {
                // Half a request and no more: it does not get to be one.
                return;
            }
        }
    }
}

/// The protocol has ended: unless the socket has ended with it, it has been handed to the application.
fn hijacked(connection: &Arc<Connection>) {
    connection.go(ConnectionState::Hijacked);
}

async fn http2<S, B>(stream: Stream, service: S, draining: Draining, serve: &Serve)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let connection = Arc::clone(stream.connection());
    let (told, counted) = (draining.clone(), Arc::clone(&connection));
    let service = service_fn(move |request| answer(service.clone(), request, Arc::clone(&counted), told.clone()));
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).auto_date_header(true);
    let mut protocol = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ended = protocol.as_mut() => return,
        () = draining.begun() => {}
    }
    // GOAWAY with the highest number and a PING, then, when that comes back, GOAWAY with the last stream.
    protocol.as_mut().graceful_shutdown();
    loop {
        tokio::select! {
            _ended = protocol.as_mut() => return,
            () = tokio::time::sleep(serve.linger + serve.handshake) => {
                if connection.state() != ConnectionState::Active {
                    // The preface, the settings or the PING's answer never came.
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        assert_eq!(protocol(b""), None);
        assert_eq!(protocol(b"PRI * HT"), None);
        assert_eq!(protocol(b"P"), None);
        assert_eq!(protocol(b"POST /"), Some(Protocol::Http1));
        assert_eq!(protocol(b"GET / HTTP/1.1\r\n"), Some(Protocol::Http1));
        assert_eq!(protocol(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"), Some(Protocol::Http2));
        assert_eq!(protocol(b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n"), Some(Protocol::Http1));
    }
}
