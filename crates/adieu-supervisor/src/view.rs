//! What the supervisor lends a part when it asks something of it, and what the part answers with.
//!
//! A part owns its state and knows neither the supervisor nor the machine's `handle`. It is lent a [`View`] to judge by, and
//! puts what has happened, and what is to be said, into [`Out`]: the supervisor tells the machine and the journal.

use adieu_core::Timestamp;
use adieu_core::switch::{Event, Generation, Phase, Status, Switch};

use crate::options::Options;

/// What every part may know: what this run was told, where the generations are, and what time it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) options: &'a Options,
    pub(crate) switch: &'a Switch,
    pub(crate) now: Timestamp,
}

impl View<'_> {
    /// The phase of `generation`; `None` once it is gone.
    pub(crate) fn phase(&self, generation: Generation) -> Option<Phase> {
        self.status(generation).map(|status| status.phase)
    }

    fn status(&self, generation: Generation) -> Option<Status> {
        self.switch.statuses().find(|status| status.generation == generation)
    }

    /// The serving generation, where that is another one than `generation`.
    pub(crate) fn serving_before(&self, generation: Generation) -> Option<Generation> {
        self.switch.serving().filter(|serving| *serving != generation)
    }

    /// Whether `generation` drains, or is asked to end.
    pub(crate) fn is_leaving(&self, generation: Generation) -> bool {
        matches!(self.phase(generation), Some(Phase::Draining | Phase::Ending))
    }
}

/// Something to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// A line of the log and an entry of the timeline.
    Plain(String),
    /// The same, once per text; `adieu status` shows it too.
    Once(String),
    /// For `adieu status` and the timeline, once per text: not worth a line at every start.
    Quiet(String),
    /// A line of the log alone: the timeline has it already, as an input or an output of the machine.
    Log(String),
}

/// One thing that a part has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Event(Event),
    Note(Note),
}

/// What a part has to tell, in order.
#[derive(Debug, Default)]
#[must_use = "the supervisor has to tell the machine and the journal"]
pub(crate) struct Out(Vec<Said>);

impl Out {
    /// For the machine.
    pub(crate) fn event(&mut self, event: Event) {
        self.0.push(Said::Event(event));
    }

    /// As [`Note::Plain`].
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.0.push(Said::Note(Note::Plain(text.into())));
    }

    /// As [`Note::Once`].
    pub(crate) fn note_once(&mut self, text: impl Into<String>) {
        self.0.push(Said::Note(Note::Once(text.into())));
    }

    /// As [`Note::Quiet`].
    pub(crate) fn note_quietly(&mut self, text: impl Into<String>) {
        self.0.push(Said::Note(Note::Quiet(text.into())));
    }

    /// As [`Note::Log`].
    pub(crate) fn log(&mut self, text: impl Into<String>) {
        self.0.push(Said::Note(Note::Log(text.into())));
    }

    pub(crate) fn into_said(self) -> Vec<Said> {
        self.0
    }

    /// The events, for tests.
    #[cfg(test)]
    pub(crate) fn events(&self) -> Vec<Event> {
        let event = |said: &Said| if let Said::Event(event) = said { Some(*event) } else { None };
        self.0.iter().filter_map(event).collect()
    }

    /// The texts of the notes, for tests.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> Vec<&str> {
        fn text(said: &Said) -> Option<&str> {
            match said {
                Said::Note(Note::Plain(text) | Note::Once(text) | Note::Quiet(text) | Note::Log(text)) => Some(text),
                Said::Event(_) => None,
            }
        }
        self.0.iter().filter_map(text).collect()
    }
}
