//! Where a generation is expected to listen, where it does, and what is missing.

use std::os::fd::AsFd;

use adieu_core::address::{Endpoint, missing};
use adieu_core::group::Owner;
use adieu_core::switch::Generation;

use super::Sockets;
use super::groups::Groups;
use super::paths::Name;
use crate::process_table::ProcessTable;
use crate::view::View;

impl Sockets {
    /// Whether `generation` listens where the one before it does; the first one of all, somewhere. `said_ready`: it has sent
    /// READY=1, which counts for the first one only: it may come from a supervisor in between, which does not see the rest.
    pub(crate) fn listens_as_expected(
        &self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        generation: Generation,
        said_ready: bool,
    ) -> bool {
        let wanted = self.wanted(view, generation);
        let present = self.present(table, generation);
        let paths = self.wanted_paths(view, generation);
        if !wanted.is_empty() || !paths.is_empty() || view.switch.serving() != Some(generation) {
            return missing(&wanted, &present).is_empty() && self.missing_paths(view, generation).is_empty();
        }
        let unknown = || self.is_unseen(generation) && self.unseen_listeners(table, generation).is_none();
        said_ready || !present.is_empty() || !self.paths.names(generation).is_empty() || unknown()
    }

    /// What is missing where a generation has to listen as the one before it; for people.
    pub(crate) fn why_not_as_expected(
        &self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        generation: Generation,
    ) -> Option<String> {
        let present = self.present(table, generation);
        let missing = missing(&self.wanted(view, generation), &present);
        let list = |of: &[Endpoint]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if !missing.is_empty() {
            let there = if present.is_empty() { "nowhere".to_owned() } else { format!("on {}", list(&present)) };
            return Some(format!("it listens {there}, the one before it on {}", list(&missing)));
        }
        let path = self.missing_paths(view, generation).into_iter().next()?;
        Some(format!("it does not listen on {path}, as the one before it does"))
    }

    /// Whether it listens somewhere, if that is to be expected and can be seen: then a probe may ask it.
    pub(crate) fn may_be_asked(&self, view: &View<'_>, table: &dyn ProcessTable, generation: Generation) -> bool {
        let seen = self.watched.get(&generation).is_some_and(|watched| !watched.unseen);
        !seen || self.wanted(view, generation).is_empty() || !self.present(table, generation).is_empty()
    }

    /// Where the generation before listens, or listened.
    fn wanted(&self, view: &View<'_>, generation: Generation) -> Vec<Endpoint> {
        let serving = view.serving_before(generation);
        let mut wanted = serving.map(|old| self.groups.endpoints(old)).unwrap_or_default();
        wanted.extend(self.groups.endpoints(Owner::Held));
        if serving.is_none() {
            wanted.extend(&self.unseen_before.endpoints);
        }
        wanted
    }

    /// As [`Self::wanted`], of Unix sockets.
    pub(super) fn wanted_paths(&self, view: &View<'_>, generation: Generation) -> Vec<Name> {
        let serving = view.serving_before(generation);
        let mut wanted = serving.map(|old| self.paths.lasting_names(old)).unwrap_or_default();
        wanted.extend(self.paths.lasting_names(Owner::Held));
        wanted
    }

    /// Where the generation before listens, and this one not yet. Names of its own are only counted, and only where there is
    /// nothing else to go by.
    fn missing_paths(&self, view: &View<'_>, generation: Generation) -> Vec<Name> {
        let (there, mut missing) = (self.paths.names(generation), self.wanted_paths(view, generation));
        let nothing_else = missing.is_empty() && self.wanted(view, generation).is_empty();
        missing.retain(|path| !there.contains(path));
        let serving = view.serving_before(generation).filter(|_| nothing_else);
        let own = serving.map(|old| self.paths.names(old)).unwrap_or_default();
        missing.extend(own.into_iter().skip(there.len()));
        missing
    }

    /// Where it listens, or wants to and is held back.
    fn present(&self, table: &dyn ProcessTable, generation: Generation) -> Vec<Endpoint> {
        let mut present = self.groups.endpoints(generation);
        let watched = self.watched.get(&generation);
        let waiting = watched.map(|watched| watched.waiting_listens.as_slice()).unwrap_or_default();
        let held_back = waiting.iter().filter_map(|waiting| self.groups.get(waiting.socket));
        present.extend(held_back.filter_map(|socket| Groups::endpoint_of(socket.fd.as_fd())));
        present.extend(self.present_unseen(table, generation));
        present
    }
}
