//! Out of descriptors: nothing new is known of a connection, and nothing is concluded from that.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use adieu_core::park::Parked;

use super::*;
use crate::testing::start_alone;

const INSIDE: &str = "ADIEU_TEST_WITH_FEW_DESCRIPTORS";

/// All descriptors that there are.
fn exhaust() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn with_few_descriptors() {
    let scene = Scene::new(World::draining());
    let (_client, program) = scene.connect();
    let (_other, other) = scene.connect();
    let (mut lot, mut unseen) = (scene.lot(), scene.lot());
    let before = lot.look();
    assert_eq!(before.len(), 2);
    assert_eq!(lot.park(cookie(&other)), Parked::Done);

    let all = exhaust();
    let seen = lot.look();
    assert_eq!((seen.len(), lot.descriptors.len(), lot.held.len()), (2, 2, 1));
    assert_eq!(lot.park(cookie(&program)), Parked::NotNow);
    assert!(unseen.look().is_empty());
    assert!(!unseen.is_settled(cookie(&program)), "what was never seen may be owed something");
    drop(all);

    assert_eq!(lot.look().len(), 2);
    assert_eq!(lot.park(cookie(&program)), Parked::Done);
}

/// How many there may be is a matter of a whole process, so this test runs itself in one of its own.
#[test]
fn without_any_left_what_was_seen_before_counts() {
    if std::env::var_os(INSIDE).is_some() {
        return with_few_descriptors();
    }
    let own = std::env::current_exe().expect("this test");
    let name = "connections::tests::descriptors::without_any_left_what_was_seen_before_counts";
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact \"$1\" --nocapture"])
        .args([own.as_os_str(), name.as_ref()])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = start_alone(|| shell.spawn()).and_then(Child::wait_with_output).expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}
