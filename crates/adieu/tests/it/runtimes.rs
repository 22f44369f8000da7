//! The runtime that an application runs on, and `main`s of all kinds.

use std::time::Duration;

use adieu::testing::paused;
use adieu::{App, BoxError, Cause, Outcome, StopReport};
use tokio::runtime::Builder;

use crate::scene::{play, say, scene};

/// Asks for its stop as soon as it serves.
fn short() -> App {
    let app = App::new("short");
    app.component("redis").start(|_| async { Ok::<_, BoxError>(42) }).stop(|_, _| async { say("redis stopped") });
    app.task("once", |context| async move {
        context.serving().await;
        context.close();
    });
    app
}

#[test]
fn it_runs_on_one_thread_and_is_ended_when_that_is_blocked() {
    fn service() -> StopReport {
        let app = App::new("one thread").grace(Duration::from_millis(1500));
        let app = app.runtime(Builder::new_current_thread());
        app.component("blocks").start(|_| async { Ok::<_, BoxError>(std::thread::current().name() == Some("serves")) });
        app.task("ready", |context| async move {
            context.serving().await;
            say(&format!("serving on {:?}", std::thread::current().name()));
            context.stopping().await;
            loop {
                std::thread::park();
            }
        });
        let name = std::thread::Builder::new().name("serves".to_owned());
        name.spawn(move || app.run()).expect("a thread").join().expect("it returns")
    }
    let report = short().runtime(Builder::new_current_thread()).run();
    assert_eq!((report.outcome, report.phases.len()), (Outcome::Clean, 5), "{report}");
    play(scene!(it_runs_on_one_thread_and_is_ended_when_that_is_blocked), service, |mut service| {
        service.hears("serving on Some(\"serves\")");
        service.signal("TERM");
        assert_eq!(service.ends().code(), Some(124));
    });
}

#[test]
fn within_a_runtime_it_is_refused_before_anything_starts_and_beside_one_it_runs() {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(async { short().run() });
    assert!(matches!(&report.cause, Cause::Refused(why) if why.contains("within a runtime")), "{report}");
    assert_eq!((report.code(), report.hooks.len()), (1, 0));
    let beside = runtime.block_on(async { tokio::task::spawn_blocking(|| short().run()).await });
    assert_eq!(beside.expect("no panic").outcome, Outcome::Clean);
}

/// Whether a hook without any time is done in time is for the machine to say; the process is not to be ended over it.
#[test]
fn without_any_grace_main_still_returns() {
    for _ in 0..20 {
        let report = short().grace(Duration::ZERO).run();
        assert_ne!(report.outcome, Outcome::Failed, "{report}");
        assert!(report.notes.is_empty(), "{report}");
    }
}

/// Compiles, which is the point, and is told of as every other that does not end.
#[test]
fn a_task_may_be_one_that_never_returns() {
    let app = App::new("loops").grace(Duration::from_secs(5));
    app.task("forever", |_| async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let report = paused(app, |control| async move {
        control.serving().await;
        control.close();
    });
    assert_eq!(report.outcome, Outcome::Forced, "{report}");
}
