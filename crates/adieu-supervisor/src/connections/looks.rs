//! What the connections of living generations looked like when they were last looked at.

use std::collections::BTreeMap;

use adieu_core::Timestamp;
use adieu_core::owed::Ledger;
use adieu_core::switch::Generation;

/// The connections of living generations at the last look.
#[derive(Debug, Default)]
pub(super) struct Looks {
    pub(super) ledgers: BTreeMap<Generation, Ledger>,
    pub(super) at: Timestamp,
    pub(super) next: Option<Timestamp>,
}
