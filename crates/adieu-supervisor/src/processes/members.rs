//! Which processes belong to a generation.

use std::collections::HashSet;
use std::ffi::OsString;

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::outcome::Outcome;
use adieu_core::switch::Generation;
use adieu_linux::process;

use super::Processes;
use super::tree::Root;
use crate::process_table::ProcessTable;

impl ProcessTable for Processes {
    fn generations(&self) -> Vec<Generation> {
        self.trees.keys().copied().collect()
    }

    fn members(&self, generation: Generation) -> Vec<Pid> {
        let Some(tree) = self.trees.get(&generation) else { return Vec::new() };
        match tree.root {
            Root::Keeper(keeper) => process::descendants(keeper),
            Root::Direct if self.childless => Vec::new(),
            Root::Direct => {
                let others: HashSet<Pid> = self
                    .foreign_roots(generation)
                    .flat_map(|root| {
                        let mut all = process::descendants(root);
                        all.push(root);
                        all
                    })
                    .collect();
                process::descendants(process::own_pid()).into_iter().filter(|pid| !others.contains(pid)).collect()
            }
        }
    }

    fn living_main(&self, generation: Generation) -> Option<Pid> {
        self.trees.get(&generation)?.living_main()
    }

    fn outcome(&self, generation: Generation) -> Option<Outcome> {
        self.trees.get(&generation)?.outcome
    }

    fn command(&self, generation: Generation) -> Option<&[OsString]> {
        self.trees.get(&generation).map(|tree| tree.spec.command.as_slice())
    }

    fn started(&self, generation: Generation) -> Option<Timestamp> {
        self.trees.get(&generation).map(|tree| tree.started)
    }

    fn may_duplicate(&self) -> Option<bool> {
        self.may_duplicate
    }

    fn keeper(&self, generation: Generation) -> Option<Pid> {
        match self.trees.get(&generation)?.root {
            Root::Keeper(pid) => Some(pid),
            Root::Direct => None,
        }
    }
}

impl Processes {
    /// Children of ours that are not of this generation: keepers, main processes without one, hooks and probes.
    fn foreign_roots(&self, generation: Generation) -> impl Iterator<Item = Pid> {
        let others = self.trees.iter().filter(move |(other, _)| **other != generation);
        let roots = others.filter_map(|(_, tree)| match tree.root {
            Root::Keeper(pid) => Some(pid),
            Root::Direct => tree.main,
        });
        roots.chain(self.commands.iter().copied())
    }

    /// Whether nothing is left of a generation that has no keeper.
    pub(crate) fn is_tree_gone(&self, generation: Generation) -> bool {
        let Some(tree) = self.trees.get(&generation) else { return false };
        let exists = |pid: Pid| process::stat(pid).is_ok();
        let over = tree.outcome.is_some() || tree.main.is_none();
        let lost = || tree.root == Root::Direct && tree.channel.is_none() && !tree.main.is_some_and(exists);
        (over || lost()) && self.members(generation).is_empty()
    }

    /// The generations without a keeper: we are their reaper.
    pub(crate) fn direct(&self) -> Vec<Generation> {
        self.trees.iter().filter(|(_, tree)| tree.root == Root::Direct).map(|(generation, _)| *generation).collect()
    }

    /// Processes of `generation` that live, for people: `4711 (nginx)`.
    pub(crate) fn names_of(&self, generation: Generation) -> Vec<String> {
        let living = self.members(generation).into_iter().filter_map(|pid| process::stat(pid).ok());
        living.filter(|stat| stat.state != 'Z').map(|stat| format!("{} ({})", stat.pid, stat.comm)).collect()
    }
}
