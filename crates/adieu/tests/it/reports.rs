//! The report: for people, for machines, and what it says of the surroundings.

use std::process::Command;
use std::time::Duration;

use adieu::testing::{Fault, paused};
use adieu::{App, Cause, Phase, StopReport, Verdict};

use crate::scene::{play_under, say, scene};

/// A stop in which everything happens that can, by a clock that is exact.
fn eventful() -> StopReport {
    let app = App::new("shop").grace(Duration::from_secs(20)).phase_limit(Phase::Drain, Duration::from_secs(5));
    let redis = app.component("redis").stop(|_, _| Fault::Takes(Duration::from_millis(250)).happen());
    let routes = app.component("routes").after(&redis).cleanup(|_, _| Fault::Errs.happen());
    app.component("api").after(&routes).quiesce(|_, _| Fault::Panics.happen()).drain(|_, _| Fault::Hangs.happen());
    let control = app.control();
    paused(app, move |_| async move {
        control.serving().await;
        let requests = control.in_flight().counter("requests");
        let held = (control.in_flight().guard("import of 42").expect("serving"), requests.token().expect("serving"));
        tokio::time::sleep(Duration::from_secs(10)).await;
        control.close();
        std::future::pending::<()>().await;
        drop(held);
    })
}

#[test]
fn a_report_reads_from_the_cause_to_who_held_it_up() {
    let text = eventful().to_string();
    // Where this file's guards are is not the point, and what is cut is joined for a moment that is a matter of policy.
    let text: Vec<String> =
        text.lines().map(|line| line.split(" at crates").next().unwrap_or_default().to_owned()).collect();
    let expected = "\
shop: forced stop in 4.75s (the program asked for it)
        0 announce        0  nothing to do
        0 quiesce         0  all done
                          0  api: panicked (an injected panic)
        0 drain        4.5s  out of time
                       4.5s  api: cut (cancelled)
                       4.5s  work in flight: cut (cancelled)
     4.5s cleanup         0  all done
                          0  routes: failed (an injected error)
     4.5s close       250ms  all done
                      250ms  redis: done
  in flight: 1 × import of 42
  in flight: 1 × requests";
    assert_eq!(text.join("\n"), expected);
}

#[test]
fn a_report_tells_of_one_component_over_all_its_hooks() {
    let report = eventful();
    let of = |name: &str| {
        let of = report.component(name).unwrap_or_else(|| panic!("{name} is in {report}"));
        (of.verdict, of.asked, of.ended, of.took, of.error)
    };
    let (zero, ms) = (Duration::ZERO, Duration::from_millis);
    // Asked to quiesce, in which it panicked, and then to drain, which was cut: that is worse.
    let panic = Some("an injected panic");
    assert_eq!(of("api"), (Verdict::Cut, Some(zero), Some(ms(4500)), ms(4500), panic));
    assert_eq!(of("routes"), (Verdict::Failed, Some(ms(4500)), Some(ms(4500)), zero, Some("an injected error")));
    assert_eq!(of("redis"), (Verdict::Done, Some(ms(4500)), Some(ms(4750)), ms(250), None));
    assert_eq!(report.component("nobody"), None);
}

#[test]
fn a_report_is_the_same_for_machines() {
    let report = eventful();
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).expect("JSON");
    assert_eq!(json["outcome"], "forced");
    assert_eq!(json["phases"][2]["phase"], "drain");
    assert_eq!(json["phases"][2]["why"], "cut");
    let import = &json["in_flight"][0];
    assert_eq!(
        (&import["name"], &import["count"], &import["exact"]),
        (&"import of 42".into(), &1.into(), &true.into())
    );
    // Ten seconds before the stop and what the drain had.
    assert!(import["age_us"].as_u64().is_some_and(|age| (14_000_000..16_000_000).contains(&age)), "{import}");
    assert!(import["place"].as_str().is_some_and(|place| place.contains("reports.rs:")), "{import}");
    let back: StopReport = serde_json::from_str(&report.to_json()).expect("the same report");
    assert_eq!(back, report);
}

#[test]
fn a_plan_that_does_not_fit_what_adieu_run_grants_is_noted() {
    fn service() -> StopReport {
        let app = App::new("long").grace(Duration::from_secs(30));
        app.component("slow").stop(|_, _| async {});
        app.task("ready", |_| async { say("serving") });
        app.run()
    }
    fn short() -> StopReport {
        // The same grace, but what there is to do is limited: it fits.
        let second = Duration::from_secs(1);
        let app = App::new("short")
            .grace(Duration::from_secs(30))
            .phase_limit(Phase::Quiesce, second)
            .phase_limit(Phase::Drain, second);
        app.component("quick").stop(|_, _| async {}).limit(Phase::Close, second);
        app.task("ready", |_| async { say("serving") });
        app.run()
    }
    let granted = |program| {
        let mut command = Command::new(program);
        command.env("ADIEU_GRACE", "5s");
        command
    };
    let choose = if std::env::var_os("ADIEU_TEST_SHORT").is_some() { short } else { service };
    let name = scene!(a_plan_that_does_not_fit_what_adieu_run_grants_is_noted);
    play_under(name, choose, granted, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        let report = service.ends().report();
        assert_eq!(report.notes, ["the stop may take 30s, but is killed after 5s (ADIEU_GRACE)"]);
    });
    let limited = |program| {
        let mut command = granted(program);
        command.env("ADIEU_TEST_SHORT", "1");
        command
    };
    play_under(name, choose, limited, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        let report = service.ends().report();
        assert_eq!(report.notes, [""; 0], "{report}");
    });
}

#[test]
fn an_error_says_what_could_not_be_had_and_says_it_once() {
    /// As thiserror makes it of `#[error("no schema: {0}")]` and `#[from]`.
    #[derive(Debug)]
    struct NoSchema(std::io::Error);
    impl std::fmt::Display for NoSchema {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "no schema: {}", self.0)
        }
    }
    impl std::error::Error for NoSchema {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let error_of = |app: App| match app.run().cause {
        Cause::StartFailed { error, .. } => error,
        other => panic!("{other}"),
    };
    let app = App::new("errs");
    app.component("database").start(|_| async { Err::<(), _>(NoSchema(std::io::Error::other("it is empty"))) });
    assert_eq!(error_of(app), "no schema: it is empty");

    let app = App::new("errs");
    app.child("converter", Command::new("/no/such/converter"));
    assert_eq!(error_of(app), "/no/such/converter: No such file or directory (os error 2)");
}

#[cfg(feature = "http")]
#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let app = App::new("late");
    app.serve("api", address, axum::Router::new());
    let Cause::StartFailed { component, error } = app.run().cause else { panic!("it starts") };
    let expected = format!("cannot listen: {address}: Address already in use (os error 98)");
    assert_eq!((component.as_str(), error), ("api", expected));
}
