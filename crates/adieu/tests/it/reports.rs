//! The report: for people, for machines, and what it says of the surroundings.

use std::process::Command;
use std::time::Duration;

use adieu::testing::{Fault, paused};
use adieu::{App, Phase, StopReport, Verdict};

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
        let place = control.in_flight().place("requests");
        let held = (control.in_flight().guard("import of 42").expect("serving"), place.enter().expect("serving"));
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
