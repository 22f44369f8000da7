//! Whatever the service's own code does, the process ends by the deadline, with the right code, and names the culprit.

use std::time::{Duration, Instant};

use adieu::testing::{self, Fault};
use adieu::{App, BoxError, Outcome, Phase, StopReport, Verdict};

use crate::scene::{End, Service, play, play_under, say, scene};

/// For scenes that are only over when their grace is spent.
const GRACE: Duration = Duration::from_millis(1500);

/// Ends it and checks that the deadline held; generous, as the machine may be busy, and far less than for ever.
fn stop_in_time(service: Service) -> End {
    let begun = Instant::now();
    service.signal("TERM");
    let end = service.ends();
    let took = begun.elapsed();
    assert!(took < GRACE + Duration::from_secs(5), "took {took:?}");
    end
}

fn verdict(report: &StopReport, component: &str, phase: Phase) -> Verdict {
    let hook = report.hooks.iter().find(|hook| hook.component == component && hook.phase == phase);
    hook.unwrap_or_else(|| panic!("no {phase} of {component}:\n{report}")).verdict
}

#[test]
fn a_hook_that_never_returns_is_cut_and_named_and_takes_no_turn() {
    // go-zero#1804: main leaves, or waits, and the other hooks never run.
    fn service() -> StopReport {
        let app = App::new("stuck").grace(GRACE);
        let redis = app.component("redis").stop(|_, _| async { say("stop redis") });
        app.component("api").after(&redis).stop(|_, context| async move {
            say(&format!("stop api, in {}", context.phase()));
            std::future::pending::<()>().await;
        });
        app.task("ready", |_| async { say("serving") });
        app.run()
    }
    play(scene!(a_hook_that_never_returns_is_cut_and_named_and_takes_no_turn), service, |mut service| {
        service.hears("serving");
        let end = stop_in_time(service);
        assert_eq!(end.events(), ["serving", "stop api, in close", "stop redis"]);
        let report = end.report();
        assert_eq!((end.code(), report.outcome), (Some(124), Outcome::Forced));
        assert_eq!(verdict(&report, "api", Phase::Close), Verdict::Cut);
        assert_eq!(verdict(&report, "redis", Phase::Close), Verdict::Done);
    });
}

#[test]
fn blocked_workers_do_not_hold_the_deadline() {
    // A deadline on the runtime that it guards never fires when the workers are blocked.
    fn service() -> StopReport {
        let app = App::new("blocked").grace(GRACE);
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        app.component("blocked").start(move |_| async move {
            for _ in 0..workers * 2 {
                tokio::spawn(async {
                    loop {
                        std::thread::park();
                    }
                });
            }
            say("serving");
            Ok::<_, BoxError>(())
        });
        app.run()
    }
    play(scene!(blocked_workers_do_not_hold_the_deadline), service, |mut service| {
        service.hears("serving");
        let end = stop_in_time(service);
        assert_eq!(end.code(), Some(124), "{}", end.stderr);
        let report = end.report();
        assert_eq!(verdict(&report, "blocked", Phase::Close), Verdict::Leaked, "{report}");
    });
}

#[test]
fn blocking_work_that_never_returns_does_not_hold_the_process() {
    // `Runtime::drop` waits for ever for spawn_blocking.
    fn service() -> StopReport {
        let app = App::new("blocking").grace(GRACE);
        app.task("blocking", |_| async {
            tokio::task::spawn_blocking(|| {
                say("serving");
                loop {
                    std::thread::park();
                }
            });
        });
        app.run()
    }
    play(scene!(blocking_work_that_never_returns_does_not_hold_the_process), service, |mut service| {
        service.hears("serving");
        assert_eq!(stop_in_time(service).code(), Some(0));
    });
}

/// Panics, with a message that the compiler cannot foresee.
fn fall(message: &str) {
    assert!(message.is_empty(), "{message}");
}

