use std::time::Duration;

use adieu_drill::{AFTER_A_LOSS, Class};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::errand::{Errand, TIMEOUT};

type Socket = WebSocketStream<TcpStream>;

/// Says something and waits for its echo, again and again; comes again when told that the other side goes away.
pub(super) async fn talks(errand: Errand, kind: &'static str) {
    while let Some(stream) = errand.reach(kind).await {
        let url = format!("ws://{}/echo", errand.address);
        let socket = match timeout(TIMEOUT, client_async(url, stream)).await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(error)) => {
                errand.account.push(kind, Class::Reset, format!("no upgrade: {error}"));
                tokio::time::sleep(AFTER_A_LOSS).await;
                continue;
            }
            Err(_) => {
                errand.account.push(kind, Class::Timeout, "no upgrade");
                continue;
            }
        };
        one_connection(socket, &errand, kind).await;
    }
}

/// What came of a message.
enum Heard {
    Echo,
    /// It goes away, and has said so.
    Farewell,
    Lost(Class, String),
}

async fn one_connection(mut socket: Socket, errand: &Errand, kind: &'static str) {
    let mut number = 0_u64;
    while !errand.is_over() {
        number += 1;
        match timeout(TIMEOUT, say(&mut socket, format!("message {number}").into())).await {
            Ok(Heard::Echo) => errand.account.push(kind, Class::Ok, ""),
            Ok(Heard::Farewell) => return bye(socket, errand, kind).await,
            Ok(Heard::Lost(class, how)) => {
                errand.account.push(kind, class, how);
                return tokio::time::sleep(AFTER_A_LOSS).await;
            }
            Err(_) => return errand.account.push(kind, Class::Timeout, "no echo"),
        }
        errand.pause(Duration::from_millis(100)).await;
    }
    // Nobody is waiting for it.
    drop(socket.close(None).await);
}

async fn say(socket: &mut Socket, text: Utf8Bytes) -> Heard {
    // Should it fail, what was said before tells more.
    let sent = socket.send(Message::Text(text.clone())).await;
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(echo))) if echo == text => return Heard::Echo,
            Some(Ok(Message::Text(other))) => return Heard::Lost(Class::WrongBody, other.to_string()),
            Some(Ok(Message::Close(Some(close)))) if matches!(close.code.into(), 1001_u16 | 1012) => {
                return Heard::Farewell;
            }
            Some(Ok(Message::Close(close))) => return Heard::Lost(Class::Cut, format!("{close:?}")),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Heard::Lost(Class::Cut, format!("sent: {sent:?}, then {error}")),
            None => return Heard::Lost(Class::Cut, format!("sent: {sent:?}, then the end")),
        }
    }
}

/// Answers the farewell and waits for the end, which has to come without a reset.
async fn bye(mut socket: Socket, errand: &Errand, kind: &'static str) {
    let ends = async {
        loop {
            match socket.next().await {
                Some(Err(Error::Io(error))) => return errand.account.reset(kind, error),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    };
    if timeout(TIMEOUT, ends).await.is_err() {
        errand.account.push(kind, Class::Timeout, "no end after the farewell");
    }
}
