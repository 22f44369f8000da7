//! One process on its way out.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::ladder::{Action, End, Event, Ladder};
use adieu_core::signal::Signal;
use adieu_linux::proc::stat;
use adieu_linux::{clock, process};

use super::before::Running;
use super::{Entry, EntryKind, Options, Outcome, Standing, Watcher, dump};
use crate::case::Case;
use crate::facts::{self, Facts};
use crate::judge::{Cause, Finding, Question, judge};
use crate::target::Target;

/// Between two looks at what the threads do.
const WATCH: Duration = Duration::from_millis(250);

/// Causes that time does not cure.
const HOPELESS: &[Cause] = &[
    Cause::KernelThread,
    Cause::Frozen,
    Cause::Traced,
    Cause::InitWithoutHandler,
    Cause::Ignored,
    Cause::LeftToMaster,
    Cause::Blocked,
];

#[derive(Debug)]
pub(super) struct Job<'a> {
    target: Target,
    /// As it was when it was asked.
    case: Case,
    options: &'a Options,
    signal: Signal,
    ladder: Ladder,
    began: Timestamp,
    asked: Option<Timestamp>,
    ended: Option<Timestamp>,
    /// Everybody below it that was seen, each held.
    tree: Vec<Target>,
    looked: Timestamp,
    before: Option<Running>,
    findings: Vec<Finding>,
    main_gone: bool,
    not_permitted: bool,
}

impl<'a> Job<'a> {
    pub(super) fn new(target: Target, options: &'a Options, began: Timestamp) -> Self {
        // What is reaped while it is looked at has ended: the pidfd says so.
        let case = Case::collect(&target, Duration::ZERO)
            .unwrap_or_else(|_| Case::of(Facts { state: 'X', ..Facts::of(target.pid()) }));
        let signal = options.signal.unwrap_or_else(|| case.graceful());
        let ladder = Ladder::new(options.force, options.dump.is_some());
        Self {
            target,
            case,
            options,
            signal,
            ladder,
            began,
            asked: None,
            ended: None,
            tree: Vec::new(),
            looked: Timestamp::ZERO,
            before: None,
            findings: Vec::new(),
            main_gone: false,
            not_permitted: false,
        }
    }

    fn note(&self, watcher: &mut dyn Watcher, what: EntryKind, text: impl Into<String>) {
        let at = (clock::now() - self.began).as_secs_f64();
        watcher.entry(&Entry { at, pid: self.case.facts.pid, what, text: text.into() });
    }

