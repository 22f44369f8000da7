//! What begins a stop besides signals, and what other signals do.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adieu::{App, Cause, Outcome, Signal, StopReport};

use crate::scene::{block_all_workers, play, play_under, say, scene};

#[test]
fn the_end_of_the_parent_is_a_reason_to_stop() {
    fn service() -> StopReport {
        let app = App::new("orphan").end_with_parent();
        app.task("ready", |context| async move {
            context.serving().await;
            say(&format!("parent {}", std::os::unix::process::parent_id()));
        });
        let report = app.run();
        // The parent cannot ask for the code any more.
        say(&format!("{}, code {}", report.cause, report.code()));
        report
    }
    let wrap = |program| {
        let mut command = Command::new("sh");
        command.args(["-c", r#""$@" & wait"#, "sh"]).arg(program);
        command
    };
    play_under(scene!(the_end_of_the_parent_is_a_reason_to_stop), service, wrap, |mut service| {
        let parent: u32 = service.hears_some(|line| line.strip_prefix("parent ").and_then(|pid| pid.parse().ok()));
        assert_eq!(parent, service.id());
        service.signal("KILL");
        service.hears("the parent process has ended, code 0");
    });
}

#[test]
fn sigusr1_says_what_is_running() {
    // The runtime is blocked: that is when a dump is needed.
    fn service() -> StopReport {
        let app = App::new("busy").grace(Duration::from_millis(1500));
        let redis = app.component("redis").stop(|_, _| async {});
        let control = app.control();
        app.component("api").after(&redis).start(move |_| async move {
            let guard = control.in_flight().guard("import of 42")?;
            let requests = control.in_flight().counter("requests");
            let small = requests.token()?;
            tokio::spawn(async move {
                let _held = (guard, small);
                std::future::pending::<()>().await;
            });
            Ok::<_, adieu::BoxError>(())
        });
        app.component("slow").start(|_| async {
            block_all_workers();
            say("starting");
            std::future::pending::<Result<(), std::io::Error>>().await
        });
        app.run()
    }
    play(scene!(sigusr1_says_what_is_running), service, |mut service| {
        service.hears("starting");
        service.hears("all blocked");
        service.signal("USR1");
        std::thread::sleep(Duration::from_millis(100));
        service.signal("TERM");
        let end = service.ends();
        assert!(end.stderr.contains("busy: starting\n"), "{}", end.stderr);
        assert!(end.stderr.contains("  redis: up\n"), "{}", end.stderr);
        assert!(end.stderr.contains("  slow: starting for "), "{}", end.stderr);
    });
}

#[test]
fn a_signal_can_switch_something_on_and_off_and_a_panic_in_that_stops_nothing() {
    // SIGUSR2 toggles a CPU profile. A panic in the signal path neither starts a stop nor loses one.
    fn service() -> StopReport {
        static ON: AtomicBool = AtomicBool::new(false);
        let app = App::new("profiled").stop_signals([Signal::TERM]);
        let toggle = |_| async {
            let on = !ON.fetch_xor(true, Ordering::SeqCst);
            say(if on { "profile on" } else { "profile off" });
            assert!(on, "it cannot be switched off");
        };
        app.on_signal(Signal::USR2, toggle).expect("subscribed");
        app.on_signal(Signal::HUP, |_| async { say("configuration read again") }).expect("subscribed");
        app.task("ready", |_| async { say("serving") });
        app.run()
    }
    play(scene!(a_signal_can_switch_something_on_and_off_and_a_panic_in_that_stops_nothing), service, |mut service| {
        service.hears("serving");
        for (signal, said) in [("USR2", "profile on"), ("USR2", "profile off"), ("HUP", "configuration read again")] {
            service.signal(signal);
            service.hears(said);
        }
        service.signal("TERM");
        let end = service.ends();
        assert_eq!((end.code(), end.report().cause), (Some(0), Cause::Signal(Signal::TERM)));
        assert_eq!(end.events(), ["serving", "profile on", "profile off", "configuration read again"]);
    });
}

#[test]
fn a_subscriber_of_tracing_that_panics_or_blocks_holds_nothing_up() {
    struct Bad;
    impl tracing::Subscriber for Bad {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            if *event.metadata().level() == tracing::Level::DEBUG {
                std::panic::panic_any("the log is on a full disk");
            }
            // All others never return.
            loop {
                std::thread::park();
            }
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
    fn service() -> StopReport {
        tracing::subscriber::set_global_default(Bad).expect("the first");
        let app = App::new("logged");
        let redis = app.component("redis").stop(|_, _| async { say("stop redis") });
        app.task("ready", |_| async { say("serving") }).after(&redis);
        app.run()
    }
    let name = scene!(a_subscriber_of_tracing_that_panics_or_blocks_holds_nothing_up);
    play(name, service, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!((end.code(), end.report().outcome), (Some(0), Outcome::Clean));
        assert_eq!(end.events(), ["serving", "stop redis"]);
    });
}

#[test]
fn the_parent_can_be_told_which_signal_it_was() {
    // A shell ends a loop on Ctrl-C only if the program itself has ended by SIGINT.
    fn service() -> StopReport {
        let app = App::new("interrupted");
        app.task("ready", |_| async { say("serving") });
        let report = app.run();
        report.raise_signal_again();
        report
    }
    play(scene!(the_parent_can_be_told_which_signal_it_was), service, |mut service| {
        service.hears("serving");
        service.signal("INT");
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(service.ends().status.signal(), Some(2));
    });
}
