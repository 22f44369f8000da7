//! Pids that change hands: in a pid namespace of its own, where the next pid can be chosen, a process is replaced by another one
//! with the same pid while it is looked for, held, asked and killed. The other one must never be hit.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use adieu_core::ids::Pid;
use adieu_core::ladder::Force;
use adieu_core::signal::Signal;
use adieu_inspect::facts::Facts;
use adieu_inspect::judge::Finding;
use adieu_inspect::select::{Selection, select};
use adieu_inspect::stop::{Entry, Options, Standing, Watcher, stop};
use adieu_inspect::target::Target;

const INSIDE: &str = "ADIEU_TEST_INSIDE_NAMESPACE";

fn rounds() -> usize {
    if std::env::var_os("ADIEU_PROVE").is_some() { 10_000 } else { 300 }
}

#[test]
fn a_successor_with_the_same_pid_is_never_hit() {
    if std::env::var_os(INSIDE).is_some() {
        inside();
        return;
    }
    let this = std::env::current_exe().expect("known");
    let mut namespace = Command::new("unshare");
    if adieu_linux::process::own_user() != 0 {
        namespace.args(["--user", "--map-root-user"]);
    }
    namespace.args(["--pid", "--fork", "--mount-proc", "--kill-child", "--"]).arg(this);
    namespace.args(["--exact", "a_successor_with_the_same_pid_is_never_hit", "--nocapture"]).env(INSIDE, "1");
    let output = namespace.output().expect("unshare can be started");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("pids were reused"), "{}\n{text}", output.status);
    println!("{text}");
}

/// A process that is meant: its arguments have the mark.
fn meant(mark: &str) -> Child {
    sleeper(&["1000", mark])
}

fn sleeper(arguments: &[&str]) -> Child {
    Command::new("sleep").args(arguments).stdin(Stdio::null()).spawn().expect("sleep can be started")
}

/// Ends a process and starts another one, unmeant, with the same pid.
fn replace(mut old: Child) -> Child {
    let pid = old.id();
    old.kill().expect("our own child");
    old.wait().expect("it has ended");
    std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).expect("the namespace is ours");
    let new = sleeper(&["1000"]);
    assert_eq!(new.id(), pid, "the pid was not reused");
    new
}

/// Ends the unmeant one; panics when somebody else has.
fn was_spared(mut child: Child, round: usize) {
    child.kill().expect("our own child");
    let status = child.wait().expect("it has ended");
    assert_eq!(status.signal(), Some(9), "round {round}: the successor was hit: {status}");
}

fn inside() {
    // The signal that ends is not the one that `was_spared` uses: so who ended it can be told.
    let options = Options {
        signal: Some(Signal::TERM),
        grace: Duration::from_secs(30),
        before: None,
        force: Force::Never,
        tree: true,
        dump: None,
    };
    held(&options);
    raced(&options);
    println!("{} pids were reused", 2 * rounds());
}

/// Held first, replaced then.
fn held(options: &Options) {
    for round in 0..rounds() {
        let old = meant("0.5");
        let target = Target::open(Pid::new(old.id() as i32)).expect("it is there");
        let new = replace(old);
        assert!(target.has_ended() && target.send(Signal::TERM).is_err(), "round {round}");
        let outcomes = stop(vec![target], options, &mut Nobody).expect("it can be waited for");
        assert_eq!(outcomes.len(), 1);
        was_spared(new, round);
    }
    // Without a pidfd it would have been hit.
    let old = meant("0.5");
    let pid = pid_of(&old);
    let mut new = replace(old);
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill can be started").success());
    assert_eq!(new.wait().expect("it has ended").signal(), Some(15), "the control");
}

fn pid_of(child: &Child) -> String {
    child.id().to_string()
}

/// Replaced at any moment while it is searched for and stopped.
fn raced(options: &Options) {
    let (give, take) = channel::<(Child, u32)>();
    let (give_back, take_back) = channel();
    // A thread made in each round would take a pid.
    let racer = std::thread::spawn(move || {
        for (old, delay) in take {
            for _ in 0..delay {
                std::hint::spin_loop();
            }
            give_back.send(replace(old)).expect("somebody waits for it");
        }
    });
    let mut found = 0;
    for round in 0..rounds() {
        let mark = format!("0.{round}7");
        let old = meant(&mark);
        // Spread over the time that search and stop take.
        give.send((old, (round as u32 * 7919) % 200_000)).expect("the racer lives");
        let wanted = Selection { exe: Some("sleep".into()), text: Some(mark), ..Selection::default() };
        if let Ok(targets) = select(&wanted) {
            found += targets.len();
            stop(targets, options, &mut Nobody).expect("it can be waited for");
        }
        was_spared(take_back.recv().expect("the racer lives"), round);
    }
    drop(give);
    racer.join().expect("no panic");
    assert!(found > 0, "the race was always lost: nothing was ever stopped");
    println!("{found} of {} were found before they were replaced", rounds());
}

struct Nobody;

impl Watcher for Nobody {
    fn entry(&mut self, _entry: &Entry) {}
    fn waiting(&mut self, _standings: &[Standing]) {}
    fn wants_standings(&self) -> bool {
        false
    }
    fn may_kill(&mut self, _facts: &Facts, _findings: &[Finding]) -> bool {
        false
    }
}
