//! One HTTP connection, from its first byte to its end.
//!
//! | state | quiesce | after the linger | after the handshakes' budget |
//! |---|---|---|---|
//! | new, nothing came | – | closed, if nothing has come and it has had a moment | closed |
//! | handshake | – | – | closed |
//! | HTTP/1, active | its answer says `Connection: close` | – | – |
//! | HTTP/1, idle | – | closed, if nothing has come meanwhile | closed, if no request has come of what came |
//! | HTTP/2 | GOAWAY: no more requests | GOAWAY with the last stream | closed, if nothing is answered and nothing moves |

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::connection_state::ConnectionState;
use super::connections::{Connection, ConnectionStage};
use super::h2_executor::H2Executor;
use super::level::Level;
use super::protocol_io::{ProtocolIo, Transport};
use super::response::respond;
use super::service::HttpService;
use super::settings::Serve;
use super::stream::Stream;

/// How an HTTP/2 client begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a new connection has for its first byte in a stop. The accept queue holds connections whose request follows
/// a moment later.
const FIRST_BYTE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Tells the protocol by the first bytes; `None` while they could begin either.
fn protocol(first: &[u8]) -> Option<Protocol> {
    let common = first.len().min(PREFACE.len());
    match first[..common] == PREFACE[..common] {
        false => Some(Protocol::Http1),
        true if common == PREFACE.len() => Some(Protocol::Http2),
        true => None,
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<S: HttpService>(connection: Arc<Connection>, service: S, settings: Arc<Serve>) {
    connection.introduce().await;
    let stream = Stream::new(Arc::clone(&connection), Bytes::new());
    let opened = tokio::select! {
        biased;
        opened = open(stream, &settings) => opened,
        () = unwanted(&connection) => None,
    };
    match opened {
        None => {}
        Some((io, Protocol::Http1)) => http1(io, service, &settings).await,
        Some((io, Protocol::Http2)) => http2(io, service, &settings).await,
    }
}

/// Reads until the protocol is known; `None` if the connection ends before.
async fn open(stream: Stream, settings: &Serve) -> Option<(ProtocolIo, Protocol)> {
    let connection = Arc::clone(stream.connection());
    let transport = transport(stream, settings).await?;
    let mut io = ProtocolIo::new(transport, connection, !settings.linger.is_zero());
    while io.peek_more().await.ok()? {
        if let Some(protocol) = protocol(io.first()) {
            return Some((io, protocol));
        }
    }
    None
}

#[cfg(not(feature = "tls"))]
async fn transport(stream: Stream, _settings: &Serve) -> Option<Transport> {
    Some(Transport::Plain(stream))
}

#[cfg(feature = "tls")]
async fn transport(stream: Stream, settings: &Serve) -> Option<Transport> {
    let Some(config) = &settings.tls else { return Some(Transport::Plain(stream)) };
    let connection = Arc::clone(stream.connection());
    let accepted = tokio_rustls::TlsAcceptor::from(Arc::clone(config)).accept(stream).await.ok()?;
    if let Some(shown) = accepted.get_ref().1.peer_certificates() {
        let certificates = shown.iter().map(|one| one.clone().into_owned()).collect();
        // Cannot fail: a connection has one handshake.
        let _first = connection.certificates.set(certificates);
    }
    Some(Transport::Tls(Box::new(accepted)))
}

/// Returns when a connection whose protocol is not known yet must end.
async fn unwanted(connection: &Connection) {
    connection.reached(Level::Closing).await;
    if connection.stage() == ConnectionStage::New && !connection.socket.has_input() {
        tokio::time::sleep(FIRST_BYTE.saturating_sub(connection.age())).await;
    }
    if connection.stage() != ConnectionStage::New || connection.socket.has_input() {
        // Bytes have come, so the connection has the time of a handshake.
        connection.reached(Level::Overdue).await;
    }
}

async fn http1<S: HttpService>(io: ProtocolIo, service: S, settings: &Serve) {
    let connection = Arc::clone(io.connection());
    connection.go(ConnectionStage::Requests);
    let counted = Arc::clone(&connection);
    let service = service_fn(move |request| respond(service.clone(), request, Arc::clone(&counted)));
    let mut builder = hyper::server::conn::http1::Builder::new();
    if let Some(limit) = settings.header_timeout {
        builder.timer(TokioTimer::new()).header_read_timeout(limit);
    }
    // In a stop, `ProtocolIo` ends the input, and hyper ends when it has answered what was read before.
    let protocol = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
    tokio::select! {
        biased;
        _ended = protocol => {}
        () = connection.reached(Level::Cut) => return,
    }
    // No effect if the socket was closed with the protocol. Else the protocol was upgraded.
    connection.go(ConnectionStage::Hijacked);
}

async fn http2<S: HttpService>(mut io: ProtocolIo, service: S, settings: &Serve) {
    let connection = Arc::clone(io.connection());
    connection.go(ConnectionStage::Requests);
    connection.early.store(true, Ordering::SeqCst);
    // A connection that is accepted in the announce phase is served until the quiesce. GOAWAY at once would make its
    // client connect here again and again, until its load balancer has noticed.
    let goaway = if connection.level() < Level::Announced { Level::Announced } else { Level::Draining };
    io.goes_away(goaway);
    let counted = Arc::clone(&connection);
    let service = service_fn(move |request| respond(service.clone(), request, Arc::clone(&counted)));
    let mut builder = hyper::server::conn::http2::Builder::new(H2Executor(Arc::clone(&connection)));
    builder.timer(TokioTimer::new()).enable_connect_protocol();
    let mut protocol = pin!(builder.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        biased;
        _ended = protocol.as_mut() => return,
        () = connection.reached(Level::Closing) => {}
    }
    // hyper sends GOAWAY and a PING, and when the PING is acknowledged, GOAWAY with the last stream.
    protocol.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        _ended = protocol.as_mut() => return,
        () = connection.reached(Level::Overdue) => {}
    }
    loop {
        let moved = connection.moved.load(Ordering::Relaxed);
        tokio::select! {
            biased;
            _ended = protocol.as_mut() => return,
            () = connection.reached(Level::Cut) => return,
            () = tokio::time::sleep(settings.handshake) => {}
        }
        if connection.state() == ConnectionState::Idle && connection.moved.load(Ordering::Relaxed) == moved {
            // The client has not acknowledged the settings or the PING.
            return;
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
