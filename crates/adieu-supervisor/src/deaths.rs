//! Hearing of the end of processes: the main one of a generation, children of ours, the last of a tree.

use adieu_core::outcome::Outcome;
use adieu_core::signal::Signal;
use adieu_core::switch::{Event, Generation};
use adieu_linux::wait::{Change, Reaped};
use adieu_linux::{process, wait};

use crate::running::Root;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// The main process has ended, was stopped or continued.
    pub(crate) fn main_changed(&mut self, generation: Generation, change: Change) {
        let outcome = match change {
            Change::Exited(code) => Outcome::Exited(code),
            Change::Signaled(signal) => {
                if self.terminal.is_some()
                    && [Signal::INT, Signal::QUIT].contains(&signal)
                    && !self.switch.is_stopping()
                {
                    // Whoever sits at the terminal wants it to end: it is not started again.
                    self.tell(Event::Stop);
                }
                Outcome::Signaled(signal)
            }
            Change::Stopped(by) => {
                if let (Some(terminal), Some(running)) = (&self.terminal, self.running.get(&generation))
                    // It may have been continued since.
                    && process::stat(running.main).is_ok_and(|stat| stat.state == 'T')
                {
                    terminal.program_stopped(running.main, by);
                }
                return;
            }
            Change::Continued => return,
        };
        // What it said last is still in the pipes, and what it asked for last may wait for an answer.
        if let Some(running) = self.running.get_mut(&generation) {
            for relay in &mut running.relays {
                relay.advance(&mut running.tail);
            }
            running.outcome = Some(outcome);
            running.waiting_listens.clear();
        }
        if self.may_start_again(generation, outcome) {
            return;
        }
        self.mention_background(generation, outcome);
        let losses = self.count_losses(generation);
        self.owed_watches.retain(|watch| watch.generation != generation);
        self.tell(Event::MainExited(generation, outcome));
        self.tell_losses(generation, &losses);
        self.drop_left(generation);
    }

    /// Takes all ended children of ours.
    pub(crate) fn reap(&mut self) {
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
        let ended =
            |(pid, change): &(i32, Change)| (!matches!(change, Change::Stopped(_) | Change::Continued)).then_some(*pid);
        for pid in changes.iter().filter_map(ended) {
            for running in self.running.values_mut().filter(|running| running.main == pid) {
                running.reach.reaped();
            }
        }
        for (pid, change) in changes {
            self.child_changed(pid, change);
        }
        let direct: Vec<Generation> =
            self.running.values().filter(|r| r.root == Root::Direct).map(|r| r.generation).collect();
        for generation in direct {
            self.check_tree(generation);
        }
    }

    fn child_changed(&mut self, pid: i32, change: Change) {
        let ended = !matches!(change, Change::Stopped(_) | Change::Continued);
        let main = self.running.values().find(|r| r.main == pid && r.outcome.is_none());
        if let Some((generation, root)) = main.map(|running| (running.generation, running.root)) {
            if root != Root::Direct {
                // Only a main process whose keeper is gone is a child of ours.
                self.keeper_lost(generation);
            }
            self.main_changed(generation, change);
        } else if ended && self.probe.as_ref().and_then(crate::probe::Probe::command) == Some(pid) {
            self.probe_command_ended(change == Change::Exited(0));
        } else if ended {
            self.hook_ended(pid, change == Change::Exited(0));
        }
    }

    /// Without a keeper: is anything left of this generation?
    pub(crate) fn check_tree(&mut self, generation: Generation) {
        let Some(running) = self.running.get(&generation) else { return };
        let over = running.outcome.is_some() || running.main == 0;
        let lost = || running.root == Root::Direct && running.channel.is_none() && !process_exists(running.main);
        if (over || lost()) && self.members(generation).is_empty() {
            self.tree_gone(generation);
        }
    }
}

fn process_exists(pid: i32) -> bool {
    pid != 0 && process::stat(pid).is_ok()
}
