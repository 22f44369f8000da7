//! Servers that are stopped by a real SIGTERM while real clients use them.

mod client;
mod examples;
mod exhausted;
mod http1;
mod http2;
mod peers;
mod streams;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

use std::time::Duration;

use adieu::serve::Server;
use adieu::{App, Component};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};

use crate::scene::{Service, say};

/// Any port of this machine.
fn anywhere() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Says where `server` listens.
fn tell_port(app: &App, server: &Component<'_, Server>) {
    let handle = server.handle();
    let tell = app.component("port").after(server).start(move |_| async move {
        let server = handle.get()?;
        say(&format!("port {}", server.local_addr().map_or(0, |address| address.port())));
        Ok::<_, adieu::NotRunning>(())
    });
    drop(tell);
}

fn port(service: &mut Service) -> u16 {
    service.hears_of("port ").parse().expect("a port")
}

/// Answers at once, after a while, in pieces, and what it was sent.
fn routes() -> Router {
    async fn slowly() -> &'static str {
        say("asked slowly");
        tokio::time::sleep(Duration::from_millis(400)).await;
        "slow"
    }
    async fn pieces() -> Body {
        say("asked for pieces");
        Body::new(Pieces { left: 6, wait: Box::pin(tokio::time::sleep(Duration::ZERO)) })
    }
    async fn echo(body: Bytes) -> Bytes {
        body
    }
    async fn never() {
        say("asked for ever");
        std::future::pending::<()>().await;
    }
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/slow", get(slowly))
        .route("/pieces", get(pieces))
        .route("/echo", post(echo))
        .route("/never", get(never))
}

/// A body that takes its time between the pieces.
struct Pieces {
    left: usize,
    wait: std::pin::Pin<Box<tokio::time::Sleep>>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::ready!(self.wait.as_mut().poll(context));
        if self.left == 0 {
            return std::task::Poll::Ready(None);
        }
        self.left -= 1;
        self.wait = Box::pin(tokio::time::sleep(Duration::from_millis(100)));
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"piece ")))))
    }
}
