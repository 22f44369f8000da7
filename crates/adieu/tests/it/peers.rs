//! Mistakes of peers, by the names they have in their trackers.

use std::convert::Infallible;
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::testing::{Fault, paused};
use adieu::{App, Cause, Control, Outcome, Phase, Signal, StopReport, Verdict, signals};

use crate::scene::{play, say, scene};

async fn close_when_serving(control: Control) {
    control.serving().await;
    control.close();
}

type Log = Arc<Mutex<Vec<&'static str>>>;

fn note(log: &Log, what: &'static str) {
    log.lock().expect("the log").push(what);
}

#[test]
fn tokio_7905_a_signal_that_nobody_wants_any_more_has_its_default_action_again() {
    fn service() -> StopReport {
        let mut interrupts = signals::subscribe([Signal::INT], 1).expect("subscribed");
        say("serving");
        let first = interrupts.blocking_recv();
        assert_eq!(first, Some(Signal::INT));
        assert_eq!(interrupts.stop(), []);
        say("stopping, slowly");
        loop {
            std::thread::park();
        }
    }
    let name = scene!(tokio_7905_a_signal_that_nobody_wants_any_more_has_its_default_action_again);
    play(name, service, |mut service| {
        service.hears("serving");
        service.signal("INT");
        service.hears("stopping, slowly");
        service.signal("INT");
        assert_eq!(service.ends().status.signal(), Some(2));
    });
}

#[test]
fn spring_framework_28277_a_dependent_in_another_phase_does_not_end_the_wait() {
    // A latch that is sized for one phase's beans is counted down by dependents of another: the slow one is not awaited.
    let log = Log::default();
    let app = App::new("beans");
    let (slow, quick, below) = (log.clone(), log.clone(), log.clone());
    let pool = app.component("pool").stop(move |_, _| async move { note(&below, "pool closed") });
    let high = app.component("high").after(&pool).quiesce(move |_, _| async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        note(&slow, "high stopped");
    });
    app.component("low").after(&high).stop(move |_, _| async move { note(&quick, "low stopped") });
    let report = paused(app, close_when_serving);
    assert_eq!(*log.lock().expect("the log"), ["high stopped", "low stopped", "pool closed"]);
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
}

#[test]
fn spring_framework_33442_an_error_in_a_stop_is_its_end() {
    let app = App::new("beans");
    let pool = app.component("pool").stop(|_, _| Fault::Errs.happen());
    app.component("api").after(&pool).stop(|_, _| Fault::Panics.happen());
    let report = paused(app, close_when_serving);
    assert!(report.took < Duration::from_millis(500), "nothing was waited for:\n{report}");
    let verdicts: Vec<Verdict> =
        report.hooks.iter().filter(|hook| hook.phase == Phase::Close).map(|hook| hook.verdict).collect();
    assert_eq!(verdicts, [Verdict::Panicked, Verdict::Failed]);
    assert_eq!((report.outcome, report.code()), (Outcome::Failed, 1));
}

#[test]
fn fx_1035_what_had_started_is_stopped_when_a_start_is_out_of_time() {
    let log = Log::default();
    let app = App::new("fx").start_limit(Duration::from_secs(15));
    let (stopped, never) = (log.clone(), log.clone());
    let redis = app
        .component("redis")
        .start(|_| async { Ok::<_, Infallible>(()) })
        .stop(move |_, _| async move { note(&stopped, "redis stopped") });
    app.component("slow")
        .after(&redis)
        .start(|_| Fault::Hangs.happen())
        .stop(move |_, _| async move { note(&never, "slow stopped") });
    let report = paused(app, |_| async {});
    assert_eq!(*log.lock().expect("the log"), ["redis stopped"]);
    assert_eq!(report.cause, Cause::StartFailed { component: "slow".to_owned(), error: "out of time".to_owned() });
    assert_eq!(report.outcome, Outcome::Failed, "{report}");
}

#[test]
fn spring_boot_24617_who_asks_whether_it_is_ready_is_answered_until_the_very_end() {
    let log = Log::default();
    let app = App::new("boot");
    let (last, asked) = (log.clone(), log.clone());
    let admin = app
        .component("admin")
        .start(|_| async { Ok::<_, Infallible>("is up") })
        .stop(move |_, _| async move { note(&last, "admin closed") })
        .last();
    let handle = admin.handle();
    app.component("api")
        .drain({
            let (handle, asked) = (handle.clone(), asked.clone());
            move |_, _| async move {
                note(&asked, *handle.get()?);
                Ok::<_, adieu::NotRunning>(())
            }
        })
        .stop(move |_, _| async move {
            note(&asked, *handle.get()?);
            Ok::<_, adieu::NotRunning>(())
        });
    let report = paused(app, close_when_serving);
    assert_eq!(*log.lock().expect("the log"), ["is up", "is up", "admin closed"]);
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
}

#[test]
fn go_zero_3246_a_database_is_closed_when_the_requests_that_use_it_are_over() {
    // There: one second after SIGTERM, whatever is in flight ("sql: database is closed").
    let log = Log::default();
    let app = App::new("zero");
    let closed = log.clone();
    app.component("database").stop(move |_, _| async move { note(&closed, "database closed") });
    let ended = log.clone();
    let control = app.control();
    let report = paused(app, move |_| async move {
        control.serving().await;
        let request = control.in_flight().guard("a request").expect("serving");
        control.close();
        tokio::time::sleep(Duration::from_secs(20)).await;
        note(&ended, "request answered");
        drop(request);
    });
    assert_eq!(*log.lock().expect("the log"), ["request answered", "database closed"]);
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
}

#[test]
fn what_a_plan_refuses_is_said_before_anything_starts() {
    let app = App::new("refused");
    let redis = app.component("redis").start(|_| async {
        say("started");
        Ok::<_, Infallible>(())
    });
    app.component("api").after(&redis).stop(|_, _| async {}).stop(|_, _| async {});
    let error = app.plan().expect_err("two stops").to_string();
    assert_eq!(error, "\"api\" has two close hooks");
    let report = app.run();
    assert_eq!((report.cause, report.outcome), (Cause::Refused(error), Outcome::Failed));

    let app = App::new("refused");
    app.component("api").stop(|_, _| async {}).start(|_| async { Ok::<_, Infallible>(()) });
    assert_eq!(app.plan().expect_err("too late").to_string(), "\"api\" says how it starts twice, or after its hooks");

    let (app, other) = (App::new("refused"), App::new("other"));
    app.component("api").after(&other.component("redis"));
    assert_eq!(
        app.plan().expect_err("not ours").to_string(),
        "\"api\" comes after \"redis\", which belongs to another app"
    );
}
