//! `Shutdown`, for those who keep their own `main`.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::time::Duration;

use adieu::{Cause, Shutdown, Signal, StopReport};

use crate::scene::{play, say, scene};

fn with_runtime(run: impl Future<Output = StopReport>) -> StopReport {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run)
}

#[test]
fn a_main_of_its_own_is_asked_and_awaited() {
    fn service() -> StopReport {
        with_runtime(async {
            let shutdown = Shutdown::install("own", Duration::from_secs(20)).expect("handlers");
            let guard = shutdown.in_flight().guard("a job").expect("serving");
            let requested = shutdown.requested();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                say("job done");
                drop(guard);
            });
            say("serving");
            requested.await;
            say("main ends");
            shutdown.finish().await
        })
    }
    play(scene!(a_main_of_its_own_is_asked_and_awaited), service, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        let end = service.ends();
        let mut events = end.events();
        events.sort_unstable();
        assert_eq!(events, ["job done", "main ends", "serving"]);
        let report = end.report();
        assert_eq!((end.code(), report.cause), (Some(0), Cause::Signal(Signal::TERM)));
    });
}

#[test]
fn a_main_that_does_not_come_to_its_end_is_ended_and_named() {
    fn service() -> StopReport {
        with_runtime(async {
            let shutdown = Shutdown::install("own", Duration::from_millis(1200)).expect("handlers");
            let guard = shutdown.in_flight().guard("a job").expect("serving");
            say("serving");
            std::future::pending::<()>().await;
            drop(guard);
            shutdown.finish().await
        })
    }
    play(scene!(a_main_that_does_not_come_to_its_end_is_ended_and_named), service, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!(end.code(), Some(124));
        assert!(end.stderr.contains("in flight: 1 × a job at "), "{}", end.stderr);
        assert!(end.stderr.contains("main: cut"), "{}", end.stderr);
    });
}

#[test]
fn a_runtime_that_cannot_be_dropped_does_not_keep_the_process() {
    // `Runtime::drop` waits for blocking tasks for ever.
    fn service() -> StopReport {
        with_runtime(async {
            let shutdown = Shutdown::install("own", Duration::from_millis(1200)).expect("handlers");
            tokio::task::spawn_blocking(|| {
                loop {
                    std::thread::park();
                }
            });
            say("serving");
            shutdown.requested().await;
            shutdown.finish().await
        })
    }
    play(scene!(a_runtime_that_cannot_be_dropped_does_not_keep_the_process), service, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!(end.code(), Some(124));
        assert!(end.stderr.contains("main or a destructor is blocked"), "{}", end.stderr);
    });
}

#[test]
fn other_signals_have_hooks_and_say_what_is_running() {
    // SIGHUP reads the configuration again here, and so is no stop signal; SIGUSR1 is asked during the drain too.
    fn service() -> StopReport {
        with_runtime(async {
            let shutdown = Shutdown::install("own", Duration::from_secs(20)).expect("handlers");
            let shutdown = shutdown.stop_signals([Signal::TERM]).expect("handled");
            shutdown.on_signal(Signal::HUP, |_| async { say("configuration read again") }).expect("subscribed");
            // A copy beside what it does anyway.
            shutdown.on_signal(Signal::USR1, |_| async { say("asked") }).expect("subscribed");
            let panics = |_| async { panic!("the profile is on a full disk") };
            shutdown.on_signal(Signal::WINCH, panics).expect("subscribed");
            let guard = shutdown.in_flight().guard("import of 42").expect("serving");
            let held = Mutex::new(Some(guard));
            let end = move |_| {
                let ended = held.lock().expect("no panic").take();
                async move { say(if ended.is_some() { "import done" } else { "no import" }) }
            };
            shutdown.on_signal(Signal::USR2, end).expect("subscribed");
            say("serving");
            shutdown.requested().await;
            say("stopping");
            shutdown.finish().await
        })
    }
    play(scene!(other_signals_have_hooks_and_say_what_is_running), service, |mut service| {
        service.hears("serving");
        service.signal("WINCH");
        service.signal("HUP");
        service.hears("configuration read again");
        service.signal("USR1");
        service.hears("asked");
        service.signal("TERM");
        service.hears("stopping");
        service.signal("USR1");
        // Hooks run while main waits for what is in flight.
        service.signal("USR2");
        service.hears("import done");
        let end = service.ends();
        let report = end.report();
        assert_eq!((end.code(), report.cause), (Some(0), Cause::Signal(Signal::TERM)), "{}", end.stderr);
        assert!(end.stderr.contains("own: serving\n"), "{}", end.stderr);
        assert!(end.stderr.contains("in flight: 1 × import of 42 at "), "{}", end.stderr);
        assert!(end.stderr.contains("the profile is on a full disk"), "it was called: {}", end.stderr);
    });
}

#[test]
fn a_signal_that_nobody_can_handle_is_refused_and_the_others_stay() {
    fn service() -> StopReport {
        with_runtime(async {
            let shutdown = Shutdown::install("own", Duration::from_secs(20)).expect("handlers");
            let refused = shutdown.on_signal(Signal::KILL, |_| async {}).map_err(|error| error.kind());
            assert_eq!(refused, Err(std::io::ErrorKind::InvalidInput));
            let shutdown = shutdown.dump_signals([Signal::USR2]).expect("handled");
            shutdown.on_signal(Signal::USR2, |_| async { say("asked") }).expect("subscribed");
            say("serving");
            shutdown.requested().await;
            shutdown.finish().await
        })
    }
    play(scene!(a_signal_that_nobody_can_handle_is_refused_and_the_others_stay), service, |mut service| {
        service.hears("serving");
        service.signal("USR2");
        service.hears("asked");
        service.signal("HUP");
        let end = service.ends();
        assert_eq!((end.code(), end.report().cause), (Some(0), Cause::Signal(Signal::HUP)));
        assert!(end.stderr.contains("own: serving\n"), "{}", end.stderr);
    });
}

#[test]
fn an_axum_service_of_ten_lines_answers_what_it_has_begun() {
    // The program of the README, with a slow answer.
    fn service() -> StopReport {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let served = runtime.block_on(async {
            let shutdown = Shutdown::install("shop", Duration::from_secs(30)).map_err(std::io::Error::other)?;
            let slow = || async {
                say("asked");
                tokio::time::sleep(Duration::from_millis(300)).await;
                "hello"
            };
            let app = axum::Router::new().route("/", axum::routing::get(slow));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            say(&format!("at {}", listener.local_addr()?));
            axum::serve(listener, app).with_graceful_shutdown(shutdown.requested()).await?;
            Ok::<_, std::io::Error>(shutdown.finish().await)
        });
        served.expect("it serves")
    }
    play(scene!(an_axum_service_of_ten_lines_answers_what_it_has_begun), service, |mut service| {
        let address = service.hears_some(|line| line.strip_prefix("at ").map(str::to_owned));
        let mut client = std::net::TcpStream::connect(&address).expect("it listens");
        write!(client, "GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").expect("sent");
        service.hears("asked");
        service.signal("TERM");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("a whole answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
        let end = service.ends();
        assert_eq!((end.code(), end.report().cause), (Some(0), Cause::Signal(Signal::TERM)));
    });
}
