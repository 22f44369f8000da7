//! What is known of the connections of all generations, and questions that several files here ask.

use std::collections::BTreeSet;

use adieu_core::outcome::Outcome;
use adieu_core::owed::{Config, Ledger, Sample};
use adieu_core::switch::Generation;
use adieu_linux::clock;
use adieu_linux::diag::{self, state};

use super::handoff::{Handed, Handoff, Lingering};
use super::looks::Looks;
use super::lot::Lot;
use super::watches::{OwedWatch, QueueWatch};
use crate::process_table::ProcessTable;
use crate::sockets::Sockets;
use crate::view::View;

/// The states of connections that a program has accepted and not closed.
pub(super) const OPEN: [u8; 2] = [state::ESTABLISHED, state::CLOSE_WAIT];

/// The connections of all generations.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(super) queue_watches: Vec<QueueWatch>,
    pub(super) owed_watches: Vec<OwedWatch>,
    /// Connections of old generations that are taken over, requests under way from them, and what is left to close.
    pub(super) lots: Vec<Lot>,
    pub(super) handoffs: Vec<Handoff>,
    /// The hand-offs that have ended since the last look.
    pub(super) handed: Vec<Handed>,
    pub(super) lingering: Vec<Lingering>,
    /// What the connections of living generations looked like, for the case that one dies.
    pub(super) looks: Looks,
    /// Generations that end their connections themselves, as they say.
    pub(super) self_draining: BTreeSet<Generation>,
}

impl Connections {
    /// `generation` has said whether it ends its connections itself.
    pub(crate) fn drains_itself(&mut self, generation: Generation, does: bool) {
        if does {
            self.self_draining.insert(generation);
        } else {
            self.self_draining.remove(&generation);
        }
    }

    /// `generation` is gone; its main process had this outcome.
    pub(crate) fn retire(&mut self, generation: Generation, outcome: Outcome) {
        for lot in self.lots.iter_mut().filter(|lot| lot.generation == generation) {
            lot.program_ended(outcome);
        }
        self.self_draining.remove(&generation);
    }
}

/// An empty ledger that judges as this run was told.
pub(super) fn new_ledger(view: &View<'_>) -> Ledger {
    Ledger::new(Config { drain_quiet: view.options.drain_quiet, ..Config::default() })
}

/// Shows the ledger the connections that processes of `generation` hold now, and no others.
pub(super) fn sample_own(table: &dyn ProcessTable, sockets: &Sockets, generation: Generation, ledger: &mut Ledger) {
    let places = sockets.places(generation);
    if places.is_empty() {
        return;
    }
    let mut found = diag::tcp_sockets(&places, &OPEN).unwrap_or_default();
    let Some(own) = table.own_inodes(generation) else { return };
    found.retain(|socket| own.contains(&socket.inode));
    let own: Vec<Sample> = found.iter().map(diag::Socket::sample).collect();
    ledger.restrict(own.iter().map(|sample| sample.cookie));
    ledger.handle_samples(clock::now(), &own);
}