    pub(super) fn begin(&mut self, watcher: &mut dyn Watcher) {
        self.look_for_descendants();
        let question = Question { signal: self.signal, asked: None };
        self.findings = judge(&self.case, &question).into_iter().filter(Finding::is_alarming).collect();
        let pre_stop = self.options.before.is_some();
        self.ladder.handle(self.began, Event::Request { grace: self.options.grace, pre_stop });
        self.act(self.began, watcher);
        let hopeless = self.findings.iter().any(|finding| HOPELESS.contains(&finding.cause));
        if hopeless && !pre_stop {
            self.ladder.handle(clock::now(), Event::Hopeless);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.ladder.end().is_some() || self.not_permitted
    }

    pub(super) fn has_tree(&self) -> bool {
        self.options.tree
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.ladder.poll_timeout()
    }

    pub(super) fn waits_for(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let main = (!self.main_gone).then(|| self.target.as_fd());
        let rest = self.tree.iter().filter(|_| self.options.tree && self.main_gone);
        let rest = rest.filter(|target| !target.has_ended()).map(Target::as_fd);
        main.into_iter().chain(rest).chain(self.before.as_ref().map(Running::as_fd))
    }

    pub(super) fn advance(&mut self, now: Timestamp, watcher: &mut dyn Watcher) {
        if self.is_over() {
            return;
        }
        self.notice(now, watcher);
        self.ladder.handle_timeout(now);
        self.act(now, watcher);
    }

    /// Tells the machine what has ended.
    fn notice(&mut self, now: Timestamp, watcher: &mut dyn Watcher) {
        if let Some(result) = self.before.as_mut().and_then(Running::result) {
            self.before = None;
            self.note(watcher, EntryKind::PreStopDone, result);
            self.ladder.handle(now, Event::PreStopDone);
        }
        if self.options.tree && now - self.looked >= super::TICK {
            self.look_for_descendants();
        }
        if !self.main_gone && self.target.has_ended() {
            self.look_for_descendants();
            self.main_gone = true;
            self.ended = Some(now);
            self.note(watcher, EntryKind::Ended, format!("{} has ended", self.case.facts.name));
            self.ladder.handle(now, Event::MainGone);
        }
        let rest_gone = !self.options.tree || self.tree.iter().all(Target::has_ended);
        if self.main_gone && rest_gone {
            self.ladder.handle(now, Event::AllGone);
            self.ended = Some(now);
        }
    }

    fn act(&mut self, now: Timestamp, watcher: &mut dyn Watcher) {
        while let Some(action) = self.ladder.poll_action() {
            match action {
                Action::RunPreStop(budget) => self.run_before(budget, watcher),
                Action::AskMain => self.ask(watcher),
                Action::AskRest => self.ask_rest(watcher),
                Action::Judge => self.diagnose(watcher),
                Action::AskPerson => {
                    let yes = watcher.may_kill(&self.case.facts, &self.findings);
                    // It may have ended while a person was thinking.
                    self.notice(clock::now(), watcher);
                    self.ladder.handle(clock::now(), Event::Answered(yes));
                }
                Action::Dump => self.dump(watcher),
                Action::Kill => self.kill(watcher),
            }
        }
        if self.ladder.end() == Some(End::StillThere) && self.ended.is_none() {
            self.ended = Some(now);
            self.note(watcher, EntryKind::StillThere, format!("{} is still there", self.case.facts.name));
        }
    }

    fn run_before(&mut self, budget: Duration, watcher: &mut dyn Watcher) {
        let Some(before) = &self.options.before else { return };
        self.note(watcher, EntryKind::PreStop, format!("pre-stop: {before}"));
        match Running::start(before, self.case.facts.pid, budget) {
            Ok(running) => self.before = Some(running),
            Err(error) => {
                self.note(watcher, EntryKind::PreStopDone, format!("pre-stop failed: {error}"));
                self.ladder.handle(clock::now(), Event::PreStopDone);
            }
        }
    }

    fn ask(&mut self, watcher: &mut dyn Watcher) {
        self.before = None;
        self.look_for_descendants();
        self.asked = Some(clock::now());
        match self.target.send(self.signal) {
            Ok(()) => {
                self.note(watcher, EntryKind::Asked, format!("{} sent to {}", self.signal, self.case.facts.title()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                self.not_permitted = true;
                self.note(watcher, EntryKind::NotPermitted, format!("{} may not be sent to it", self.signal));
            }
            // It has ended in this moment.
            Err(_) => return,
        }
        if self.case.facts.state == 'T' && self.target.send(Signal::CONT).is_ok() {
            self.note(watcher, EntryKind::Continued, "it was stopped: SIGCONT sent");
        }
    }

    fn ask_rest(&mut self, watcher: &mut dyn Watcher) {
        let rest: Vec<i32> = self
            .tree
            .iter()
            .filter(|target| !target.has_ended() && target.send(self.signal).is_ok())
            .map(|target| target.pid().number())
            .collect();
        if !rest.is_empty() {
            self.note(watcher, EntryKind::AskedRest, format!("{} sent to the rest of its tree: {rest:?}", self.signal));
        }
    }

    /// Looks at what is still there: the process, or the first of its tree that has not ended.
    fn diagnose(&mut self, watcher: &mut dyn Watcher) {
        let waited = clock::now() - self.asked.unwrap_or(self.began);
        let question = Question { signal: self.signal, asked: Some(waited) };
        let left =
            if self.main_gone { self.tree.iter().find(|target| !target.has_ended()) } else { Some(&self.target) };
        let looked = left.map(|target| Case::collect(target, WATCH));
        if let Some(Ok(mut case)) = looked {
            // What came in on a port that it listened on when it was asked.
            let ports: Vec<u16> = self.case.facts.listeners.iter().map(|listener| listener.address.port()).collect();
            for connection in &mut case.facts.connections {
                connection.inbound |= ports.contains(&connection.local.port());
            }
            self.findings = judge(&case, &question).into_iter().filter(Finding::is_alarming).collect();
            self.case.facts.threads = case.facts.threads;
        }
        // It may have ended while it was looked at.
        self.notice(clock::now(), watcher);
        if self.ladder.end().is_none() {
            for finding in &self.findings {
                self.note(watcher, EntryKind::Finding, &finding.sentence);
            }
        }
        self.ladder.handle(clock::now(), Event::Judged);
    }

    fn dump(&mut self, watcher: &mut dyn Watcher) {
        let Some(place) = &self.options.dump else { return };
        let text = match dump::keep(&self.target, &self.case, place) {
            Ok(file) => format!("what it was doing is kept in {}", file.display()),
            Err(error) => format!("what it was doing cannot be kept: {error}"),
        };
        self.note(watcher, EntryKind::Dumped, text);
    }

    fn kill(&mut self, watcher: &mut dyn Watcher) {
        let first = !self.main_gone && self.target.send(Signal::KILL).is_ok();
        self.look_for_descendants();
        let mut killed: Vec<i32> = first.then_some(self.case.facts.pid.number()).into_iter().collect();
        if self.options.tree {
            let rest = self.tree.iter().filter(|target| !target.has_ended() && target.send(Signal::KILL).is_ok());
            killed.extend(rest.map(|target| target.pid().number()));
        }
        // Repeated until nothing is left; said once.
        if !killed.is_empty() && self.asked.is_some() {
            self.asked = None;
            self.note(watcher, EntryKind::Killed, format!("SIGKILL sent to {killed:?}"));
        }
    }

    /// Takes hold of those below it that are not held yet.
    fn look_for_descendants(&mut self) {
        self.looked = clock::now();
        let roots: Vec<Pid> = std::iter::once(&self.target)
            .chain(&self.tree)
            .filter(|target| target.is_there())
            .map(Target::pid)
            .collect();
        for root in roots {
            for pid in process::descendants(root) {
                if self.tree.iter().any(|target| target.pid() == pid && target.is_there()) {
                    continue;
                }
                // Held first; then its parent must still be one of ours.
                let Ok(target) = Target::open(pid) else { continue };
                let parent = stat::read(pid).ok().filter(|stat| stat.start_time == target.start_time());
                let ours = |pid: Pid| pid == self.target.pid() || self.tree.iter().any(|held| held.pid() == pid);
                if parent.and_then(|stat| stat.ppid).is_some_and(ours) {
                    self.tree.push(target);
                }
            }
        }
    }

    pub(super) fn standing(&self) -> Standing {
        let now = facts::collect(&self.target, Duration::ZERO);
        let facts = now.as_ref().unwrap_or(&self.case.facts);
        let inbound = facts.connections.iter().filter(|connection| connection.inbound);
        Standing {
            pid: self.case.facts.pid,
            name: self.case.facts.name.clone(),
            left: self.ladder.deadline().map(|deadline| deadline - clock::now()),
            connections: (inbound.clone().count(), inbound.filter(|connection| connection.owed).count()),
            threads: (facts.threads.len(), facts.threads.iter().filter(|thread| thread.state == 'D').count()),
            children: facts.children.iter().filter(|child| child.state != 'Z').count(),
        }
    }

    pub(super) fn outcome(self, watcher: &mut dyn Watcher) -> Outcome {
        let end = self.ladder.end().unwrap_or(End::StillThere);
        let mut addresses_taken = Vec::new();
        if end != End::StillThere {
            for target in self.tree.iter().filter(|target| !target.has_ended()) {
                let name = stat::read(target.pid()).map_or_else(|_| "?".to_owned(), |stat| stat.comm);
                self.note(watcher, EntryKind::LeftBehind, format!("{name} (pid {}) goes on", target.pid()));
                let held = adieu_linux::descriptors::sockets(target.pid()).unwrap_or_default();
                for (listener, inode) in self.case.facts.listeners.iter().zip(&self.case.facts.listener_inodes) {
                    if held.iter().any(|(_, other)| other == inode) {
                        let (address, pid) = (listener.address, target.pid());
                        self.note(
                            watcher,
                            EntryKind::AddressTaken,
                            format!("{address} is still taken by {name} (pid {pid})"),
                        );
                        addresses_taken.push(address.to_string());
                    }
                }
            }
        }
        Outcome {
            pid: self.case.facts.pid,
            title: self.case.facts.title(),
            signal: self.signal,
            end,
            not_permitted: self.not_permitted,
            seconds: (self.ended.unwrap_or_else(clock::now) - self.began).as_secs_f64(),
            // What would have been in the way, and was not.
            findings: if end == End::Gone { Vec::new() } else { self.findings },
            addresses_taken,
        }
    }
}
