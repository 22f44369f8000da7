//! What has no end of its own: server-sent events and WebSockets.

use std::convert::Infallible;
use std::time::Duration;

use adieu::serve::{Draining, Serve};
use adieu::{App, Phase, Signal, StopReport};
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::{any, get};
use axum::{Extension, Router};

use super::client::Client;
use super::{anywhere, port, tell_port};
use crate::scene::{PATIENCE, play, say, scene};

fn serve(router: Router) -> StopReport {
    let app = App::new("streams");
    let server = app.serve("api", anywhere(), router);
    tell_port(&app, &server);
    let handle = server.handle();
    let count = move |_| {
        let counts = handle.get().expect("it serves").connections();
        async move { say(&format!("{} hijacked, {} idle, {} open", counts.hijacked, counts.idle, counts.open())) }
    };
    app.on_signal(Signal::USR2, count).expect("subscribed");
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
    async fn upgrade(ws: WebSocketUpgrade, draining: Draining) -> Response {
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
    // HTTP/1.1 upgrades with GET, HTTP/2 with CONNECT.
    serve(Router::new().route("/", any(upgrade)))
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

/// One frame of a WebSocket, short and unfragmented (RFC 6455, 5.2).
async fn frame(stream: &mut h2::RecvStream, buffer: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    loop {
        if let [first, length, rest @ ..] = buffer.as_slice()
            && rest.len() >= usize::from(*length)
        {
            let (opcode, length) = (first & 0xf, usize::from(*length));
            let payload = rest[..length].to_vec();
            buffer.drain(..2 + length);
            return Some((opcode, payload));
        }
        let more = stream.data().await?.expect("no reset");
        stream.flow_control().release_capacity(more.len()).expect("was ours");
        buffer.extend_from_slice(&more);
    }
}

/// The same, from a client: masked, with zeros.
fn masked(opcode: u8, payload: &[u8]) -> Bytes {
    let length = u8::try_from(payload.len()).expect("short");
    let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame.into()
}

type Driving = tokio::task::JoinHandle<Result<(), h2::Error>>;

/// Asks for a WebSocket on a stream of HTTP/2 (RFC 8441).
async fn web_socket(port: u16) -> (axum::http::Response<h2::RecvStream>, h2::SendStream<Bytes>, Driving) {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let driving = tokio::spawn(connection);
    let mut client = client.ready().await.expect("ready");
    // Told by the first settings of the server.
    while !client.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let request = axum::http::Request::builder()
        .method("CONNECT")
        .uri(format!("http://127.0.0.1:{port}/"))
        .header("sec-websocket-version", "13")
        .extension(h2::ext::Protocol::from_static("websocket"))
        .body(())
        .expect("a request");
    let (answer, send) = client.send_request(request, false).expect("sent");
    (answer.await.expect("an answer"), send, driving)
}

#[test]
fn web_sockets_over_http2_are_counted_told_and_awaited() {
    play(scene!(web_sockets_over_http2_are_counted_told_and_awaited), chat, |mut service| {
        let port = port(&mut service);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (send, receive, driving) = runtime.block_on(async {
            let (answer, mut send, driving) = web_socket(port).await;
            assert_eq!(answer.status(), 200);
            let mut receive = answer.into_body();
            send.send_data(masked(1, b"hello"), false).expect("sent");
            let mut buffer = Vec::new();
            assert_eq!(frame(&mut receive, &mut buffer).await, Some((1, b"hello".to_vec())));
            assert!(buffer.is_empty());
            (send, receive, driving)
        });
        service.hears("upgraded");
        service.signal("USR2");
        service.hears("1 hijacked, 0 idle, 1 open");
        service.signal("TERM");
        runtime.block_on(async {
            let (mut send, mut receive, mut buffer) = (send, receive, Vec::new());
            let close = frame(&mut receive, &mut buffer).await.expect("a farewell");
            assert_eq!((close.0, &close.1[..2]), (8, 1001_u16.to_be_bytes().as_slice()));
            // Longer than all that a connection without anything under way has in a drain.
            tokio::time::sleep(Duration::from_secs(4)).await;
            send.send_data(masked(8, &close.1[..2]), true).expect("it is still there");
            while let Some(rest) = receive.data().await {
                rest.expect("no reset");
            }
            driving.await.expect("no panic").expect("ends in order");
        });
        let end = service.ends();
        assert_eq!(end.code(), Some(0));
        assert!(end.events().contains(&"said goodbye") && end.events().contains(&"close hook"), "{:?}", end.events());
        let phases: Vec<_> = end.report().phases.iter().map(|of| of.took).collect();
        assert!(phases.iter().any(|took| *took >= Duration::from_secs(3)), "the drain waited: {phases:?}");
    });
}

#[test]
fn a_web_socket_over_http2_that_never_ends_is_named_and_cut() {
    fn service() -> StopReport {
        async fn upgrade(ws: WebSocketUpgrade) -> Response {
            ws.on_upgrade(|socket| async move {
                say("upgraded");
                std::future::pending::<()>().await;
                drop(socket);
            })
        }
        let app = App::new("deaf").grace(Duration::from_secs(4));
        let server = app.serve("api", anywhere(), Router::new().route("/", any(upgrade)));
        tell_port(&app, &server);
        drop(server);
        app.run()
    }
    play(scene!(a_web_socket_over_http2_that_never_ends_is_named_and_cut), service, |mut service| {
        let port = port(&mut service);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let held = runtime.block_on(web_socket(port));
        service.hears("upgraded");
        service.signal("TERM");
        let end = service.ends();
        drop(held);
        assert_eq!(end.code(), Some(124));
        let named = end.report().in_flight.iter().any(|of| of.name == "upgraded connection" && of.count == 1);
        assert!(named, "{}", end.report());
    });
}

#[test]
fn a_handler_sees_whether_the_server_drains() {
    fn service() -> StopReport {
        let app = App::new("asks");
        let router =
            Router::new().route("/", get(|draining: Draining| async move { draining.is_draining().to_string() }));
        // Longer than the test takes: the answer that says `Connection: close` ends the drain.
        let server = app.serve_with("api", anywhere(), router, Serve::new().linger(PATIENCE));
        tell_port(&app, &server);
        drop(server);
        app.task("drain", |context| async move {
            context.entered(Phase::Drain).await;
            say("draining");
        });
        app.run()
    }
    play(scene!(a_handler_sees_whether_the_server_drains), service, |mut service| {
        let mut client = Client::connect(port(&mut service));
        assert_eq!(client.get("/").body, "false");
        service.signal("TERM");
        service.hears("draining");
        let answer = client.get("/");
        assert_eq!((answer.body.as_str(), answer.last), ("true", true));
        assert!(client.ends());
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn a_request_that_nobody_would_tell_of_the_drain_is_refused() {
    use axum::extract::FromRequestParts;
    use axum::response::IntoResponse;
    let (mut parts, ()) = axum::http::Request::new(()).into_parts();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let refused = runtime.block_on(Draining::from_request_parts(&mut parts, &())).expect_err("not served by adieu");
    assert_eq!(refused.into_response().status(), 500);
}

/// The layer that the guide shows.
#[test]
fn handlers_that_want_connect_info_have_it_by_a_layer() {
    fn service() -> StopReport {
        async fn connect_info(Extension(draining): Extension<Draining>, mut request: Request, next: Next) -> Response {
            if let Some(peer) = draining.peer() {
                request.extensions_mut().insert(ConnectInfo(peer));
            }
            next.run(request).await
        }
        let who = |ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>| async move { peer.port().to_string() };
        serve(Router::new().route("/", get(who)).layer(middleware::from_fn(connect_info)))
    }
    play(scene!(handlers_that_want_connect_info_have_it_by_a_layer), service, |mut service| {
        let mut client = Client::connect(port(&mut service));
        let own = client.stream.get_ref().local_addr().expect("an address").port();
        assert_eq!(client.get("/").body, own.to_string());
        service.signal("TERM");
        assert_eq!(service.ends().code(), Some(0));
    });
}
