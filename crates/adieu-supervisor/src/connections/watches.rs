//! What is waited for of an old generation: its queues, and what its connections are owed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use adieu_core::owed::Ledger;
use adieu_core::switch::Generation;
use adieu_core::{Timestamp, duration};
use adieu_linux::diag::Identity;

use crate::view::Out;

/// Peers that one line names.
const MOST_NAMED: usize = 5;

/// Waiting for accept queues to be empty.
#[derive(Debug)]
pub(super) struct QueueWatch {
    pub(super) generation: Generation,
    pub(super) next: Timestamp,
    /// Handshakes that were under way at the switch.
    pub(super) handshakes: Vec<Identity>,
    /// Without overlap nothing has settled before the drain: it begins with the queues.
    pub(super) drains: bool,
    /// Until then it still gets new connections: it could not have them back if it were to take over again.
    pub(super) hide_at: Option<Timestamp>,
}

/// Waiting until no connection is owed an answer.
#[derive(Debug)]
pub(super) struct OwedWatch {
    pub(super) generation: Generation,
    pub(super) next: Timestamp,
    pub(super) connections: Vec<Identity>,
    pub(super) ledger: Ledger,
    /// Who is at the other end of each connection.
    pub(super) peers: HashMap<u64, SocketAddr>,
    /// The fewest that were neither finished nor parked at any look, and since when there have not been fewer.
    pub(super) fewest: (usize, Timestamp),
}

impl OwedWatch {
    /// Some of the peers of these connections, for people.
    pub(super) fn names(&self, cookies: impl Iterator<Item = u64>) -> String {
        let mut names: Vec<String> =
            cookies.map(|cookie| self.peers.get(&cookie).map_or("?".to_owned(), ToString::to_string)).collect();
        let all = names.len();
        names.truncate(MOST_NAMED);
        let more = if all > MOST_NAMED { format!(" and {} more", all - MOST_NAMED) } else { String::new() };
        format!("{}{more}", names.join(", "))
    }

    /// Says what was given up.
    pub(super) fn tell_expired(&self, drain_quiet: Duration, out: &mut Out) {
        let expired = self.ledger.counts().expired;
        if expired > 0 {
            let (names, quiet) = (self.names(self.ledger.expired()), duration::format(drain_quiet));
            let generation = self.generation;
            out.note(format!(
                "generation {generation}: gave up {expired} connections that are owed an answer, as nothing has moved on them for {quiet}: {names}"
            ));
        }
    }
}
