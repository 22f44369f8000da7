//! Who starts and stops when.

use std::convert::Infallible;
use std::time::Duration;

use adieu::{App, Cause, Outcome, Phase, StopReport, Verdict};

use crate::scene::{play, say, scene};

/// A component that says what it does.
fn told<'a>(app: &'a App, name: &'static str) -> adieu::Component<'a, &'static str> {
    app.component(name)
        .start(move |_| async move {
            say(&format!("start {name}"));
            Ok::<_, Infallible>(name)
        })
        .stop(|name, _| async move { say(&format!("stop {name}")) })
}

fn say_when_serving(app: &App) {
    let control = app.control();
    std::thread::spawn(move || {
        while control.stage() < adieu::Stage::Serving {
            std::thread::sleep(Duration::from_millis(1));
        }
        say("serving");
    });
}

fn position(events: &[&str], event: &str) -> usize {
    events.iter().position(|said| *said == event).unwrap_or_else(|| panic!("no {event:?} in {events:?}"))
}

#[test]
fn components_start_in_order_and_stop_in_reverse() {
    // Story (a) of the project: the Redis client was gone before the clean-up of the routes needed it.
    fn service() -> StopReport {
        let app = App::new("shop");
        let redis = told(&app, "redis");
        let client = redis.handle();
        let routes = told(&app, "routes").after(&redis).cleanup(move |_, _| async move {
            say(&format!("clean up the routes in {}", client.get()?));
            Ok::<_, adieu::NotRunning>(())
        });
        told(&app, "api").after(&routes);
        say_when_serving(&app);
        app.run()
    }
    play(scene!(components_start_in_order_and_stop_in_reverse), service, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        let end = service.ends();
        let expected = [
            "start redis",
            "start routes",
            "start api",
            "serving",
            "clean up the routes in redis",
            "stop api",
            "stop routes",
            "stop redis",
        ];
        let mut events = end.events();
        // Said by a thread of its own, somewhere after the last start.
        let serving = position(&events, "serving");
        events.remove(serving);
        events.insert(3, "serving");
        assert_eq!(events, expected);
        let report = end.report();
        assert_eq!((end.code(), report.outcome), (Some(0), Outcome::Clean), "{report}");
        assert_eq!(report.cause, Cause::Signal(adieu::Signal::TERM));
    });
}

#[test]
fn independent_components_stop_together() {
    // dotnet/runtime#68036: sequential stops add up. Each of these two waits for the other.
    fn service() -> StopReport {
        let app = App::new("pair").grace(Duration::from_secs(20));
        let meet = std::sync::Arc::new(tokio::sync::Barrier::new(2));
        for name in ["left", "right"] {
            let meet = meet.clone();
            app.component(name).stop(move |_, _| async move {
                meet.wait().await;
            });
        }
        app.control().close();
        app.run()
    }
    play(scene!(independent_components_stop_together), service, |service| {
        let end = service.ends();
        assert_eq!(end.code(), Some(0), "{}", end.report());
    });
}

#[test]
fn a_failed_start_stops_exactly_what_had_started_in_reverse() {
    // fx#1035, fx#930: a hook skipped, a hook run twice.
    fn service() -> StopReport {
        let app = App::new("shop");
        let redis = told(&app, "redis");
        let routes = told(&app, "routes").after(&redis);
        let broken = app
            .component("broken")
            .after(&routes)
            .start(|_| async { Err::<(), _>(std::io::Error::other("no such table")) })
            .stop(|_, _| async { say("stop broken") });
        told(&app, "api").after(&broken);
        app.run()
    }
    play(scene!(a_failed_start_stops_exactly_what_had_started_in_reverse), service, |service| {
        let end = service.ends();
        assert_eq!(end.events(), ["start redis", "start routes", "stop routes", "stop redis"]);
        let report = end.report();
        assert_eq!((end.code(), report.outcome), (Some(1), Outcome::Failed));
        assert_eq!(report.cause.to_string(), "broken could not start: no such table");
    });
}

