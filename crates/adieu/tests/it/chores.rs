//! The five farewell chores: sockets, temporary files, subscribers, child processes, resources.

use std::convert::Infallible;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use adieu::testing::paused;
use adieu::{App, BoxError, Cause, Outcome, Phase, Registry, Signal, Stage, StopReport, Verdict};

use crate::scene::{block_all_workers, play, say, scene};

/// A directory of this test's own, which the service's side finds by its environment.
fn directory() -> PathBuf {
    PathBuf::from(std::env::var_os("ADIEU_TEST_DIRECTORY").expect("the test's directory"))
}

fn play_in(name: &str, service: fn() -> StopReport, happens: impl FnOnce(crate::scene::Service, &Path)) {
    let directory = tempfile::tempdir().expect("a directory");
    let wrap = |program: PathBuf| {
        let mut command = Command::new(program);
        command.env("ADIEU_TEST_DIRECTORY", directory.path());
        command
    };
    crate::scene::play_under(name, service, wrap, |service| happens(service, directory.path()));
}

#[test]
fn temporary_files_go_with_the_application_and_somebody_elses_stay() {
    // puma#1988: the stopping program removes the socket that the next generation has just made.
    fn service() -> StopReport {
        let at = |name: &str| directory().join(name);
        std::fs::create_dir_all(at("scratch/deep")).expect("a directory");
        std::fs::write(at("scratch/deep/file"), "x").expect("a file");
        std::fs::write(at("kept"), "x").expect("a file");
        symlink(at("kept"), at("link")).expect("a link");
        std::fs::write(at("taken"), "ours").expect("a file");
        let app = App::new("tidy");
        let scratch = app.temp_path(at("scratch"));
        for name in ["link", "taken", "never"] {
            app.temp_path(at(name));
        }
        app.component("user").after(&scratch).stop(|_, _| async {
            let there = directory().join("scratch/deep/file").exists();
            say(&format!("scratch is there: {there}"));
        });
        app.task("ready", |context| async move {
            context.serving().await;
            // Whoever looks at the paths looks in this moment, and nothing tells when it has.
            tokio::time::sleep(Duration::from_secs(1)).await;
            say("serving");
        });
        app.run()
    }
    let name = scene!(temporary_files_go_with_the_application_and_somebody_elses_stay);
    play_in(name, service, |mut service, directory| {
        service.hears("serving");
        std::fs::write(directory.join("new"), "theirs").expect("a file");
        std::fs::rename(directory.join("new"), directory.join("taken")).expect("it takes the other's place");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!(end.code(), Some(0), "{}", end.report());
        assert_eq!(end.events(), ["serving", "scratch is there: true"]);
        let left = |name: &str| directory.join(name).symlink_metadata().is_ok();
        assert_eq!(["scratch", "link", "kept", "taken"].map(left), [false, false, true, true]);
        assert_eq!(std::fs::read_to_string(directory.join("taken")).expect("the other's file"), "theirs");
    });
}

#[test]
fn temporary_files_go_after_a_failed_start_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pid");
    std::fs::write(&path, "1").expect("a file");
    let app = App::new("tidy");
    let pid = app.temp_path(&path);
    app.component("broken").after(&pid).start(|_| async { Err::<(), _>("no such table") });
    let report = paused(app, |_| async {});
    assert_eq!((report.outcome, path.exists()), (Outcome::Failed, false), "{report}");
}

/// A shell that says its lines through us.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn a_child_is_told_in_its_turn_and_awaited() {
    fn service() -> StopReport {
        let app = App::new("parent");
        let child = app.child(
            "child",
            shell(
                "trap 'sleep 0.2; echo; echo \"> child ends\"; exit 0' TERM; echo; echo '> up'; while :; do sleep 0.05; done",
            ),
        );
        app.component("api").after(&child).stop(|_, _| async { say("api ends") });
        app.run()
    }
    play(scene!(a_child_is_told_in_its_turn_and_awaited), service, |mut service| {
        service.hears("up");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!(end.events(), ["up", "api ends", "child ends"]);
        assert_eq!((end.code(), end.report().outcome), (Some(0), Outcome::Clean));
    });
}

