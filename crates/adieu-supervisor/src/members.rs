//! Which processes belong to a generation.

use std::collections::HashSet;

use adieu_core::switch::Generation;
use adieu_linux::process;

use crate::hooks::HookKind;
use crate::probe::Probe;
use crate::running::Root;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// All processes of a generation, main process included, as far as they can be seen.
    pub(crate) fn members(&self, generation: Generation) -> Vec<i32> {
        let Some(running) = self.running.get(&generation) else { return Vec::new() };
        match running.root {
            Root::Keeper(keeper) => process::descendants(keeper),
            Root::Direct if self.childless => Vec::new(),
            Root::Direct => {
                let others: HashSet<i32> = self
                    .foreign_roots(generation)
                    .into_iter()
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

    /// Children of ours that are not of this generation: keepers and hooks.
    fn foreign_roots(&self, generation: Generation) -> Vec<i32> {
        let keepers = self.running.values().filter(|r| r.generation != generation).map(|r| match r.root {
            Root::Keeper(pid) => pid,
            Root::Direct => r.main,
        });
        let hooks = self.hooks.iter().filter_map(|hook| match hook.kind {
            HookKind::Process(pid) => Some(pid),
            HookKind::Http(_) => None,
        });
        keepers.chain(hooks).chain(self.probe.as_ref().and_then(Probe::command)).filter(|pid| *pid != 0).collect()
    }
}
