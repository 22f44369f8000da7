//! What has no end of its own: server-sent events and WebSockets.

use std::convert::Infallible;
use std::time::Duration;

use adieu::serve::Draining;
use adieu::{App, StopReport};
use axum::Extension;
use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::get;

use super::client::Client;
use super::{anywhere, port, tell_port};
use crate::scene::{play, say, scene};

fn serve(router: Router) -> StopReport {
    let app = App::new("streams");
    let server = app.serve("api", anywhere(), router);
    tell_port(&app, &server);
    drop(server);
    app.run()
}

#[test]
fn axum_2673_server_sent_events_end_cleanly() {
    fn service() -> StopReport {
        async fn events() -> Sse<impl futures_core::Stream<Item = Result<Event, Infallible>>> {
            say("asked for events");
            Sse::new(tokio_stream::StreamExt::throttle(
                tokio_stream::iter(std::iter::repeat_with(|| Ok(Event::default().data("tick")))),
                Duration::from_millis(20),
            ))
        }
        serve(Router::new().route("/", get(events)))
    }
    play(scene!(axum_2673_server_sent_events_end_cleanly), service, |mut service| {
        let mut client = Client::connect(port(&mut service));
        client.send("GET / HTTP/1.1\r\nHost: here\r\n\r\n");
        service.hears("asked for events");
        std::thread::sleep(Duration::from_millis(100));
        service.signal("TERM");
        // Whole events, and the end of the body.
        let answer = client.answer().expect("a whole answer");
        assert!(!answer.body.is_empty() && answer.body.replace("data: tick\n\n", "").is_empty(), "{}", answer.body);
        assert!(client.ends());
        drop(client);
        assert_eq!(service.ends().code(), Some(0));
    });
}

fn chat() -> StopReport {
    async fn upgrade(ws: WebSocketUpgrade, Extension(draining): Extension<Draining>) -> Response {
        ws.on_upgrade(move |socket| talk(socket, draining))
    }
    async fn talk(mut socket: WebSocket, draining: Draining) {
        let _hook = draining.on_close(|| async { say("close hook") });
        say("upgraded");
        let begun = draining.begun();
        tokio::pin!(begun);
        loop {
            tokio::select! {
                () = &mut begun => break,
                message = socket.recv() => match message {
                    Some(Ok(message)) => socket.send(message).await.expect("echoes"),
                    _ => return,
                },
            }
        }
        let farewell = CloseFrame { code: 1001, reason: "going away".into() };
        socket.send(Message::Close(Some(farewell))).await.expect("a farewell");
        while let Some(Ok(_)) = socket.recv().await {}
        say("said goodbye");
    }
    serve(Router::new().route("/", get(upgrade)))
}

/// Also axum-server#40 and go#17721.
#[test]
fn axum_3003_web_sockets_are_told_and_awaited() {
    play(scene!(axum_3003_web_sockets_are_told_and_awaited), chat, |mut service| {
        let port = port(&mut service);
        let stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connects");
        let (mut socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}/"), stream).expect("upgrades");
        socket.send("hello".into()).expect("sends");
        assert_eq!(socket.read().expect("an echo"), "hello".into());
        service.hears("upgraded");
        service.signal("TERM");
        let Ok(tungstenite::Message::Close(Some(close))) = socket.read() else { panic!("no close") };
        assert_eq!(u16::from(close.code), 1001);
        // Awaited, although the client takes its time.
        std::thread::sleep(Duration::from_millis(700));
        let over = std::iter::repeat_with(|| socket.read()).find_map(Result::err);
        assert!(matches!(over, Some(tungstenite::Error::ConnectionClosed)), "{over:?}");
        let end = service.ends();
        assert_eq!(end.code(), Some(0));
        assert!(end.events().contains(&"said goodbye") && end.events().contains(&"close hook"), "{:?}", end.events());
    });
}