#[test]
fn a_child_is_spoken_to_by_its_pipes_and_ended_by_a_signal_of_its_own() {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    let directory = tempfile::tempdir().expect("a directory");
    let ended_by = directory.path().join("ended-by");
    let mut command = shell(
        "trap 'echo USR1 > \"$ENDED_BY\"; exit 0' USR1; read line; echo \"heard $line\"; echo warned >&2; exec 2>&-; \
         while :; do sleep 0.05; done",
    );
    command.env("ENDED_BY", &ended_by).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let app = App::new("parent");
    let child = app.child("child", command);
    let handle = child.handle();
    app.main_task("talk", move |_| async move {
        let child = handle.get()?;
        child.set_stop_signal(Signal::USR1);
        let pipes = (child.take_stdin(), child.take_stdout(), child.take_stderr());
        let (Some(mut stdin), Some(stdout), Some(mut stderr)) = pipes else { panic!("it has three pipes") };
        assert!(child.take_stdin().is_none() && child.take_stdout().is_none() && child.take_stderr().is_none());
        stdin.write_all(b"hello\n").await?;
        let mut warning = String::new();
        stderr.read_to_string(&mut warning).await?;
        assert_eq!(BufReader::new(stdout).lines().next_line().await?.as_deref(), Some("heard hello"));
        assert_eq!((warning.as_str(), child.id().is_some()), ("warned\n", true));
        Ok::<_, BoxError>(())
    })
    .after(&child);
    let report = app.run();
    assert_eq!((report.outcome, &report.cause), (Outcome::Clean, &Cause::Finished("talk".to_owned())), "{report}");
    assert_eq!(std::fs::read_to_string(ended_by).expect("it has run its trap"), "USR1\n");
}

#[test]
fn a_task_sees_that_it_is_asked_to_end_from_the_quiesce_on() {
    let app = App::new("polls");
    app.task("poll", |context| async move {
        context.entered(Phase::Announce).await;
        let early = context.is_asked_to_end();
        while !context.is_asked_to_end() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!((early, context.stage()), (false, Stage::Stopping(Phase::Quiesce)));
    });
    // Each phase takes a while, so that the task looks within it.
    let takes_a_second = || async { tokio::time::sleep(Duration::from_secs(1)).await };
    app.component("slow").announce(move |_, _| takes_a_second()).quiesce(move |_, _| takes_a_second());
    let report = paused(app, |control| async move {
        control.serving().await;
        control.close();
    });
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
}

#[test]
fn a_child_that_does_not_heed_is_killed_with_its_children_and_named() {
    fn service() -> StopReport {
        let app = App::new("parent").grace(Duration::from_millis(1500));
        app.child("deaf", shell("trap '' TERM; sleep 300 & echo; echo \"> pids $$ $!\"; while :; do sleep 300; done"));
        app.run()
    }
    play(scene!(a_child_that_does_not_heed_is_killed_with_its_children_and_named), service, |mut service| {
        let pids = service.hears_some(|line| line.strip_prefix("pids ").map(str::to_owned));
        service.signal("TERM");
        let end = service.ends();
        let report = end.report();
        assert_eq!((end.code(), report.outcome), (Some(124), Outcome::Forced));
        let hook = report.hooks.iter().find(|hook| hook.component == "deaf").expect("its hook");
        assert_eq!((hook.phase, hook.verdict), (Phase::Close, Verdict::Cut), "{report}");
        for pid in pids.split(' ') {
            crate::scene::wait_until_gone(pid.parse().expect("a pid"));
        }
    });
}

