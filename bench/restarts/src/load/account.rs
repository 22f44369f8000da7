use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use adieu_drill::{Class, Tally};
use serde::Serialize;

/// Losses that are described.
const MOST_NOTED: usize = 40;

/// What became of every request.
#[derive(Debug)]
pub(super) struct Account {
    began: Instant,
    book: Mutex<Book>,
}

#[derive(Debug, Default, Serialize)]
struct Book {
    restarts: usize,
    kinds: BTreeMap<&'static str, Tally>,
    /// Connections that were told to go elsewhere, or had nothing under way, and were reset afterwards.
    resets: usize,
    /// Losses, races and resets, as they were seen.
    notes: Vec<String>,
    trouble: Vec<String>,
}

impl Default for Account {
    fn default() -> Self {
        Self { began: Instant::now(), book: Mutex::default() }
    }
}

impl Account {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, book: &mut Book, what: impl Display) {
        if book.notes.len() < MOST_NOTED {
            book.notes.push(format!("{:.3} s, restart {}: {what}", self.began.elapsed().as_secs_f64(), book.restarts));
        }
    }

    pub(super) fn restart(&self, number: usize) {
        self.book().restarts = number;
    }

    /// One request has ended; `how` is for people.
    pub(super) fn push(&self, kind: &'static str, class: Class, how: impl Display) {
        let mut book = self.book();
        book.kinds.entry(kind).or_default().add(class);
        if class != Class::Ok {
            self.note(&mut book, format!("{kind}: {class}: {how}"));
        }
    }

    /// A connection was reset with nothing under way.
    pub(super) fn reset(&self, kind: &'static str, how: impl Display) {
        let mut book = self.book();
        book.resets += 1;
        self.note(&mut book, format!("{kind}: reset at rest: {how}"));
    }

    /// Something that is no fault of the server: the account is worth nothing.
    pub(super) fn trouble(&self, what: &impl Display) {
        self.book().trouble.push(what.to_string());
    }

    pub(super) fn is_troubled(&self) -> bool {
        !self.book().trouble.is_empty()
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(&*self.book()).unwrap_or_default()
    }
}