struct Falls(&'static str);

impl Drop for Falls {
    fn drop(&mut self) {
        fall(self.0);
    }
}

#[test]
fn panics_in_every_hook_and_in_drop_are_ends() {
    fn service() -> StopReport {
        let app = App::new("falling").grace(GRACE);
        let redis = app.component("redis").stop(|_, _| async { say("stop redis") });
        app.component("falls")
            .after(&redis)
            .announce(|_, _| async { fall("in announce") })
            .quiesce(|_, _| {
                fall("before the future");
                async {}
            })
            .drain(|_, _| async { fall("in drain") })
            .cleanup(|_, _| async { fall("in cleanup") })
            .stop(|_, _| async { fall("in close") });
        app.component("drops").after(&redis).start(|_| async { Ok::<_, BoxError>(Falls("in drop")) });
        app.task("ready", |_| async { say("serving") }).after(&redis);
        app.run()
    }
    play(scene!(panics_in_every_hook_and_in_drop_are_ends), service, |mut service| {
        service.hears("serving");
        let end = stop_in_time(service);
        let report = end.report();
        assert_eq!((end.code(), report.outcome), (Some(1), Outcome::Failed), "{report}");
        let error = |component: &str, phase| {
            let hook = report.hooks.iter().find(|hook| hook.component == component && hook.phase == phase);
            hook.and_then(|hook| hook.error.clone()).unwrap_or_default()
        };
        assert_eq!(error("falls", Phase::Announce), "in announce");
        assert_eq!(error("falls", Phase::Quiesce), "before the future");
        assert_eq!(error("falls", Phase::Drain), "in drain");
        assert_eq!(error("falls", Phase::Cleanup), "in cleanup");
        assert_eq!(error("falls", Phase::Close), "in close");
        assert_eq!(error("drops", Phase::Close), "in drop");
        assert_eq!(verdict(&report, "redis", Phase::Close), Verdict::Done);
    });
}

struct Blocks;

impl Drop for Blocks {
    fn drop(&mut self) {
        say("blocked in drop");
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn a_destructor_that_blocks_main_does_not_hold_the_process() {
    fn service() -> StopReport {
        let app = App::new("blocked").grace(GRACE);
        // Never started, so never stopped: it is dropped with the plan.
        let broken = app.component("broken").start(|_| async { Err::<(), _>(std::io::Error::other("broken")) });
        let blocks = Blocks;
        app.component("never").after(&broken).start(move |_| async move {
            drop(blocks);
            Ok::<_, BoxError>(())
        });
        app.run()
    }
    play(scene!(a_destructor_that_blocks_main_does_not_hold_the_process), service, |mut service| {
        service.hears("blocked in drop");
        let end = service.ends();
        assert_eq!(end.code(), Some(1));
        assert!(end.stderr.contains("broken could not start"), "{}", end.stderr);
        assert!(end.stderr.contains("main or a destructor is blocked"), "{}", end.stderr);
    });
}

#[test]
fn work_in_flight_is_awaited() {
    fn service() -> StopReport {
        let app = App::new("busy");
        let control = app.control();
        app.component("work").start(move |_| async move {
            let guard = control.in_flight().guard("import of 42")?;
            tokio::spawn(async move {
                say("serving");
                control.stopping().await;
                tokio::time::sleep(Duration::from_millis(200)).await;
                say("imported");
                drop(guard);
            });
            Ok::<_, BoxError>(())
        });
        app.run()
    }
    play(scene!(work_in_flight_is_awaited), service, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!((end.code(), end.events()), (Some(0), vec!["serving", "imported"]));
    });
}

#[test]
fn work_that_does_not_end_is_named_with_its_place() {
    // Swansong's guards: `2 × src/connection.rs:88 (oldest 42.3 s)`. Nobody else can say who held the stop up.
    fn service() -> StopReport {
        let app = App::new("busy").grace(GRACE);
        let control = app.control();
        app.component("work").start(move |_| async move {
            let named = control.in_flight().guard("import of 42")?;
            let requests = control.in_flight().counter("requests");
            let small = [requests.token()?, requests.token()?];
            tokio::spawn(async move {
                say("serving");
                std::future::pending::<()>().await;
                drop((named, small));
            });
            Ok::<_, BoxError>(())
        });
        app.run()
    }
    play(scene!(work_that_does_not_end_is_named_with_its_place), service, |mut service| {
        service.hears("serving");
        let end = stop_in_time(service);
        let report = end.report();
        assert_eq!(end.code(), Some(124));
        let list: Vec<_> = report.in_flight.iter().map(|of| (of.name.as_str(), of.count, of.exact)).collect();
        assert_eq!(list, [("import of 42", 1, true), ("requests", 2, false)], "{report}");
        assert!(report.in_flight.iter().all(|of| of.place.contains("faults.rs:")), "{report}");
        assert_eq!(verdict(&report, "work in flight", Phase::Drain), Verdict::Cut);
    });
}

#[test]
fn nothing_slips_in_while_stopping() {
    // `TaskTracker::close` does not refuse new tasks.
    fn service() -> StopReport {
        let app = App::new("gate");
        let control = app.control();
        let requests = control.in_flight().counter("late");
        app.component("late").cleanup(move |_, context| async move {
            let refused = (context.in_flight().guard("late").is_err(), requests.token().is_err());
            say(&format!("refused {refused:?}, in flight {}", context.in_flight().count()));
        });
        control.close();
        app.run()
    }
    play(scene!(nothing_slips_in_while_stopping), service, |service| {
        let end = service.ends();
        assert_eq!((end.code(), end.events()), (Some(0), vec!["refused (true, true), in flight 0"]));
    });
}

/// What the matrix breaks: the hooks of an application with a neighbour above and one below.
fn broken(phase: Phase, fault: Fault) -> App {
    let app = App::new("matrix").grace(GRACE);
    let below = app.component("below").stop(|_, _| async { say("below stops") });
    let broken = app
        .component("broken")
        .after(&below)
        .announce(|_, _| async {})
        .quiesce(|_, _| async {})
        .drain(|_, _| async {})
        .cleanup(|_, _| async {})
        .stop(|_, _| async {});
    app.component("above").after(&broken).stop(|_, _| async { say("above stops") });
    app.task("ready", |context| async move {
        context.serving().await;
        say("serving");
    });
    testing::inject(&app, "broken", phase, fault).expect("it is there");
    app
}

const FAULTS: [Fault; 5] = [Fault::Panics, Fault::Errs, Fault::Hangs, Fault::BlocksWorker, Fault::BlocksOutside];

#[test]
fn every_fault_in_every_hook_is_over_in_time_and_named_with_the_right_code() {
    fn service() -> StopReport {
        let chosen = std::env::var("ADIEU_TEST_FAULT").expect("a choice");
        let (phase, fault) = chosen.split_once(' ').expect("two numbers");
        let (phase, fault): (usize, usize) = (phase.parse().expect("a number"), fault.parse().expect("a number"));
        broken(Phase::WORK[phase], FAULTS[fault]).run()
    }
    fn case(phase: usize, fault: usize) {
        let wrap = |program| {
            let mut command = std::process::Command::new(program);
            command.env("ADIEU_TEST_FAULT", format!("{phase} {fault}"));
            // There is one worker for each processor, and one is blocked: on a machine of one there would be none left.
            command.env("TOKIO_WORKER_THREADS", "3");
            command
        };
        let name = scene!(every_fault_in_every_hook_is_over_in_time_and_named_with_the_right_code);
        play_under(name, service, wrap, |mut service| {
            service.hears("serving");
            let end = stop_in_time(service);
            let (phase, fault) = (Phase::WORK[phase], FAULTS[fault]);
            let report = end.report();
            let (code, expected) = match fault {
                Fault::Panics => (1, Verdict::Panicked),
                Fault::Errs => (1, Verdict::Failed),
                Fault::BlocksWorker => (124, Verdict::Leaked),
                Fault::Hangs | Fault::BlocksOutside | Fault::Takes(_) => (124, Verdict::Cut),
            };
            assert_eq!(end.code(), Some(code), "{fault:?} in {phase}:\n{report}");
            assert_eq!(verdict(&report, "broken", phase), expected, "{fault:?} in {phase}:\n{report}");
            let bad = report.hooks.iter().filter(|hook| hook.verdict != Verdict::Done).count();
            assert_eq!(bad, 1, "{fault:?} in {phase} has hurt others:\n{report}");
            assert_eq!(end.events(), ["serving", "above stops", "below stops"], "{fault:?} in {phase}");
        });
    }
    if std::env::var_os("ADIEU_TEST_FAULT").is_some() {
        return case(0, 0);
    }
    std::thread::scope(|scope| {
        for phase in 0..Phase::WORK.len() {
            scope.spawn(move || (0..FAULTS.len()).for_each(|fault| case(phase, fault)));
        }
    });
}
