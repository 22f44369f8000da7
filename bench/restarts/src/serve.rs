//! The server: quick and slow answers, uploads, WebSockets, server-sent events; HTTP/1.1 and HTTP/2 on one port.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use adieu::App;
use adieu::serve::Draining;
use axum::body::{Body, Bytes};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::{Stream, StreamExt, stream};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn serve(way: &str, port: u16) -> ExitCode {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let served = match way {
        "adieu" => return with_adieu(address),
        "axum" => tokio::runtime::Runtime::new()
            .map_err(Failure::from)
            .and_then(|runtime| runtime.block_on(with_axum(address))),
        "default" => {
            tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|runtime| runtime.block_on(plain(address)))
        }
        _ => Err("no such way".into()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{way}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ordinary routes: nothing in them knows of a stop.
fn routes() -> Router {
    Router::new()
        .route("/quick", get(|| async { "here\n" }))
        .route("/slow", get(slow))
        .route("/upload", post(|body: Bytes| async move { format!("got {}\n", body.len()) }))
        .route("/events", get(events))
}

fn with_adieu(address: SocketAddr) -> ExitCode {
    let app = App::new("restarts");
    app.serve("api", address, routes().route("/echo", get(echo_until_the_stop)));
    ExitCode::from(app.run().code())
}

async fn with_axum(address: SocketAddr) -> Result<(), Failure> {
    let mut term = signal(SignalKind::terminate())?;
    let stop = async move {
        term.recv().await;
    };
    let routes = routes().route("/echo", get(echo));
    Ok(axum::serve(TcpListener::bind(address).await?, routes).with_graceful_shutdown(stop).await?)
}

async fn plain(address: SocketAddr) -> Result<(), Failure> {
    Ok(axum::serve(TcpListener::bind(address).await?, routes().route("/echo", get(echo))).await?)
}

/// An answer that takes 300 ms.
async fn slow() -> Body {
    let parts = stream::iter(["wait\n"; 5].into_iter().chain(["done\n"])).then(|part| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, Infallible>(part)
    });
    Body::from_stream(parts)
}

async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::iter(0_u64..).then(|number| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(Event::default().data(format!("event {number}")))
    });
    Sse::new(events)
}

async fn echo(ws: WebSocketUpgrade) -> Response {
    ws.on_upgrade(async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(_) = message
                && socket.send(message).await.is_err()
            {
                return;
            }
        }
    })
}

async fn echo_until_the_stop(ws: WebSocketUpgrade, Extension(draining): Extension<Draining>) -> Response {
    ws.on_upgrade(move |socket| async move {
        // An error means that the other side is gone.
        let _gone = echo_until(socket, draining).await;
    })
}

async fn echo_until(mut socket: WebSocket, draining: Draining) -> Result<(), axum::Error> {
    let stopping = draining.begun();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            () = &mut stopping => break,
            message = socket.recv() => match message.transpose()? {
                Some(text @ Message::Text(_)) => socket.send(text).await?,
                Some(Message::Close(_)) | None => return Ok(()),
                Some(_) => {}
            },
        }
    }
    let farewell = CloseFrame { code: 1001, reason: Utf8Bytes::from_static("going away") };
    socket.send(Message::Close(Some(farewell))).await?;
    while let Some(Ok(_)) = socket.recv().await {}
    Ok(())
}
