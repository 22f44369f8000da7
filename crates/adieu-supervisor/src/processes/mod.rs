//! Processes: the programs of all generations and the commands beside them, from their start to the last of a tree.
//!
//! Invariant: a generation's processes are the descendants of its keeper, or, where it has none, our own descendants that
//! are nobody else's. So whatever a program leaves behind is found, and a hook is never taken for a part of a program.
//!
//! The supervisor asks: `start` a generation, `hear` its keeper, `reap` our children, `kill` what is left. Everybody else
//! asks through [`ProcessTable`](crate::process_table::ProcessTable).

mod background;
mod ending;
mod keeper;
mod kill;
mod launch;
mod members;
mod output;
mod shell;
mod spawn;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod tree;

use std::cmp::Reverse;
use std::os::fd::AsFd;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::switch::Generation;

pub(crate) use self::ending::{Role, TreeEnd};
pub(crate) use self::keeper::Message;
pub(crate) use self::kill::kill_tree;
pub(crate) use self::launch::Change;
pub use self::launch::LaunchError;
pub(crate) use self::output::tells_of_another;
pub(crate) use self::shell::Shell;
pub(crate) use self::spawn::{Start, StartError};
pub(crate) use self::state::Processes;
pub(crate) use self::terminal::Terminal;
use crate::interests::{Interests, Source};
use crate::options::Sockets;
use crate::view::View;

/// How often the memory cgroup is looked at, which a program may have been moved to.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Processes {
    pub(crate) fn interests<'a>(&'a self, interests: &mut Interests<'a>) {
        for (generation, tree) in &self.trees {
            if let Some(channel) = &tree.channel {
                interests.read(Source::Keeper(Reverse(*generation)), channel.as_fd());
            }
            for (at, relay) in tree.relays.iter().enumerate() {
                if let Some((fd, readiness)) = relay.interest() {
                    interests.add(Source::Output(*generation, at), fd, readiness);
                }
            }
        }
    }

    /// When [`Self::advance`] has something to do.
    pub(crate) fn next(&self, view: &View<'_>) -> Option<Timestamp> {
        self.needs_looks(view).then_some(self.next_look)
    }

    /// Looks at the memory cgroups of the programs, if it is time to.
    pub(crate) fn advance(&mut self, view: &View<'_>) {
        if view.now >= self.next_look && self.needs_looks(view) {
            self.next_look = view.now + LOOK_EVERY;
            self.look_at_memory();
        }
    }

    fn needs_looks(&self, view: &View<'_>) -> bool {
        // A plain init has nothing to look after but the cause of an end, for a hook that wants to know it.
        (view.options.sockets != Sockets::Off || view.options.post_stop.is_some())
            && self.trees.values().any(|tree| tree.living_main().is_some())
    }

    /// Notes the memory cgroup of each program.
    pub(crate) fn look_at_memory(&mut self) {
        for tree in self.trees.values_mut() {
            tree.look_at_memory();
        }
    }

    /// Passes on what a program has written.
    pub(crate) fn relay(&mut self, generation: Generation, at: usize) {
        let Some(tree) = self.trees.get_mut(&generation) else { return };
        if let Some(relay) = tree.relays.get_mut(at) {
            relay.advance(&mut tree.tail);
        }
        if tree.relays.iter().all(|relay| !relay.is_open()) {
            tree.relays.clear();
        }
    }
}
