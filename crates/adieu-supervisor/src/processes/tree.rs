//! The processes of one generation: its main process, its keeper and their channel, its output, and how it has ended.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::outcome::Outcome;
use adieu_core::signal::Signal;
use adieu_core::switch::RequestId;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::{errno, process, wait};

use super::launch::Spec;
use super::output::{Relay, Tail};

/// Who is the parent of the main process and of the generation's orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// A keeper with this pid.
    Keeper(Pid),
    /// The supervisor itself.
    Direct,
}

/// How signals reach the main process.
#[derive(Debug)]
pub(super) enum Reach {
    /// Its pid is not known yet: these signals wait for it.
    NotYet(Vec<Signal>),
    /// By its descriptor.
    Pidfd(Pidfd),
    /// It is a child of ours and not reaped: until then nobody else has its pid, and no descriptor is needed.
    Child,
    /// It was a child of ours.
    Reaped,
}

/// The processes of one generation.
#[derive(Debug)]
pub(super) struct Tree {
    /// The reload that asked for it.
    pub(super) request: Option<RequestId>,
    pub(super) spec: Spec,
    pub(super) root: Root,
    /// What the keeper and a program that starts say.
    pub(super) channel: Option<OwnedFd>,
    /// The pid of the main process, once it is known.
    pub(super) main: Option<Pid>,
    pub(super) reach: Reach,
    /// It is a child of ours and nobody takes the news of its stops: asking the kernel for them is quicker than `/proc`.
    pub(super) keeps_stops: bool,
    pub(super) outcome: Option<Outcome>,
    /// It has ended before it was ready, and is started once more when all of it is gone.
    pub(super) starts_again: bool,
    pub(super) started: Timestamp,
    pub(super) relays: Vec<Relay>,
    pub(super) tail: Tail,
    /// The memory cgroup's count of kills when it was last looked at.
    pub(super) oom: Option<(PathBuf, u64)>,
    /// Why it could not be executed.
    pub(super) not_executed: Option<String>,
    /// It has been said that it is killed.
    pub(super) said_killed: bool,
}

impl Tree {
    pub(super) fn living_main(&self) -> Option<Pid> {
        self.main.filter(|_| self.outcome.is_none())
    }

    /// The main process has this pid.
    pub(super) fn main_started(&mut self, main: Pid) {
        self.main = Some(main);
        if let Ok(pidfd) = Pidfd::open(main)
            && let Reach::NotYet(early) = std::mem::replace(&mut self.reach, Reach::Pidfd(pidfd))
        {
            for signal in early {
                drop(self.signal_main(signal));
            }
        }
        self.look_at_memory();
    }

    /// The main process was reaped by us.
    pub(super) fn reaped(&mut self) {
        if matches!(self.reach, Reach::Child) {
            self.reach = Reach::Reaped;
        }
    }

    /// Sends `signal` to the main process; a stopped one is continued, or it would never see it.
    pub(super) fn signal_main(&mut self, signal: Signal) -> std::io::Result<()> {
        if let Reach::NotYet(early) = &mut self.reach {
            if self.outcome.is_none() {
                early.push(signal);
            }
            return Ok(());
        }
        self.send(signal)?;
        if ![Signal::STOP, Signal::TSTP, Signal::KILL].contains(&signal) && self.is_stopped() {
            self.send(Signal::CONT)?;
        }
        Ok(())
    }

    fn send(&self, signal: Signal) -> std::io::Result<()> {
        let gone = || std::io::Error::from_raw_os_error(errno::ESRCH);
        match &self.reach {
            Reach::Pidfd(main) => main.send(signal),
            Reach::Child => process::signal_child(self.main.ok_or_else(gone)?, signal),
            Reach::Reaped | Reach::NotYet(_) => Err(gone()),
        }
    }

    fn is_stopped(&self) -> bool {
        let Some(main) = self.main else { return false };
        if self.keeps_stops { wait::is_stopped(main) } else { process::stat(main).is_ok_and(|stat| stat.state == 'T') }
    }

    /// Passes on what waits in its outputs.
    pub(super) fn relay_all(&mut self) {
        for relay in &mut self.relays {
            relay.advance(&mut self.tail);
        }
    }

    /// Whether the kernel has killed for memory in its cgroup since the last look.
    pub(super) fn was_oom_killed(&self) -> bool {
        self.oom.as_ref().is_some_and(|(place, before)| process::oom_kills_in(place).is_some_and(|now| now > *before))
    }

    /// Notes the memory cgroup: the program may have been moved since. A process that has ended and was not reaped is in
    /// the root cgroup, whose count says nothing of it.
    pub(super) fn look_at_memory(&mut self) {
        let Some(main) = self.living_main() else { return };
        let found = process::oom_kills(main);
        let there = process::stat(main).is_ok_and(|stat| !stat.exiting && stat.state != 'Z');
        if there && self.oom.as_ref().map(|(place, _)| place) != found.as_ref().map(|(place, _)| place) {
            self.oom = found;
        }
    }
}
