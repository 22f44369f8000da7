//! The end of processes: of our children, of a main process, of a whole tree.

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::outcome::{Cause, Outcome};
use adieu_core::signal::Signal;
use adieu_core::switch::{Generation, RequestId};
use adieu_linux::wait::{Change, Reaped};
use adieu_linux::{process, wait};

use super::Processes;
use super::kill::{kill_all, signal_each};
use super::tree::Root;
use crate::process_table::ProcessTable;
use crate::view::Out;

/// What a child of ours was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The main process of this generation.
    Main(Generation),
    /// A hook or a probe.
    Command,
    /// Anything else: a keeper, an orphan.
    Other,
}

/// What is known of a generation whose tree is gone.
#[derive(Debug)]
pub(crate) struct TreeEnd {
    pub(crate) main: Option<Pid>,
    pub(crate) started: Timestamp,
    pub(crate) cause: Cause,
}

/// Whether this is the end of a process, and not of a pause.
fn is_end(change: Change) -> bool {
    !matches!(change, Change::Stopped(_) | Change::Continued)
}

impl Processes {
    /// Takes what there is to be taken of our children.
    pub(crate) fn reap(&mut self) -> Vec<(Pid, Change)> {
        let mut changes = Vec::new();
        let left = loop {
            match wait::reap(self.terminal.is_some()) {
                Ok(Reaped::Child(pid, change)) => changes.push((pid, change)),
                Ok(Reaped::NoChildren) => break false,
                Ok(Reaped::Nothing) | Err(_) => break true,
            }
        };
        // Known before anybody asks who is left: then nobody needs to look through /proc.
        self.childless = !left;
        // The pids of all of them are free for others now, whichever is looked at first.
        for (pid, _) in changes.iter().filter(|(_, change)| is_end(*change)) {
            for tree in self.trees.values_mut().filter(|tree| tree.main == Some(*pid)) {
                tree.reaped();
            }
        }
        changes
    }

    /// What the child `pid` is, whose `change` was taken; one that has ended is a command no longer.
    pub(crate) fn role_of(&mut self, pid: Pid, change: Change) -> Role {
        let main = self.trees.iter().find(|(_, tree)| tree.living_main() == Some(pid));
        if let Some((generation, _)) = main {
            return Role::Main(*generation);
        }
        if is_end(change) && self.commands.remove(&pid) { Role::Command } else { Role::Other }
    }

    /// How a main process has ended; `None` when it was stopped or continued, which is the terminal's affair.
    pub(crate) fn outcome_of(&self, generation: Generation, change: Change) -> Option<Outcome> {
        match change {
            Change::Exited(code) => Some(Outcome::Exited(code)),
            Change::Signaled(signal) => Some(Outcome::Signaled(signal)),
            Change::Continued => None,
            Change::Stopped(by) => {
                if let (Some(terminal), Some(main)) = (&self.terminal, self.main(generation))
                    // It may have been continued since.
                    && process::stat(main).is_ok_and(|stat| stat.state == 'T')
                {
                    terminal.program_stopped(main, by);
                }
                None
            }
        }
    }

    /// The main process of `generation` has ended. What it said last is still in the pipes.
    pub(crate) fn main_ended(&mut self, generation: Generation, outcome: Outcome) {
        if let Some(tree) = self.trees.get_mut(&generation) {
            tree.relay_all();
            tree.outcome = Some(outcome);
        }
    }

    /// Whether `generation` can be started once more in place of one that has ended by itself.
    pub(crate) fn may_start_again(&self, generation: Generation, outcome: Outcome) -> bool {
        matches!(outcome, Outcome::Exited(code) if code != 0)
            && self.trees.get(&generation).is_some_and(|tree| tree.not_executed.is_none())
    }

    /// `generation` shall be started once more when all of it is gone: what is left of it gets `signal`.
    pub(crate) fn start_again_after(&mut self, generation: Generation, signal: Signal) {
        signal_each(&self.members(generation), signal);
        if let Some(tree) = self.trees.get_mut(&generation) {
            tree.starts_again = true;
        }
    }

