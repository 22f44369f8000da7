//! Mistakes of others, each of which is a test here.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use adieu::serve::{Serve, ServeError, Server};
use adieu::{App, Phase, StopReport};

use super::client::Client;
use super::{anywhere, port, routes, tell_port};
use crate::scene::{PATIENCE, play, say, scene};

fn serves(app: &App, settings: Serve) {
    let server = app.serve_with("api", anywhere(), routes(), settings);
    tell_port(app, &server);
    drop(server);
}

#[test]
fn hyper_4170_a_preface_that_never_comes_does_not_hold_the_stop() {
    fn service() -> StopReport {
        let app = App::new("preface");
        serves(&app, Serve::new().handshake(Duration::from_millis(300)));
        app.run()
    }
    play(scene!(hyper_4170_a_preface_that_never_comes_does_not_hold_the_stop), service, |mut service| {
        let port = port(&mut service);
        let (mut preface, mut headers, mut settings) =
            (Client::connect(port), Client::connect(port), Client::connect(port));
        preface.send("PRI * HTTP/2.0\r\n\r");
        headers.send("GET / HTTP/1.1\r\nHost: he");
        // A whole preface, and then nothing: neither settings nor the answer to a PING.
        settings.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        std::thread::sleep(Duration::from_millis(100));
        let before = Instant::now();
        service.signal("TERM");
        assert_eq!(service.ends().code(), Some(0));
        assert!(before.elapsed() < PATIENCE / 3, "{:?}", before.elapsed());
        drop((preface, headers, settings));
    });
}

#[test]
fn hyper_3961_it_says_close_while_it_still_accepts() {
    fn service() -> StopReport {
        let app = App::new("lame");
        serves(&app, Serve::new().lame_duck(Duration::from_secs(1), Duration::from_secs(1)));
        let told = app.component("told").announce(|_, _| async { say("announced") });
        drop(told);
        app.run()
    }
    play(scene!(hyper_3961_it_says_close_while_it_still_accepts), service, |mut service| {
        let port = port(&mut service);
        let mut old = Client::connect(port);
        assert!(!old.get("/").last);
        service.signal("TERM");
        service.hears("announced");
        std::thread::sleep(Duration::from_millis(100));
        for mut client in [old, Client::connect(port)] {
            let answer = client.get("/");
            assert_eq!((answer.status, answer.last), (200, true));
        }
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn grpc_rust_2824_nobody_connects_to_a_listener_that_drains() {
    fn service() -> StopReport {
        let app = App::new("listener");
        serves(&app, Serve::new());
        app.run()
    }
    play(scene!(grpc_rust_2824_nobody_connects_to_a_listener_that_drains), service, |mut service| {
        let port = port(&mut service);
        let mut client = Client::connect(port);
        client.send("GET /pieces HTTP/1.1\r\nHost: here\r\n\r\n");
        service.hears("asked for pieces");
        service.signal("TERM");
        let by = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_ok() {
            assert!(Instant::now() < by, "it still listens");
        }
        // And the one that was there is not hurt.
        assert_eq!(client.answer().expect("an answer").body, "piece ".repeat(6));
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn grpc_rust_1820_a_request_that_never_ends_is_cut_and_named() {
    fn service() -> StopReport {
        let app = App::new("never").grace(Duration::from_millis(1500));
        serves(&app, Serve::new());
        app.run()
    }
    play(scene!(grpc_rust_1820_a_request_that_never_ends_is_cut_and_named), service, |mut service| {
        let mut client = Client::connect(port(&mut service));
        client.send("GET /never HTTP/1.1\r\nHost: here\r\n\r\n");
        service.hears("asked for ever");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!(end.code(), Some(124), "{}", end.stderr);
        let report = end.report();
        let request = report.in_flight.iter().find(|of| of.name == "request").expect("the request is named");
        assert_eq!(request.count, 1);
        assert!(request.place.contains("peers.rs"), "{}", request.place);
    });
}

#[test]
fn pingora_727_a_phase_ends_with_its_work_and_not_with_its_time() {
    fn service() -> StopReport {
        let app = App::new("ends").grace(Duration::from_secs(100)).phase_limit(Phase::Drain, Duration::from_secs(60));
        serves(&app, Serve::new().linger(Duration::from_secs(20)));
        app.run()
    }
    play(scene!(pingora_727_a_phase_ends_with_its_work_and_not_with_its_time), service, |mut service| {
        let mut client = Client::connect(port(&mut service));
        client.send("GET /slow HTTP/1.1\r\nHost: here\r\n\r\n");
        service.hears("asked slowly");
        let before = Instant::now();
        service.signal("TERM");
        assert!(client.answer().expect("an answer").last);
        drop(client);
        assert_eq!(service.ends().code(), Some(0));
        assert!(before.elapsed() < Duration::from_secs(15), "{:?}", before.elapsed());
    });
}

#[test]
fn serving_after_the_stop_has_begun_is_refused() {
    fn service() -> StopReport {
        let app = App::new("late");
        let late = app.component("late").announce(|_, context| async move {
            let refused = Server::start(&context, anywhere(), routes(), Serve::new());
            say(&format!("refused: {}", matches!(refused, Err(ServeError::Stopping(_)))));
        });
        drop(late);
        let early = app.component("early").start(|context| async move {
            let server = Server::start(&context, anywhere(), routes(), Serve::new())?;
            // A second close is nothing.
            tokio::join!(server.close(), server.close());
            server.close().await;
            say("closed");
            context.close();
            Ok::<_, ServeError>(())
        });
        drop(early);
        app.run()
    }
    play(scene!(serving_after_the_stop_has_begun_is_refused), service, |mut service| {
        service.hears("closed");
        service.hears("refused: true");
        assert_eq!(service.ends().code(), Some(0));
    });
}
