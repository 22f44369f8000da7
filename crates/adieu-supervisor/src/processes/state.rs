//! What is known of the processes of this run, and the answers to simple questions about them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_core::switch::Generation;
use adieu_core::wire;

use super::launch::{self, Change, Spec};
use super::terminal::Terminal;
use super::tree::{Root, Tree};
use crate::view::View;

/// The processes of all generations, and the commands that run beside them.
#[derive(Debug)]
pub(crate) struct Processes {
    pub(super) trees: BTreeMap<Generation, Tree>,
    /// Hooks and probes, which belong to no generation, by pid.
    pub(super) commands: BTreeSet<Pid>,
    pub(super) terminal: Option<Terminal>,
    /// The name of the instance, for the programs.
    name: String,
    pub(super) directory: Option<PathBuf>,
    pub(super) ignored_hangup: bool,
    /// The command in force.
    spec: Spec,
    /// Whether `pidfd_getfd` works here; decided before the first keeper.
    pub(super) may_duplicate: Option<bool>,
    /// Why the last generation could not be started.
    pub(super) start_failure: Option<String>,
    /// We had no children at all when we last reaped, and have started none since.
    pub(super) childless: bool,
    pub(super) next_look: Timestamp,
}

impl Processes {
    pub(crate) fn new(name: &str, command: &[OsString], ignored_hangup: bool, now: Timestamp) -> Self {
        Self {
            trees: BTreeMap::new(),
            commands: BTreeSet::new(),
            terminal: Terminal::take(),
            name: name.to_owned(),
            directory: launch::working_directory(),
            ignored_hangup,
            spec: Spec { command: command.to_vec(), environment: BTreeMap::new() },
            may_duplicate: None,
            start_failure: None,
            childless: false,
            next_look: now,
        }
    }

    /// The terminal that this run has, for the end of it.
    pub(crate) fn take_terminal(&mut self) -> Option<Terminal> {
        self.terminal.take()
    }

    pub(crate) fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_ref()
    }

    /// The pid of the main process of `generation`, also after its end; `None` while it is not known.
    pub(crate) fn main(&self, generation: Generation) -> Option<Pid> {
        self.trees.get(&generation)?.main
    }

    /// The command in force.
    pub(crate) fn command_in_force(&self) -> &[OsString] {
        &self.spec.command
    }

    /// What a new generation runs: the command that is in force now, changed as the reload says.
    pub(super) fn spec_for(&self, change: Option<&Change>) -> Spec {
        change.map_or_else(|| self.spec.clone(), |change| self.spec.changed(change))
    }

    /// The command of `generation` is the one in force from now on.
    pub(super) fn put_in_force(&mut self, generation: Generation) {
        if let Some(tree) = self.trees.get(&generation) {
            self.spec = tree.spec.clone();
        }
    }

    /// Whether `generation` has a keeper that lives.
    pub(crate) fn has_keeper(&self, generation: Generation) -> bool {
        self.trees.get(&generation).is_some_and(|tree| tree.root != Root::Direct)
    }

    /// Sends `signal` to the main process of `generation`; `None` when that generation is not known.
    pub(crate) fn signal_main(&mut self, generation: Generation, signal: Signal) -> Option<std::io::Result<()>> {
        self.trees.get_mut(&generation).map(|tree| tree.signal_main(signal))
    }

    /// What every process that we start for a generation is told.
    pub(crate) fn facts(&self, view: &View<'_>, generation: Generation) -> Vec<(OsString, OsString)> {
        let grace = view.options.grace.as_millis();
        let parks = if self.may_duplicate == Some(true) { "yes" } else { "no" };
        [
            ("ADIEU_NAME", self.name.clone()),
            ("ADIEU_GENERATION", generation.to_string()),
            ("ADIEU_GRACE", format!("{grace}ms")),
            (wire::PARKS, parks.to_owned()),
        ]
        .map(|(key, value)| (OsString::from(key), OsString::from(value)))
        .to_vec()
    }
}
