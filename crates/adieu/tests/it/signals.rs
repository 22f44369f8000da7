//! First, second, third; inherited dispositions; what is left of it all afterwards.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use adieu::{App, Outcome, StopReport};

use crate::scene::{play, play_under, say, scene};

/// Says when it serves and when the stop has begun, and takes `drain` for that.
fn slow(drain: Duration) -> StopReport {
    let app = App::new("slow").grace(Duration::from_secs(120));
    app.component("slow")
        .drain(move |_, _| async move {
            say("draining");
            tokio::time::sleep(drain).await;
            say("drained");
        })
        .stop(|_, context| async move { say(&format!("stopped, forced: {}", context.is_forced())) });
    app.task("ready", |_| async { say("serving") });
    app.run()
}

fn very_slow() -> StopReport {
    slow(Duration::from_secs(100))
}

#[test]
fn a_duplicate_signal_is_not_a_second_request() {
    fn service() -> StopReport {
        slow(Duration::from_millis(400))
    }
    play(scene!(a_duplicate_signal_is_not_a_second_request), service, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        service.hears("draining");
        service.signal("TERM");
        service.signal("INT");
        let end = service.ends();
        assert_eq!(end.events(), ["serving", "draining", "drained", "stopped, forced: false"]);
        assert_eq!(end.code(), Some(0));
    });
}

#[test]
fn a_second_signal_cuts_the_deadline_to_now() {
    // tokio#7905, deno#22724: a second Ctrl-C is swallowed.
    play(scene!(a_second_signal_cuts_the_deadline_to_now), very_slow, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        service.hears("draining");
        std::thread::sleep(Duration::from_millis(1100));
        service.signal("TERM");
        let end = service.ends();
        assert_eq!(end.events(), ["serving", "draining", "stopped, forced: true"]);
        assert_eq!((end.code(), end.report().outcome), (Some(124), Outcome::Forced));
    });
}

#[test]
fn a_third_signal_ends_a_process_in_which_everything_is_blocked() {
    fn service() -> StopReport {
        let app = App::new("blocked").grace(Duration::from_secs(120)).reserve(Duration::from_secs(60));
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        app.component("blocked").stop(move |_, _| async move {
            for _ in 0..workers * 2 {
                tokio::spawn(async { std::thread::sleep(Duration::from_secs(300)) });
            }
            say("blocked");
            std::thread::sleep(Duration::from_secs(300));
        });
        app.task("ready", |_| async { say("serving") });
        app.run()
    }
    play(scene!(a_third_signal_ends_a_process_in_which_everything_is_blocked), service, |mut service| {
        service.hears("serving");
        service.signal("INT");
        service.hears("blocked");
        std::thread::sleep(Duration::from_millis(1100));
        service.signal("INT");
        std::thread::sleep(Duration::from_millis(300));
        service.signal("INT");
        let end = service.ends();
        assert_eq!(end.code(), Some(130));
    });
}

#[test]
fn a_signal_before_the_run_is_not_lost() {
    // A signal handler installed on first poll is too late (tokio's ctrl_c).
    fn service() -> StopReport {
        let app = App::new("early");
        app.component("never").start(|_| async {
            std::future::pending::<()>().await;
            Ok::<_, adieu::BoxError>(())
        });
        say("registering");
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {}
        app.run()
    }
    let wrap = |path| {
        let mut command = Command::new(path);
        command.stdin(std::process::Stdio::piped());
        command
    };
    play_under(scene!(a_signal_before_the_run_is_not_lost), service, wrap, |mut service| {
        service.hears("registering");
        service.signal("TERM");
        service.close_stdin();
        assert_eq!(service.ends().code(), Some(0));
    });
}

#[test]
fn an_inherited_ignored_signal_still_stops() {
    // Story (d): a non-interactive shell starts background jobs with SIGINT ignored, and `execve` keeps that.
    let wrap = |path: std::path::PathBuf| {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' INT HUP; exec \"$@\"", "sh"]).arg(path);
        command
    };
    fn service() -> StopReport {
        slow(Duration::ZERO)
    }
    play_under(scene!(an_inherited_ignored_signal_still_stops), service, wrap, |mut service| {
        service.hears("serving");
        // As under nohup: left ignored.
        service.signal("HUP");
        service.signal("INT");
        let end = service.ends();
        let report = end.report();
        assert_eq!((end.code(), report.cause.to_string().as_str()), (Some(0), "SIGINT"));
        if cfg!(target_os = "linux") {
            assert_eq!(
                report.notes,
                ["inherited as ignored, handled all the same: SIGINT", "inherited as ignored, and left so: SIGHUP"]
            );
        }
    });
}

#[test]
fn after_the_end_a_signal_has_its_default_action() {
    // Hooks removed after an explicit close; deno#22724: the default disposition never comes back.
    fn service() -> StopReport {
        let app = App::new("brief");
        app.control().close();
        let report = app.run();
        assert_eq!(report.outcome, Outcome::Clean);
        say("closed");
        loop {
            std::thread::park();
        }
    }
    play(scene!(after_the_end_a_signal_has_its_default_action), service, |mut service| {
        service.hears("closed");
        service.signal("TERM");
        assert_eq!(service.ends().status.signal(), Some(15));
    });
}
