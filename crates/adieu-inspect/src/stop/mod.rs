//! Stops somebody else's processes step by step, and says what held them up. The order of the steps is
//! [`adieu_core::ladder`]; this drives one for each process, all with the same deadline.

mod before;
mod dump;
mod job;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::ladder::{End, Force};
use adieu_core::signal::Signal;
use adieu_linux::clock;
use adieu_linux::poll::{Readiness, poll};
use serde::Serialize;

pub use self::before::{Before, ParseBeforeError};
use self::job::Job;
use crate::facts::Facts;
use crate::judge::Finding;
use crate::target::Target;

/// How to stop.
#[derive(Debug, Clone)]
pub struct Options {
    /// The signal; `None`: the one that is graceful there.
    pub signal: Option<Signal>,
    /// From now until what is still there is looked into.
    pub grace: Duration,
    /// Goes before the signal.
    pub before: Option<Before>,
    /// Whether it may be killed.
    pub force: Force,
    /// Whether its descendants are meant, too.
    pub tree: bool,
    /// Where to keep what a process writes down about itself before it is killed.
    pub dump: Option<PathBuf>,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Seconds since the stop began.
    pub at: f64,
    /// The process.
    pub pid: Pid,
    /// The kind of thing that happened.
    pub what: EntryKind,
    /// In words.
    pub text: String,
}

/// The kinds of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// The pre-stop began.
    PreStop,
    /// The pre-stop has ended.
    PreStopDone,
    /// The signal was sent to the process.
    Asked,
    /// A stopped process was continued.
    Continued,
    /// The signal was sent to the rest of its tree.
    AskedRest,
    /// Something that the diagnosis has found.
    Finding,
    /// What it wrote down was kept.
    Dumped,
    /// It was killed.
    Killed,
    /// It has ended.
    Ended,
    /// A descendant goes on.
    LeftBehind,
    /// Its address is still taken.
    AddressTaken,
    /// It has not ended.
    StillThere,
    /// It may not be signalled.
    NotPermitted,
}

/// How one process stands while it is waited for.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The process.
    pub pid: Pid,
    /// Its name.
    pub name: String,
    /// What is left of the grace.
    pub left: Option<Duration>,
    /// Connections that clients have opened, and those among them that are owed an answer.
    pub connections: (usize, usize),
    /// Threads, and those among them that sleep uninterruptibly.
    pub threads: (usize, usize),
    /// Children.
    pub children: usize,
}

/// What became of one process.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Its pid.
    pub pid: Pid,
    /// What it was.
    pub title: String,
    /// The signal that it was sent.
    pub signal: Signal,
    /// How it ended.
    pub end: End,
    /// Whether this user may not signal it.
    pub not_permitted: bool,
    /// Seconds that it took.
    pub seconds: f64,
    /// Why it did not end in time; before the stop, why it would not. The cause first.
    pub findings: Vec<Finding>,
    /// Addresses that it listened on and that are still taken by what it has left behind.
    pub addresses_taken: Vec<String>,
}

/// Who watches a stop.
pub trait Watcher {
    /// Something happened.
    fn entry(&mut self, entry: &Entry);
    /// This is waited for; called a few times a second if [`Self::wants_standings`].
    fn waiting(&mut self, standings: &[Standing]);
    /// Whether [`Self::waiting`] is of any use.
    fn wants_standings(&self) -> bool;
    /// May this process be killed? Only asked with [`Force::IfToldSo`].
    fn may_kill(&mut self, facts: &Facts, findings: &[Finding]) -> bool;
}

/// How often a tree is looked through for newcomers, and the display is drawn.
const TICK: Duration = Duration::from_millis(250);

/// Stops these processes; returns when each has ended or is given up.
///
/// # Errors
/// Those of `ppoll(2)`: more descriptors than are allowed, no memory.
pub fn stop(targets: Vec<Target>, options: &Options, watcher: &mut dyn Watcher) -> io::Result<Vec<Outcome>> {
    let began = clock::now();
    let mut jobs: Vec<Job> = targets.into_iter().map(|target| Job::new(target, options, began)).collect();
    for job in &mut jobs {
        job.begin(watcher);
    }
    let mut drawn = Timestamp::ZERO;
    loop {
        let now = clock::now();
        for job in &mut jobs {
            job.advance(now, watcher);
        }
        if jobs.iter().all(Job::is_over) {
            break;
        }
        if watcher.wants_standings() && now - drawn >= TICK {
            drawn = now;
            let standings: Vec<Standing> = jobs.iter().filter(|job| !job.is_over()).map(Job::standing).collect();
            watcher.waiting(&standings);
        }
        wait(&jobs, now, watcher.wants_standings())?;
    }
    Ok(jobs.into_iter().map(|job| job.outcome(watcher)).collect())
}

/// Until something ends, a step is due, or it is time to look again.
fn wait(jobs: &[Job], now: Timestamp, display: bool) -> io::Result<()> {
    let over = jobs.iter().filter(|job| !job.is_over());
    let fds: Vec<_> = over.clone().flat_map(Job::waits_for).map(|fd| (fd, Readiness::READ)).collect();
    let due = over.clone().filter_map(Job::poll_timeout).min().map(|at| at - now);
    let look = (display || over.clone().any(Job::has_tree)).then_some(TICK);
    let timeout = due.into_iter().chain(look).min();
    // A deadline within the same microsecond must not become a busy loop.
    poll(&fds, timeout.map(|timeout| timeout.max(Duration::from_millis(1))))?;
    Ok(())
}
