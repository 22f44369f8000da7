//! An ordinary small HTTP server: keep-alive, answers after 0 to 40 ms, stops accepting on SIGTERM and finishes what it has.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Serves on `address` until SIGTERM.
///
/// # Errors
/// What `bind(2)` says.
pub async fn serve(address: SocketAddr) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(address).await?;
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let stopping = stopping.clone();
                    connections.spawn(async move { drop(connection(stream, stopping).await) });
                }
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    stop.send_replace(true);
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn connection(mut stream: TcpStream, mut stopping: watch::Receiver<bool>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    let mut buffer = [0; 4096];
    let mut number: u64 = u64::from(stream.peer_addr()?.port());
    loop {
        let end = loop {
            if let Some(at) = input.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            tokio::select! {
                read = stream.read(&mut buffer) => match read? {
                    0 => return Ok(()),
                    length => input.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                },
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            }
        };
        let head = String::from_utf8_lossy(input.get(..end).unwrap_or_default()).to_ascii_lowercase();
        input.drain(..end);
        // Half of the requests take a while, as if they asked a database.
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if number >> 63 == 1 {
            tokio::time::sleep(Duration::from_millis((number >> 40) % 40)).await;
        }
        let close = head.contains("connection: close") || *stopping.borrow();
        let connection = if close { "close" } else { "keep-alive" };
        let body = format!("hello from {}\n", std::process::id());
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
        if close {
            return stream.shutdown().await;
        }
    }
}
