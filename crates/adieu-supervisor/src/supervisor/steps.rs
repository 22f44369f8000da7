//! What is to be done next, as values.

use adieu_core::ids::Pid;
use adieu_core::outcome::Outcome;
use adieu_core::switch::{Action, Event, Generation, RequestId};
use adieu_linux::wait::Change;

use crate::connections::Losses;
use crate::control::ClientId;
use crate::view::{Note, Out, Said};

/// One step: something for the machine, for the journal, or for a handler.
#[derive(Debug)]
pub(super) enum Step {
    /// The machine is told, and does what follows before the next step.
    Tell(Event),
    Note(Note),
    Perform(Action),
    /// An action and all that it has brought about is done.
    #[cfg(feature = "failpoints")]
    Performed(Action),

    /// The next signal is taken; at the end our children are, if one has changed.
    ReadSignal {
        children: bool,
    },
    /// The next message of a keeper is taken.
    HearKeeper(Generation),
    /// The next message of a notify socket is taken.
    HearNotify(Generation),
    /// What the serving generation says of itself goes to the service manager.
    PassOn(Generation, Vec<String>),
    ReadClient(ClientId),
    /// A reload that was noted and prepared begins.
    BeginReload(RequestId),

    Spawn(Generation, Option<RequestId>),
    CheckReady(Generation),

    ChildChanged(Pid, Change),
    KeeperLost(Generation),
    MainChanged(Generation, Change),
    MainEnded(Generation, Outcome),
    /// The machine has decided what follows from the end of a main process.
    AfterMainEnded(Generation, Losses),
    CheckTree(Generation),
    /// The trees without a keeper are looked at.
    CheckDirectTrees,
    TreeGone(Generation),
}

/// Steps, in order.
#[derive(Debug, Default)]
#[must_use = "steps are to be worked off"]
pub(super) struct Steps(Vec<Step>);

impl Steps {
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// These, and then `step`.
    pub(super) fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// These, and then all of `steps`.
    pub(super) fn then_all(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.0.extend(steps);
        self
    }
}

impl IntoIterator for Steps {
    type Item = Step;
    type IntoIter = std::vec::IntoIter<Step>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Step> for Steps {
    fn from(step: Step) -> Self {
        Self(vec![step])
    }
}

impl From<Out> for Steps {
    fn from(out: Out) -> Self {
        let step = |said| match said {
            Said::Event(event) => Step::Tell(event),
            Said::Note(note) => Step::Note(note),
        };
        Self(out.into_said().into_iter().map(step).collect())
    }
}

/// Steps that are still to be worked off, depth first.
#[derive(Debug)]
pub(super) struct Agenda(Vec<Step>);

impl Agenda {
    pub(super) fn new(first: Steps) -> Self {
        let mut agenda = Self(Vec::new());
        agenda.put_first(first);
        agenda
    }

    /// These come before everything else that waits.
    pub(super) fn put_first(&mut self, steps: Steps) {
        self.0.extend(steps.0.into_iter().rev());
    }

    pub(super) fn next(&mut self) -> Option<Step> {
        self.0.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_brings_about_comes_before_the_step_after_it() {
        let told = |n| Step::CheckTree(Generation::new(n));
        let mut agenda = Agenda::new(Steps::from(told(1)).then(told(4)));
        let mut order = Vec::new();
        while let Some(step) = agenda.next() {
            let Step::CheckTree(generation) = step else { panic!("only these were put in") };
            order.push(generation.number());
            if generation.number() == 1 {
                agenda.put_first(Steps::from(told(2)).then(told(3)));
            }
        }
        assert_eq!(order, [1, 2, 3, 4]);
    }

    #[test]
    fn what_a_part_has_to_tell_is_told_in_its_order() {
        let mut out = Out::default();
        out.note("first");
        out.event(Event::Stop);
        out.log("last");
        let mut steps = Steps::from(out).then(Step::Tell(Event::Timeout)).into_iter();
        assert!(matches!(steps.next(), Some(Step::Note(Note::Plain(text))) if text == "first"));
        assert!(matches!(steps.next(), Some(Step::Tell(Event::Stop))));
        assert!(matches!(steps.next(), Some(Step::Note(Note::Log(text))) if text == "last"));
        assert!(matches!(steps.next(), Some(Step::Tell(Event::Timeout))));
        assert!(steps.next().is_none());
    }

    #[test]
    fn no_steps_are_none_and_more_come_after_those_before() {
        assert_eq!(Steps::none().into_iter().count(), 0);
        let told = |n| Step::CheckTree(Generation::new(n));
        let steps = Steps::from(told(1)).then_all([told(2), told(3)]).then_all(None).then(told(4));
        let number = |step| if let Step::CheckTree(generation) = step { generation.number() } else { 0 };
        assert_eq!(steps.into_iter().map(number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}
