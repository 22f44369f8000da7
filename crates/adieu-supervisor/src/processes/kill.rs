//! Signals to many processes at once.

use std::collections::HashSet;

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::{process, signals, tty};

/// Sends `signal` to each of `pids`, race-free; those that are gone already do not count.
pub(crate) fn signal_each(pids: &[Pid], signal: Signal) {
    for pid in pids {
        let Ok(target) = Pidfd::open(*pid) else { continue };
        drop(target.send(signal));
        if signal != Signal::KILL && process::stat(*pid).is_ok_and(|stat| stat.state == 'T') {
            drop(target.send(Signal::CONT));
        }
    }
}

/// Kills `root` and all processes below it, as they are now. Parents go first: a shell whose child was killed before it
/// would go on with its script, and might end well.
pub(crate) fn kill_tree(root: Pid) {
    let below = process::descendants(root);
    signal_each(&[root], Signal::KILL);
    signal_each(&below, Signal::KILL);
}

/// How many passes one kill takes at most: the machine asks for another one soon.
const KILL_PASSES: usize = 50;

/// Kills whoever `members` names, again and again until it names nobody that lives: processes that fork faster than one
/// pass looks are met by the next. The youngest go first, as they are the ones that fork.
///
/// Where a member is in a process group that was made below `main` or in the tree, the group is killed first: no fork comes
/// between (copy_process in kernel/fork.c starts anew when a signal has come), so a swarm that shares one ends in one step.
/// The supervisor's own group is never one of these.
pub(crate) fn kill_all(main: Option<Pid>, members: impl Fn() -> Vec<Pid>) {
    let mut tree: HashSet<i32> = main.into_iter().map(Pid::number).collect();
    for _ in 0..KILL_PASSES {
        let all = members();
        tree.extend(all.iter().map(|pid| pid.number()));
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
