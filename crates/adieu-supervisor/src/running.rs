//! One generation at work: its processes, channels and descriptors.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use adieu_core::Timestamp;
use adieu_core::group::SocketId;
use adieu_core::outcome::Outcome;
use adieu_core::signal::Signal;
use adieu_core::switch::{Generation, Request};
use adieu_linux::pidfd::Pidfd;
use adieu_linux::seccomp::{Call, Listener};
use adieu_linux::{process, signals, tty, wait};

use crate::launch::Spec;
use crate::relay::{Relay, Tail};

pub(crate) const ESRCH: i32 = 3;

/// Who is the parent of the main process and of the generation's orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// A keeper with this pid.
    Keeper(i32),
    /// The supervisor itself.
    Direct,
}

/// How signals reach the main process.
#[derive(Debug)]
pub(crate) enum Reach {
    /// Its pid is not known yet.
    NotYet,
    /// By its descriptor.
    Pidfd(Pidfd),
    /// It is a child of ours and not reaped: until then nobody else has its pid, and no descriptor is needed.
    Child,
    /// It was a child of ours.
    Reaped,
}

impl Reach {
    /// The main process was reaped by us.
    pub(crate) fn reaped(&mut self) {
        if matches!(self, Self::Child) {
            *self = Self::Reaped;
        }
    }
}

/// A `listen` that waits for its generation to be ready, because it would take the serving one's traffic at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitingListen {
    pub(crate) call: Call,
    pub(crate) socket: SocketId,
    pub(crate) backlog: i32,
}

/// One generation.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) generation: Generation,
    /// The reload that asked for it.
    pub(crate) request: Option<Request>,
    /// It has ended before it was ready, and is started once more when all of it is gone.
    pub(crate) starts_again: bool,
    pub(crate) spec: Spec,
    pub(crate) root: Root,
    pub(crate) channel: Option<OwnedFd>,
    /// Main process; 0 until its pid is known.
    pub(crate) main: i32,
    pub(crate) reach: Reach,
    /// It is a child of ours and nobody takes the news of its stops: asking the kernel for them is quicker than `/proc`.
    pub(crate) keeps_stops: bool,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) started: Timestamp,
    pub(crate) listener: Option<Listener>,
    /// Its socket calls cannot be seen, or not all of them.
    pub(crate) unseen: bool,
    /// Inodes of sockets that were seen and are not to be held: bound to any free port, or shared with another program.
    pub(crate) loose: HashSet<u64>,
    /// When it is looked at again whether it listens unseen.
    pub(crate) next_comparison: Timestamp,
    pub(crate) notify: Option<UnixDatagram>,
    /// It has sent READY=1.
    pub(crate) said_ready: bool,
    /// It has been said that it takes long to be ready.
    pub(crate) said_unready: bool,
    /// It ends its connections itself, as it says.
    pub(crate) drains_itself: bool,
    pub(crate) relays: Vec<Relay>,
    pub(crate) tail: Tail,
    /// Listener options that were set on sockets which cannot be duplicated, by inode: level, name, value.
    pub(crate) options: HashMap<u64, Vec<(i32, i32, Vec<u8>)>>,
    pub(crate) waiting_listens: Vec<WaitingListen>,
    /// The memory cgroup's count of kills when it was last looked at.
    pub(crate) oom: Option<(PathBuf, u64)>,
    /// Signals for the main process that came before its pid was known.
    pub(crate) early: std::cell::RefCell<Vec<Signal>>,
    /// Why it could not be executed.
    pub(crate) not_executed: Option<String>,
}

impl Running {
    pub(crate) fn is_alive(&self) -> bool {
        self.outcome.is_none() && self.main != 0
    }

    /// Whether it lives and is not on its way out, as the kernel has it now: we may not have heard yet.
    pub(crate) fn is_still_there(&self) -> bool {
        self.is_alive() && process::stat(self.main).is_ok_and(|stat| !stat.exiting && stat.state != 'Z')
    }

    /// Sends `signal` to the main process; a stopped one is continued, or it would never see it.
    pub(crate) fn signal_main(&self, signal: Signal) -> std::io::Result<()> {
        let send = |signal| match &self.reach {
            Reach::Pidfd(main) => main.send(signal),
            Reach::Child => process::signal_child(self.main, signal),
            Reach::Reaped | Reach::NotYet => Err(std::io::Error::from_raw_os_error(ESRCH)),
        };
        if matches!(self.reach, Reach::NotYet) {
            if self.outcome.is_none() {
                self.early.borrow_mut().push(signal);
            }
            return Ok(());
        }
        send(signal)?;
        if ![Signal::STOP, Signal::TSTP, Signal::KILL].contains(&signal) && self.is_stopped() {
            send(Signal::CONT)?;
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        if self.keeps_stops {
            wait::is_stopped(self.main)
        } else {
            process::stat(self.main).is_ok_and(|stat| stat.state == 'T')
        }
    }

    /// Sends what came before its pid was known.
    pub(crate) fn send_early(&self) {
        for signal in self.early.take() {
            drop(self.signal_main(signal));
        }
    }

    /// Whether the kernel has killed for memory in its cgroup since the last look.
    pub(crate) fn was_oom_killed(&self) -> bool {
        self.oom.as_ref().is_some_and(|(place, before)| process::oom_kills_in(place).is_some_and(|now| now > *before))
    }

    /// Notes the memory cgroup: the program may have been moved since.
    pub(crate) fn look_at_memory(&mut self) {
        if self.is_alive() {
            let found = process::oom_kills(self.main);
            if self.oom.as_ref().map(|(place, _)| place) != found.as_ref().map(|(place, _)| place) {
                self.oom = found;
            }
        }
    }
}

/// Sends `signal` to each of `pids`, race-free; those that are gone already do not count.
pub(crate) fn signal_each(pids: &[i32], signal: Signal) {
    for pid in pids {
        let Ok(target) = Pidfd::open(*pid) else { continue };
        drop(target.send(signal));
        if signal != Signal::KILL && process::stat(*pid).is_ok_and(|stat| stat.state == 'T') {
            drop(target.send(Signal::CONT));
        }
    }
}

/// How many passes one kill takes at most: the machine asks for another one soon.
const KILL_PASSES: usize = 50;

/// Kills whoever `members` names, again and again until it names nobody that lives: processes that fork faster than one
/// pass looks are met by the next. The youngest go first, as they are the ones that fork.
///
/// Where a member is in a process group that was made below `main` or in the tree, the group is killed first: no fork comes
/// between (copy_process in kernel/fork.c starts anew when a signal has come), so a swarm that shares one ends in one step.
/// The supervisor's own group is never one of these.
pub(crate) fn kill_all(main: i32, members: impl Fn() -> Vec<i32>) {
    let mut tree = HashSet::from([main]);
    for _ in 0..KILL_PASSES {
        let all = members();
        tree.extend(&all);
        // 0 is what a group outside of this pid namespace looks like, and what kill(2) takes for our own.
        let mut groups = HashSet::from([0, tty::own_group()]);
        let mut living = false;
        for pid in all.into_iter().rev() {
            let Some(stat) = process::stat(pid).ok().filter(|stat| stat.state != 'Z') else { continue };
            living = true;
            if tree.contains(&stat.pgrp) && groups.insert(stat.pgrp) {
                drop(signals::signal_group(stat.pgrp, Signal::KILL));
            }
            signal_each(&[pid], Signal::KILL);
        }
        if !living {
            return;
        }
    }
}
