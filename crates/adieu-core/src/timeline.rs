//! What happened, in order: every input and every output of the [`Switch`], and notes beside them.
//!
//! Invariant: a recorded timeline replays: the inputs alone, given to a fresh machine, bring about the same outputs.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::outcome::Outcome;
use crate::switch::{Action, Event, Failure, Policy, Step, Switch};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in microseconds of the supervisor's monotonic clock.
    pub at: Timestamp,
    /// What.
    pub what: Record,
}

/// The kinds of entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Told to the machine.
    Input(Event),
    /// Done by the machine.
    Output(Action),
    /// Seen beside it.
    Note(String),
}

/// The last entries, and how many were dropped before them.
#[derive(Debug, Clone)]
pub struct Timeline {
    entries: VecDeque<Entry>,
    limit: usize,
    dropped: u64,
}

impl Timeline {
    /// Keeps the last `limit` entries.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), limit, dropped: 0 }
    }

    /// Adds an entry.
    pub fn record(&mut self, at: Timestamp, what: Record) {
        if self.entries.len() >= self.limit {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back(Entry { at, what });
    }

    /// All entries that are kept, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many entries were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Gives the recorded inputs to a fresh machine and returns what it does, for comparison with the recorded outputs.
#[must_use]
pub fn replay<'a>(policy: Policy, entries: impl IntoIterator<Item = &'a Entry>) -> Vec<Action> {
    let mut machine = Switch::new(policy);
    let mut actions = Vec::new();
    for entry in entries {
        if let Record::Input(event) = entry.what {
            machine.handle(entry.at, event);
            while let Some(action) = machine.poll_action() {
                actions.push(action);
            }
        }
    }
    actions
}

impl Record {
    /// The entry for people; `None` for what says nothing that another entry does not say.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Note(text) => Some(text.clone()),
            Self::Input(event) => input_text(*event),
            Self::Output(action) => output_text(*action),
        }
    }
}

fn input_text(event: Event) -> Option<String> {
    Some(match event {
        Event::Start | Event::Timeout | Event::Switched(_) => return None,
        Event::Reload(request) => format!("reload asked for (request {request})"),
        Event::Stop => "stop asked for".to_owned(),
        Event::Force => "force asked for".to_owned(),
        Event::Ready(generation) => format!("generation {generation} is ready"),
        Event::SwitchFailed(generation) => format!("generation {generation} could not be given the connections"),
        Event::QueuesEmpty(generation) => format!("generation {generation}: accept queues are empty"),
        Event::Drained(generation) => format!("generation {generation}: no connection is owed an answer"),
        Event::Exclusive(generation) => format!("generation {generation} cannot run beside another one"),
        Event::PreStopDone(generation) => format!("generation {generation}: pre-stop is done"),
        Event::MainExited(generation, outcome) => format!("generation {generation}: main process ended ({outcome})"),
        Event::TreeGone(generation) => format!("generation {generation}: no process is left"),
    })
}

fn output_text(action: Action) -> Option<String> {
    Some(match action {
        Action::Spawn(generation, _) => format!("generation {generation} starts"),
        Action::Switch(generation) => format!("new connections go to generation {generation}"),
        Action::Hold(generation) => format!("generation {generation}: listeners are held for the next one"),
        Action::RunPreStop(generation, budget) => {
            format!("generation {generation}: pre-stop runs, {:.1} s at most", budget.as_secs_f64())
        }
        Action::AskMain(generation) => format!("generation {generation}: main process is asked to stop"),
        Action::AskRest(generation) => format!("generation {generation}: what is left of it is asked to stop"),
        Action::Kill(generation) => format!("generation {generation} is killed"),
        Action::Retire(generation, outcome, cause) => {
            format!("generation {generation} is gone ({outcome}, cause {})", cause.name())
        }
        Action::Progress(_, step) => return step_failure(step),
        Action::Exit(code) => format!("everything has ended, exit code {code}"),
        Action::Serving(_) | Action::WatchQueues(_) | Action::WatchOwed(_) => return None,
    })
}

fn step_failure(step: Step) -> Option<String> {
    match step {
        Step::Failed(failure) => Some(format!("reload failed: {}", failure.text())),
        Step::Queued | Step::Starting(_) | Step::Switched(_) | Step::Settled(_) | Step::Drained(_) => None,
    }
}

impl Step {
    /// The step for people.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Queued => "waiting for the reload before this one".to_owned(),
            Self::Starting(generation) => format!("generation {generation} starts"),
            Self::Switched(generation) => format!("generation {generation} serves"),
            Self::Settled(generation) => format!("generation {generation} has settled"),
            Self::Drained(generation) => format!("generation {generation} is alone"),
            Self::Failed(failure) => failure.text(),
        }
    }
}

impl Failure {
    /// The failure for people.
    #[must_use]
    pub fn text(self) -> String {
        let ended = |outcome: Outcome| match outcome {
            Outcome::Exited(code) => format!("exited with code {code}"),
            Outcome::Signaled(signal) => format!("was ended by {signal}"),
        };
        match self {
            Self::Exited(generation, outcome) => {
                format!("generation {generation} {} before it was ready", ended(outcome))
            }
            Self::NotReady(generation) => format!("generation {generation} was not ready in time"),
            Self::NotSwitched(generation) => format!("generation {generation} could not be given the connections"),
            Self::DiedSettling(generation, outcome) => {
                format!(
                    "generation {generation} {} right after the switch; the one before serves again",
                    ended(outcome)
                )
            }
            Self::Died(generation, outcome) => {
                format!(
                    "generation {generation} {} right after the switch, and none was left to take over",
                    ended(outcome)
                )
            }
            Self::Stopping => "everything is being stopped".to_owned(),
            Self::TooMany => "too many reloads wait already".to_owned(),
        }
    }
}
