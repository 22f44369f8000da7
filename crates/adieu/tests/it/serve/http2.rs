use adieu::serve::Serve;
use adieu::{App, StopReport};
use axum::body::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::Duration;

use super::{anywhere, port, routes, tell_port};
use crate::scene::{play, scene};

fn plain() -> StopReport {
    let app = App::new("h2");
    let server = app.serve_with("api", anywhere(), routes(), Serve::new().linger(Duration::ZERO));
    tell_port(&app, &server);
    drop(server);
    app.run()
}

fn asks(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://here{path}")).body(Empty::new()).expect("a request")
}

#[test]
fn streams_are_finished_and_nothing_is_lost_on_the_way_out() {
    play(scene!(streams_are_finished_and_nothing_is_lost_on_the_way_out), plain, |mut service| {
        let port = port(&mut service);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
            let (mut client, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
            let connection = tokio::spawn(connection);
            let slow: Vec<_> = (0..20).map(|_| tokio::spawn(client.send_request(asks("/slow")))).collect();
            let pieces = tokio::spawn(client.send_request(asks("/pieces")));
            // One after the other, up to the GOAWAY: none that was sent is lost.
            let mut busy = client.clone();
            let one_by_one = tokio::spawn(async move {
                let mut answers = 0;
                while busy.ready().await.is_ok() {
                    match busy.send_request(asks("/")).await {
                        Ok(answer) => assert_eq!(answer.status(), 200),
                        // Not sent at all: the connection has been told to end.
                        Err(error) if error.is_canceled() => break,
                        Err(error) => panic!("lost: {error:?}"),
                    }
                    answers += 1;
                }
                answers
            });
            tokio::time::sleep(Duration::from_millis(150)).await;
            service.hears("asked slowly");
            service.hears("asked for pieces");
            service.signal("TERM");
            for answer in slow {
                let body = answer.await.expect("asked").expect("answered").collect().await.expect("a body");
                assert_eq!(body.to_bytes(), "slow");
            }
            let body = pieces.await.expect("asked").expect("answered").collect().await.expect("a body");
            assert_eq!(body.to_bytes(), "piece ".repeat(6));
            assert!(one_by_one.await.expect("nothing is lost") > 0);
            connection.await.expect("no panic").expect("ends in order");
        });
        assert_eq!(service.ends().code(), Some(0));
    });
}
