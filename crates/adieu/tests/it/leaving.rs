//! How the process leaves what nobody has registered: a moment for a few tasks, none for many.

use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use adieu::{App, Phase, StopReport};

use crate::scene::{End, play_under, say, scene};

/// In the environment: how many unregistered tasks there are.
const TASKS: &str = "ADIEU_TEST_TASKS";

/// Below and above the number from which on the process does not wait (1,000).
const FEW: &str = "900";
const MANY: &str = "1100";

/// Unregistered tasks that never end, and blocking work that ends only with the process; registered work that takes a while.
fn service() -> StopReport {
    static OVER: Mutex<Option<Instant>> = Mutex::new(None);
    let tasks: usize = std::env::var(TASKS).expect("a number").parse().expect("a number");
    let app = App::new("crowd");
    let control = app.control();
    app.component("redis")
        .start(move |_| async move {
            for _ in 0..tasks {
                drop(tokio::spawn(std::future::pending::<()>()));
            }
            drop(tokio::task::spawn_blocking(|| {
                loop {
                    std::thread::park();
                }
            }));
            let (guard, drains) = (control.in_flight().guard("import of 42")?, control.clone());
            drop(tokio::spawn(async move {
                drains.entered(Phase::Drain).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
                say("import done");
                drop(guard);
            }));
            say("serving");
            Ok::<_, adieu::Stopping>(())
        })
        .stop(|_, _| async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            say("redis stopped");
            *OVER.lock().expect("no panic") = Some(Instant::now());
        });
    let report = app.run();
    let over = OVER.lock().expect("no panic").expect("it has been stopped");
    say(&format!("left after {} ms", over.elapsed().as_millis()));
    report
}

fn leaves(tasks: &'static str) -> (End, u64) {
    let name = scene!(a_few_unregistered_tasks_get_a_moment_and_many_get_none);
    let wrap = |program| {
        let mut command = Command::new(program);
        command.env(TASKS, tasks);
        command
    };
    let mut left = None;
    play_under(name, service, wrap, |mut service| {
        service.hears("serving");
        service.signal("TERM");
        left = Some(service.ends());
    });
    let end = left.expect("it was played");
    let after = end.said.iter().find_map(|line| line.strip_prefix("left after ")?.strip_suffix(" ms")?.parse().ok());
    (end, after.expect("it said so"))
}

#[test]
fn a_few_unregistered_tasks_get_a_moment_and_many_get_none() {
    let whole = |end: &End| {
        // Whatever becomes of the others: nothing registered is cut off.
        assert_eq!(end.code(), Some(0), "{}", end.stderr);
        let events = end.events();
        assert!(events.contains(&"import done") && events.contains(&"redis stopped"), "{events:?}");
    };
    let (end, after) = leaves(FEW);
    whole(&end);
    assert!(after >= 100, "it did not wait: {after} ms");
    // A busy machine may keep one of them as long, but not all.
    let mut all = Vec::new();
    for _ in 0..5 {
        let (end, after) = leaves(MANY);
        whole(&end);
        all.push(after);
        if after < 100 {
            return;
        }
    }
    panic!("it waited, each time: {all:?} ms");
}
