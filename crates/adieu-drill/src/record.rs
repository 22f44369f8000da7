//! Every request that ended, as small as can be.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::class::Class;

/// A request that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Since the start of the load.
    pub(crate) ended: Duration,
    pub(crate) took: Duration,
    pub(crate) class: Class,
    pub(crate) reused: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    all: Vec<Entry>,
    lost: usize,
}

impl Record {
    pub(crate) fn push(&self, entry: Entry) {
        let mut entries = self.lock();
        entries.lost += usize::from(entry.class.is_lost());
        entries.all.push(entry);
    }

    /// How many have ended, and how many of them were lost.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let entries = self.lock();
        (entries.all.len(), entries.lost)
    }

    pub(crate) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.lock().all)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
