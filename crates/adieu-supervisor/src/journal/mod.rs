//! The journal: what happened, as lines on standard error, as a timeline, and as the notes that `adieu status` shows.
//!
//! Invariant: what is to be said once is said once, and what is shown by the status is in the timeline too.

mod log;

use std::collections::HashSet;

use adieu_core::Timestamp;
use adieu_core::timeline::{Entry, Record, Timeline};

use self::log::Log;
use crate::view::Note;

const TIMELINE_ENTRIES: usize = 4096;
/// Texts that the status shows at most. A program must not make us grow.
const MOST_NOTES: usize = 32;

/// What is written down of one run.
#[derive(Debug)]
pub(crate) struct Journal {
    log: Log,
    timeline: Timeline,
    notes: Vec<String>,
    said_once: HashSet<String>,
}

impl Journal {
    pub(crate) fn new(json: bool, name: &str) -> Self {
        Self {
            log: Log::new(json, name),
            timeline: Timeline::new(TIMELINE_ENTRIES),
            notes: Vec::new(),
            said_once: HashSet::new(),
        }
    }

    /// Adds an input or an output of the machine to the timeline.
    pub(crate) fn record(&mut self, at: Timestamp, what: Record) {
        self.timeline.record(at, what);
    }

    pub(crate) fn note(&mut self, at: Timestamp, note: Note) {
        match note {
            Note::Plain(text) => self.say(at, text),
            Note::Log(text) => self.log.say(at, &text),
            Note::Once(text) => {
                if self.said_once.insert(text.clone()) {
                    if self.notes.len() < MOST_NOTES {
                        self.notes.push(text.clone());
                    }
                    self.say(at, text);
                }
            }
            Note::Quiet(text) => {
                if self.said_once.insert(text.clone()) {
                    self.notes.push(text.clone());
                    self.timeline.record(at, Record::Note(text));
                }
            }
        }
    }

    fn say(&mut self, at: Timestamp, text: String) {
        self.log.say(at, &text);
        self.timeline.record(at, Record::Note(text));
    }

    /// The timeline's entries, oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.timeline.entries()
    }

    /// How many entries were dropped before the oldest one.
    pub(crate) fn dropped(&self) -> u64 {
        self.timeline.dropped()
    }

    /// What `adieu status` shows.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[cfg(test)]
mod tests;
