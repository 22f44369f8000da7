use std::time::Duration;

use adieu::serve::Serve;
use adieu::{App, StopReport};

use super::client::Client;
use super::{anywhere, port, routes, tell_port};
use crate::scene::{PATIENCE, play, say, scene};

fn plain() -> StopReport {
    let app = App::new("plain");
    let server = app.serve("api", anywhere(), routes());
    tell_port(&app, &server);
    drop(server);
    app.run()
}

/// Without a linger, so that what keeps the stop is not it.
fn hasty() -> StopReport {
    let app = App::new("hasty");
    let settings = Serve::new().linger(Duration::ZERO).handshake(Duration::from_millis(300));
    let server = app.serve_with("api", anywhere(), routes(), settings);
    tell_port(&app, &server);
    drop(server);
    app.run()
}

#[test]
fn busy_keep_alive_connections_lose_nothing_and_are_told() {
    play(scene!(busy_keep_alive_connections_lose_nothing_and_are_told), plain, |mut service| {
        let port = port(&mut service);
        // Each request is answered, up to one that says that it is the last: closed before, `get` would fail.
        let until_last = move || {
            let mut client = Client::connect(port);
            let mut answers = 0;
            while !client.get("/").last {
                answers += 1;
            }
            (answers, client.ends())
        };
        let clients: Vec<_> = (0..16).map(|_| std::thread::spawn(until_last)).collect();
        std::thread::sleep(Duration::from_millis(300));
        service.signal("TERM");
        for client in clients {
            let (answers, ends) = client.join().expect("no request is lost");
            assert!(answers > 0 && ends, "{answers} answers, ends in order: {ends}");
        }
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn a_request_on_an_idle_connection_within_the_linger_is_answered() {
    play(scene!(a_request_on_an_idle_connection_within_the_linger_is_answered), plain, |mut service| {
        let port = port(&mut service);
        let mut client = Client::connect(port);
        assert!(!client.get("/").last);
        service.signal("TERM");
        std::thread::sleep(Duration::from_millis(50));
        let answer = client.get("/");
        assert_eq!((answer.status, answer.body.as_str(), answer.last), (200, "hello", true));
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn slow_answers_and_slow_uploads_are_finished() {
    play(scene!(slow_answers_and_slow_uploads_are_finished), hasty, |mut service| {
        let port = port(&mut service);
        let (mut slow, mut pieces, mut upload) = (Client::connect(port), Client::connect(port), Client::connect(port));
        slow.send("GET /slow HTTP/1.1\r\nHost: here\r\n\r\n");
        pieces.send("GET /pieces HTTP/1.1\r\nHost: here\r\n\r\n");
        upload.send("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nhalf ");
        service.hears("asked slowly");
        service.hears("asked for pieces");
        service.signal("TERM");
        std::thread::sleep(Duration::from_millis(200));
        upload.send("whole");
        assert_eq!(upload.answer().expect("an answer").body, "half whole");
        let answer = slow.answer().expect("an answer");
        assert_eq!((answer.body.as_str(), answer.last), ("slow", true));
        // Its headers had left before the stop.
        assert_eq!(pieces.answer().expect("an answer").body, "piece ".repeat(6));
        assert!(slow.ends() && pieces.ends() && upload.ends());
        drop((slow, pieces, upload));
        assert_eq!(service.ends().code(), Some(0));
    });
}

/// Without a linger, with a farewell that takes until standard input ends.
fn hasty_and_long() -> StopReport {
    let app = App::new("hasty");
    let server = app.serve_with("api", anywhere(), routes(), Serve::new().linger(Duration::ZERO));
    tell_port(&app, &server);
    let farewell = app.component("farewell").cleanup(|_, _| async {
        say("farewell");
        let read = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        read.await?.map(drop).map_err(adieu::BoxError::from)
    });
    drop((server, farewell));
    app.run()
}

#[test]
fn idle_connections_hold_nothing_up_and_are_closed_nevertheless() {
    play(scene!(idle_connections_hold_nothing_up_and_are_closed_nevertheless), hasty_and_long, |mut service| {
        let port = port(&mut service);
        let mut clients: Vec<Client> = (0..200).map(|_| Client::connect(port)).collect();
        clients.iter_mut().for_each(|client| assert!(!client.get("/").last));
        service.signal("TERM");
        service.hears("farewell");
        for client in &mut clients {
            assert!(client.ends(), "closed while the stop goes on");
        }
        service.close_stdin();
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn what_waits_in_the_accept_queue_or_is_not_yet_read_is_answered() {
    play(scene!(what_waits_in_the_accept_queue_or_is_not_yet_read_is_answered), hasty, |mut service| {
        let port = port(&mut service);
        let mut idle = Client::connect(port);
        idle.get("/");
        // Nothing of this is seen by the service before the signal is.
        service.signal("STOP");
        idle.send("GET / HTTP/1.1\r\nHost: here\r\n\r\n");
        let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(port)).collect();
        clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: here\r\n\r\n"));
        service.signal("TERM");
        service.signal("CONT");
        clients.push(idle);
        for mut client in clients {
            assert_eq!(client.answer().expect("an answer").body, "hello");
            assert!(client.ends());
        }
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn connections_that_never_sent_a_byte_do_not_hold_the_stop() {
    play(scene!(connections_that_never_sent_a_byte_do_not_hold_the_stop), hasty, |mut service| {
        let port = port(&mut service);
        let mut silent: Vec<Client> = (0..500).map(|_| Client::connect(port)).collect();
        let mut idle: Vec<Client> = (0..100).map(|_| Client::connect(port)).collect();
        idle.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
        let before = std::time::Instant::now();
        service.signal("TERM");
        assert_eq!(service.ends().code(), Some(0));
        assert!(before.elapsed() < PATIENCE / 3, "{:?}", before.elapsed());
        assert!(silent.iter_mut().chain(&mut idle).all(Client::ends), "a reset");
    });
}

#[test]
fn a_large_answer_to_a_slow_reader_is_complete() {
    fn service() -> StopReport {
        let app = App::new("large");
        let large = "x".repeat(20 << 20);
        let router = axum::Router::new().route(
            "/",
            axum::routing::get(move || async move {
                say("asked");
                large
            }),
        );
        let settings = Serve::new().linger(Duration::ZERO).handshake(Duration::from_millis(100));
        let server = app.serve_with("api", anywhere(), router, settings);
        tell_port(&app, &server);
        drop(server);
        app.run()
    }
    play(scene!(a_large_answer_to_a_slow_reader_is_complete), service, |mut service| {
        let mut client = Client::connect(port(&mut service));
        client.send("GET / HTTP/1.1\r\nHost: here\r\n\r\n");
        service.hears("asked");
        service.signal("TERM");
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(client.answer().expect("an answer").body.len(), 20 << 20);
        assert!(client.ends());
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn states_are_counted() {
    use adieu::serve::ConnectionCounts;
    fn service() -> StopReport {
        let app = App::new("states");
        let server = app.serve("api", anywhere(), routes());
        let handle = server.handle();
        let counts = axum::routing::get(move || async move {
            let server = handle.get().expect("it serves this");
            assert_eq!(server.open_connections().len(), server.connections().open());
            serde_json::to_string(&server.connections()).expect("json")
        });
        let admin = app.serve("admin", anywhere(), axum::Router::new().route("/", counts)).last();
        let handle = admin.handle();
        let tell = app.component("admin port").after(&admin).start(move |_| async move {
            say(&format!("admin {}", handle.get()?.local_addr().map_or(0, |address| address.port())));
            Ok::<_, adieu::NotRunning>(())
        });
        tell_port(&app, &server);
        drop((server, admin, tell));
        app.run()
    }
    play(scene!(states_are_counted), service, |mut service| {
        let port = port(&mut service);
        let admin = service.hears_of("admin ").parse().expect("a port");
        let count =
            || -> ConnectionCounts { serde_json::from_str(&Client::connect(admin).get("/").body).expect("counts") };
        let settles = |wanted: ConnectionCounts| {
            let by = std::time::Instant::now() + PATIENCE;
            while count() != wanted {
                assert!(std::time::Instant::now() < by, "{:?} is not {wanted:?}", count());
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let new = Client::connect(port);
        let mut handshake = Client::connect(port);
        handshake.send("PRI * HTTP");
        let (mut idle, mut active, mut closed) = (Client::connect(port), Client::connect(port), Client::connect(port));
        idle.get("/");
        closed.get("/");
        drop(closed);
        active.send("GET /slow HTTP/1.1\r\nHost: here\r\n\r\n");
        service.hears("asked slowly");
        settles(ConnectionCounts { new: 1, handshake: 1, active: 1, idle: 1, hijacked: 0, closed: 1 });
        // Countable while it drains too.
        service.signal("TERM");
        active.answer().expect("an answer");
        drop((new, active, idle));
        settles(ConnectionCounts { new: 0, handshake: 1, active: 0, idle: 0, hijacked: 0, closed: 4 });
        drop(handshake);
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn a_client_that_takes_too_long_for_its_headers_is_closed() {
    fn service() -> StopReport {
        let app = App::new("strict");
        let settings = Serve::new().header_timeout(Duration::from_millis(300));
        let server = app.serve_with("api", anywhere(), routes(), settings);
        tell_port(&app, &server);
        drop(server);
        app.run()
    }
    play(scene!(a_client_that_takes_too_long_for_its_headers_is_closed), service, |mut service| {
        let port = port(&mut service);
        let (mut slow, mut idle) = (Client::connect(port), Client::connect(port));
        slow.send("GET / HTTP/1.1\r\nHost:");
        assert_eq!(idle.get("/").status, 200);
        // Closed without a stop: idle time counts too.
        assert!(slow.ends() && idle.ends());
        assert_eq!(Client::connect(port).get("/").status, 200, "the others are served");
        service.signal("TERM");
        assert_eq!(service.ends().code(), Some(0));
    });
}

/// Each kind of service and of address compiles, which is the point, and is served.
#[test]
fn services_of_all_kinds_are_served() {
    fn service() -> StopReport {
        use std::convert::Infallible;
        use std::net::{Ipv4Addr, Ipv6Addr};

        use adieu::serve::Hyper;
        use axum::http::{Request, Response};
        use hyper::body::Incoming;

        async fn answer(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
            Ok(Response::new(request.uri().path().to_owned()))
        }
        let app = App::new("kinds");
        let hyper = Hyper(hyper::service::service_fn(answer));
        let server = app.serve("hyper", (Ipv4Addr::LOCALHOST, 0), hyper);
        tell_port(&app, &server);
        app.serve("routes", ([127, 0, 0, 1], 0), tonic::service::Routes::default());
        app.serve("method", (Ipv4Addr::LOCALHOST, 0), axum::routing::get(|| async {}));
        // Never bound: the plan is all that is wanted of it.
        let other = App::new("never runs");
        other.serve("ipv6", (Ipv6Addr::LOCALHOST, 0), hyper);
        drop(other);
        app.run()
    }
    play(scene!(services_of_all_kinds_are_served), service, |mut service| {
        let port = port(&mut service);
        assert_eq!(Client::connect(port).get("/hyper").body, "/hyper");
        service.signal("TERM");
        assert_eq!(service.ends().code(), Some(0));
    });
}