    /// Whether `generation`, whose tree is gone, is to be started once more; with how it had ended.
    pub(crate) fn starts_again(&self, generation: Generation) -> Option<(Option<RequestId>, Outcome)> {
        let tree = self.trees.get(&generation).filter(|tree| tree.starts_again)?;
        Some((tree.request, tree.outcome.unwrap_or(Outcome::Exited(1))))
    }

    /// Sends `signal` to everything of `generation`.
    pub(crate) fn signal_all(&self, generation: Generation, signal: Signal) {
        signal_each(&self.members(generation), signal);
    }

    /// Kills everything of `generation`; the first time it is said whom.
    pub(crate) fn kill(&mut self, generation: Generation, out: &mut Out) {
        let members = self.members(generation);
        if let Some(tree) = self.trees.get_mut(&generation)
            && !members.is_empty()
            && !std::mem::replace(&mut tree.said_killed, true)
        {
            let found = members.iter().filter_map(|pid| process::stat(*pid).ok());
            let names: Vec<String> = found.map(|stat| format!("{} ({})", stat.pid, stat.comm)).collect();
            out.note(format!("generation {generation}: the grace period is spent, killing {}", names.join(", ")));
        }
        kill_all(self.main(generation), || self.members(generation));
        if let Some(keeper) = self.keeper(generation) {
            // One that somebody has stopped could not say that it is over.
            signal_each(&[keeper], Signal::CONT);
        }
    }

    /// The keeper of `generation` was killed: its processes are our own children now. Returns the main process where that
    /// was not known yet: the keeper may not have had the time to say it.
    pub(crate) fn lose_keeper(&mut self, generation: Generation, out: &mut Out) -> Option<Pid> {
        let tree = self.trees.get_mut(&generation).filter(|tree| tree.root != Root::Direct)?;
        tree.root = Root::Direct;
        let unknown = tree.main.is_none();
        out.note(format!("the keeper of generation {generation} was killed; its processes are looked after directly"));
        // The first one, whose parent we are now.
        let own = process::own_pid();
        let ours = |pid: &Pid| process::stat(*pid).ok().filter(|stat| stat.ppid == Some(own));
        let first = self.members(generation).iter().filter_map(ours).min_by_key(|stat| stat.start_time);
        first.filter(|_| unknown).map(|stat| stat.pid)
    }

    /// Forgets `generation`, whose tree is gone.
    pub(crate) fn forget(&mut self, generation: Generation) {
        self.trees.remove(&generation);
    }

    /// As [`Self::forget`], with what its end was like; a kill for want of memory is told from other kills.
    pub(crate) fn retire(&mut self, generation: Generation, outcome: Outcome, cause: Cause) -> Option<TreeEnd> {
        let tree = self.trees.remove(&generation)?;
        let oom = outcome == Outcome::Signaled(Signal::KILL) && tree.was_oom_killed();
        Some(TreeEnd { main: tree.main, started: tree.started, cause: if oom { Cause::Oom } else { cause } })
    }

    /// The last lines of what `generation` has written.
    pub(crate) fn last_lines(&self, generation: Generation) -> Option<Vec<String>> {
        self.trees.get(&generation).map(|tree| tree.tail.lines())
    }

    /// Why `generation` could not be executed.
    pub(crate) fn not_executed(&self, generation: Generation) -> Option<&str> {
        self.trees.get(&generation)?.not_executed.as_deref()
    }

    /// Why the last generation could not be started at all.
    pub(crate) fn start_failure(&self) -> Option<&str> {
        self.start_failure.as_deref()
    }

    /// `generation` serves: it gets the terminal, and its command is the one in force.
    pub(crate) fn serving(&mut self, generation: Generation) {
        if let (Some(terminal), Some(main)) = (&self.terminal, self.main(generation)) {
            terminal.give_to(main);
        }
        if self.has_keeper(generation)
            && let Some(tree) = self.trees.get_mut(&generation)
        {
            tree.look_at_memory();
        }
        // Until a generation serves, the command of the one before it is the one in force.
        self.put_in_force(generation);
    }
}