#[test]
fn a_child_is_killed_although_every_worker_is_blocked() {
    fn service() -> StopReport {
        let app = App::new("parent").grace(Duration::from_millis(1500));
        let child = app.child("deaf", shell("echo; echo \"> pids $$\"; exec sleep 300"));
        app.component("blocked").after(&child).start(|_| async {
            block_all_workers();
            Ok::<_, Infallible>(())
        });
        app.run()
    }
    play(scene!(a_child_is_killed_although_every_worker_is_blocked), service, |mut service| {
        let pid = service.hears_some(|line| line.strip_prefix("pids ").map(str::to_owned));
        service.hears("all blocked");
        service.signal("TERM");
        let end = service.ends();
        assert_eq!(end.code(), Some(124));
        assert!(end.report().notes.iter().any(|note| note.contains("the child process of deaf")), "{}", end.report());
        crate::scene::wait_until_gone(pid.parse().expect("a pid"));
    });
}

#[test]
fn a_third_signal_takes_the_children_along() {
    fn service() -> StopReport {
        let app = App::new("parent").grace(Duration::from_secs(120)).reserve(Duration::from_secs(60));
        let child = app.child("deaf", shell("trap '' TERM; echo; echo \"> pids $$\"; while :; do sleep 300; done"));
        // What comes after the child does not end, so the child is not even told.
        app.component("blocked").after(&child).stop(|_, _| adieu::testing::Fault::BlocksWorker.happen());
        app.run()
    }
    play(scene!(a_third_signal_takes_the_children_along), service, |mut service| {
        let pid = service.hears_some(|line| line.strip_prefix("pids ").map(str::to_owned));
        service.signal("TERM");
        std::thread::sleep(Duration::from_secs(2));
        service.signal("TERM");
        std::thread::sleep(Duration::from_secs(1));
        service.signal("TERM");
        assert_eq!(service.ends().code(), Some(128 + 15));
        crate::scene::wait_until_gone(pid.parse().expect("a pid"));
    });
}

#[test]
fn a_child_that_fails_ends_the_application_and_one_that_is_done_does_not() {
    fn service() -> StopReport {
        let app = App::new("parent");
        let done = app.child("done", shell("exit 0"));
        let handle = done.handle();
        app.component("waits").after(&done).start(move |_| async move {
            let status = handle.get()?.ended().await?;
            say(&format!("done: {status}"));
            Ok::<_, adieu::BoxError>(())
        });
        app.child("fails", shell("sleep 0.3; exit 3"));
        app.run()
    }
    play(scene!(a_child_that_fails_ends_the_application_and_one_that_is_done_does_not), service, |service| {
        let end = service.ends();
        assert_eq!(end.events(), ["done: exit status: 0"]);
        let Cause::Fatal { component, error } = end.report().cause else { panic!("{}", end.report()) };
        assert_eq!((component.as_str(), error.as_str()), ("fails", "exit status: 3"));
        assert_eq!(end.code(), Some(1));
    });
}

/// A registry whose subscribers need three looks to see that somebody has left.
#[derive(Default)]
struct Consul {
    is_down: bool,
    looks: AtomicU32,
    log: Arc<std::sync::Mutex<Vec<String>>>,
    for_ever: bool,
}

impl Consul {
    fn note(&self, what: &str) {
        self.log.lock().expect("the log").push(what.to_owned());
    }
}

impl Registry for Consul {
    type Error = &'static str;

    async fn register(&self) -> Result<(), &'static str> {
        self.note("registered");
        if self.is_down { Err("no leader") } else { Ok(()) }
    }

    async fn deregister(&self) -> Result<(), &'static str> {
        self.note("deregistered");
        Ok(())
    }

    async fn is_seen(&self) -> Result<bool, &'static str> {
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        self.note(if self.for_ever || look < 2 { "seen" } else { "unseen" });
        Ok(self.for_ever || look < 2)
    }

    fn linger(&self) -> Duration {
        Duration::from_secs(2)
    }
}

fn registered(consul: Consul) -> App {
    let app = App::new("shop").grace(Duration::from_secs(30)).phase_limit(Phase::Announce, Duration::from_secs(5));
    let log = consul.log.clone();
    let api = app.component("api").start(|_| async { Ok::<_, Infallible>(()) }).quiesce(move |_, _| async move {
        log.lock().expect("the log").push("api quiesces".to_owned());
    });
    app.registry("consul", consul).after(&api);
    app
}