#[test]
fn a_signal_during_the_start_cancels_it() {
    fn service() -> StopReport {
        let app = App::new("shop");
        let redis = told(&app, "redis");
        let slow = app
            .component("slow")
            .after(&redis)
            .start(|_| async {
                say("starting");
                std::future::pending::<Result<(), Infallible>>().await
            })
            .stop(|_, _| async { say("stop slow") });
        told(&app, "api").after(&slow);
        app.run()
    }
    play(scene!(a_signal_during_the_start_cancels_it), service, |mut service| {
        service.hears("starting");
        service.signal("INT");
        let end = service.ends();
        assert_eq!(end.events(), ["start redis", "starting", "stop redis"]);
        assert_eq!(end.code(), Some(0), "{}", end.report());
    });
}

#[test]
fn closing_from_everywhere_at_once_closes_once() {
    // Exactly once under concurrent callers; asking again is nothing.
    fn service() -> StopReport {
        let app = App::new("shop");
        let redis = told(&app, "redis");
        let control = app.control();
        app.task("crowd", |context| async move {
            for _ in 0..8 {
                let control = context.clone();
                tokio::spawn(async move {
                    control.close();
                    control.close();
                });
            }
        })
        .after(&redis);
        let report = app.run();
        control.close();
        report
    }
    play(scene!(closing_from_everywhere_at_once_closes_once), service, |service| {
        let end = service.ends();
        assert_eq!(end.events().iter().filter(|event| **event == "stop redis").count(), 1);
        assert_eq!((end.code(), end.report().cause), (Some(0), Cause::Asked));
    });
}

#[test]
fn a_main_task_that_has_finished_ends_the_application() {
    fn service() -> StopReport {
        let app = App::new("batch");
        let redis = told(&app, "redis");
        app.main_task("work", |_| async { say("work") }).after(&redis);
        app.run()
    }
    play(scene!(a_main_task_that_has_finished_ends_the_application), service, |service| {
        let end = service.ends();
        assert_eq!(end.events(), ["start redis", "work", "stop redis"]);
        assert_eq!((end.code(), end.report().cause), (Some(0), Cause::Finished("work".to_owned())));
    });
}

#[test]
fn a_task_that_fails_ends_the_application_with_1() {
    fn service() -> StopReport {
        let app = App::new("batch");
        app.task("work", |_| async { Err(std::io::Error::other("no more paper")) });
        app.run()
    }
    play(scene!(a_task_that_fails_ends_the_application_with_1), service, |service| {
        let end = service.ends();
        assert_eq!(end.code(), Some(1));
        assert_eq!(end.report().cause.to_string(), "work failed: no more paper");
    });
}

#[test]
fn a_task_that_panics_ends_the_application_with_1() {
    fn service() -> StopReport {
        let app = App::new("batch");
        app.task("work", |_| async {
            assert!(std::env::args().count() == 0, "out of ink");
        });
        app.run()
    }
    play(scene!(a_task_that_panics_ends_the_application_with_1), service, |service| {
        let end = service.ends();
        assert_eq!(end.code(), Some(1));
        assert_eq!(end.report().cause.to_string(), "work failed: panicked: out of ink");
    });
}

#[test]
fn a_task_is_asked_before_what_it_needs_and_awaited() {
    // spring-framework#32226: the executor refuses while the web tier still serves.
    fn service() -> StopReport {
        let app = App::new("shop");
        let pool = app.task("pool", |context| async move {
            context.asked_to_end().await;
            say("pool ends");
        });
        app.task("web", |context| async move {
            say("serving");
            context.asked_to_end().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            say("web ends");
        })
        .after(&pool);
        app.run()
    }
    play(scene!(a_task_is_asked_before_what_it_needs_and_awaited), service, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!(end.code(), Some(0));
        let asked = |report: &StopReport, name: &str| {
            let hook = report.hooks.iter().position(|hook| hook.component == name && hook.phase == Phase::Quiesce);
            hook.expect("a hook")
        };
        let report = end.report();
        assert!(asked(&report, "web") < asked(&report, "pool"), "{report}");
        assert!(report.hooks.iter().all(|hook| hook.verdict == Verdict::Done));
    });
}
