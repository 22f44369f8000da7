//! What is known of the readiness of all generations.

use std::collections::BTreeMap;
use std::ffi::OsString;

use adieu_core::switch::Generation;

use super::notify::NotifyState;
use super::probe::Probe;

/// What is known of the readiness of all generations.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    pub(super) told: BTreeMap<Generation, NotifyState>,
    pub(super) probe: Option<Probe>,
    /// The command whose generation has sent READY=1 last: others with the same are waited for to do so too.
    pub(super) says_ready: Option<Vec<OsString>>,
}