#[test]
fn the_registry_is_left_first_and_nothing_closes_before_that_is_seen() {
    // spring-boot#20995: traffic still comes after SIGTERM.
    let log = Arc::default();
    let app = registered(Consul { log: Arc::clone(&log), ..Consul::default() });
    let report = paused(app, |control| async move {
        control.serving().await;
        control.close();
    });
    let expected = ["registered", "deregistered", "seen", "seen", "unseen", "api quiesces"];
    assert_eq!(*log.lock().expect("the log"), expected);
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    // Two looks a tenth of a second apart and the linger, by a clock that stands still otherwise.
    let announce = report.phases.iter().find(|phase| phase.phase == Phase::Announce).expect("announce");
    assert!(announce.took >= Duration::from_millis(2200) && announce.took < Duration::from_millis(2250), "{report}");
}

#[test]
fn a_registry_that_sees_us_for_ever_costs_its_phase_and_no_more() {
    let log = Arc::default();
    let app = registered(Consul { log: Arc::clone(&log), for_ever: true, ..Consul::default() });
    let report = paused(app, |control| async move {
        control.serving().await;
        control.close();
    });
    assert_eq!(report.outcome, Outcome::Forced);
    let announce = report.phases.iter().find(|phase| phase.phase == Phase::Announce).expect("announce");
    assert!(announce.took <= Duration::from_secs(5), "{report}");
    assert_eq!(log.lock().expect("the log").last().expect("an entry"), "api quiesces");
}

#[test]
fn a_forced_stop_still_leaves_the_registry() {
    let log = Arc::default();
    let app = registered(Consul { log: Arc::clone(&log), ..Consul::default() });
    let report = paused(app, |control| async move {
        control.serving().await;
        control.force();
    });
    assert_eq!(report.outcome, Outcome::Forced);
    assert_eq!(*log.lock().expect("the log"), ["registered", "deregistered"]);
}

#[test]
fn a_registration_that_fails_half_way_is_taken_back() {
    let log = Arc::default();
    let app = registered(Consul { log: Arc::clone(&log), is_down: true, ..Consul::default() });
    let report = paused(app, |_| async {});
    assert_eq!(report.cause, Cause::StartFailed { component: "consul".to_owned(), error: "no leader".to_owned() });
    assert_eq!(*log.lock().expect("the log"), ["registered", "deregistered", "api quiesces"]);
}

#[test]
fn everybody_who_waits_for_the_end_is_told_once_when_all_is_over() {
    // The wrap-up before the shutdown, a wait between, and the event that the context has closed.
    fn service() -> StopReport {
        let app = App::new("events");
        app.on_closed(|report| say(&format!("closed, {:?}", report.outcome)));
        app.on_closed(|_| panic!("a subscriber falls"));
        app.on_closed(|report| say(&format!("closed, {} notes", report.notes.len())));
        app.component("wrap-up")
            .announce(|_, context| async move {
                say("wrap-up");
                tokio::time::sleep(Duration::from_millis(50)).await;
                say(&format!("{:?}", context.stage()));
            })
            .stop(|_, _| async { say("shutdown") });
        let control = app.control();
        let outside = control.clone();
        let told = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                outside.stopping().await;
                outside.entered(Phase::Close).await;
                outside.closed().await;
            });
        });
        control.close();
        let report = app.run();
        told.join().expect("the thread outside has been told");
        say(&format!("{:?}", control.stage()));
        report
    }
    play(scene!(everybody_who_waits_for_the_end_is_told_once_when_all_is_over), service, |service| {
        let end = service.ends();
        let expected = ["wrap-up", "Stopping(Announce)", "shutdown", "closed, Clean", "closed, 1 notes", "Closed"];
        assert_eq!(end.events(), expected);
        assert_eq!(end.code(), Some(1), "a subscriber has panicked");
    });
}
