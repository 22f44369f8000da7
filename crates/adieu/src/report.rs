use std::fmt;
use std::process::{ExitCode, Termination};
use std::time::Duration;

use adieu_core::duration;
use adieu_core::signal::Signal;
use adieu_core::stop_plan::{Phase, Verdict, Why};
use serde::{Deserialize, Serialize};

use crate::error::BuildError;

/// Why a stop began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// [`Control::close`](crate::Control::close) or `force`.
    Asked,
    /// This signal came.
    Signal(Signal),
    /// The parent process has ended.
    ParentGone,
    /// This main task has finished.
    Finished(String),
    /// This component could not start.
    StartFailed {
        /// Its name.
        component: String,
        /// Its error.
        error: String,
    },
    /// This component failed while it ran.
    Fatal {
        /// Its name.
        component: String,
        /// Its error or panic.
        error: String,
    },
    /// The application could not be run at all.
    Refused(String),
}

impl Cause {
    fn is_failure(&self) -> bool {
        match self {
            Self::Asked | Self::Signal(_) | Self::ParentGone | Self::Finished(_) => false,
            Self::StartFailed { .. } | Self::Fatal { .. } | Self::Refused(_) => true,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("the program asked for it"),
            Self::Signal(signal) => write!(f, "{signal}"),
            Self::ParentGone => f.write_str("the parent process has ended"),
            Self::Finished(task) => write!(f, "{task} has finished"),
            Self::StartFailed { component, error } => write!(f, "{component} could not start: {error}"),
            Self::Fatal { component, error } => write!(f, "{component} failed: {error}"),
            Self::Refused(error) => write!(f, "not started: {error}"),
        }
    }
}

/// How a stop went, in a word; each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything ended by itself, without an error: exit code 0.
    Clean,
    /// Everything ended by itself, something with an error: exit code 1.
    Failed,
    /// Something had to be cut, or is still there: exit code 124.
    Forced,
}

impl Outcome {
    /// 0, 1 or 124.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Failed => 1,
            Self::Forced => 124,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Failed => "failed",
            Self::Forced => "forced",
        }
    }
}

/// One phase of a stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// Which.
    pub phase: Phase,
    /// When it began, from the beginning of the stop.
    #[serde(rename = "after_us", with = "micros")]
    pub after: Duration,
    /// How long it took.
    #[serde(rename = "took_us", with = "micros")]
    pub took: Duration,
    /// Why it ended; `None` for force, which is the end.
    pub why: Option<Why>,
}

/// One hook of a component, or its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    /// Whose.
    pub component: String,
    /// Which.
    pub phase: Phase,
    /// When it was asked, from the beginning of the stop; `None` if it never was.
    #[serde(rename = "after_us", with = "micros::optional")]
    pub after: Option<Duration>,
    /// How long it took, or had.
    #[serde(rename = "took_us", with = "micros")]
    pub took: Duration,
    /// What has become of it.
    pub verdict: Verdict,
    /// Its error or its panic's message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// Work that was still in flight when the drain was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillInFlight {
    /// What it was called.
    pub name: String,
    /// The place in the source, `file:line:column`.
    pub place: String,
    /// How many.
    pub count: usize,
    /// Its age: exact, or the least it can be.
    #[serde(rename = "age_us", with = "micros")]
    pub age: Duration,
    /// Whether the age is exact.
    pub exact: bool,
}

/// What a stop did: the timeline of one application's end.
///
/// `Display` is for people, `serde` for machines (durations are whole microseconds). As the result of `main` it prints
/// itself to standard error unless all was well, and sets the exit code: 0 clean, 1 failed, 124 forced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReport {
    /// The application's name.
    pub app: String,
    /// How it went.
    pub outcome: Outcome,
    /// Why it began.
    pub cause: Cause,
    /// From the request to the end.
    #[serde(rename = "took_us", with = "micros")]
    pub took: Duration,
    /// The phases, in order.
    pub phases: Vec<PhaseReport>,
    /// Every hook of every component that had started, by the time it was asked.
    pub hooks: Vec<HookReport>,
    /// Components whose start was cancelled and has not ended.
    pub leaked_starts: Vec<String>,
    /// What was in flight when it was cut.
    pub in_flight: Vec<StillInFlight>,
    /// Anything else worth knowing, one sentence each.
    pub notes: Vec<String>,
}

impl StopReport {
    pub(crate) fn refused(app: &str, error: &BuildError) -> Self {
        Self::empty(app, Cause::Refused(error.to_string()))
    }

    pub(crate) fn empty(app: &str, cause: Cause) -> Self {
        let outcome = if cause.is_failure() { Outcome::Failed } else { Outcome::Clean };
        Self {
            app: app.to_owned(),
            outcome,
            cause,
            took: Duration::ZERO,
            phases: Vec::new(),
            hooks: Vec::new(),
            leaked_starts: Vec::new(),
            in_flight: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// One of those who wait for the end has panicked.
    pub(crate) fn closed_hook_panicked(&mut self) {
        self.notes.push("something that was told of the end has panicked".to_owned());
        if self.outcome == Outcome::Clean {
            self.outcome = Outcome::Failed;
        }
    }

    /// Sets the outcome by what the report says.
    pub(crate) fn judge(&mut self, forced: bool) {
        let cut = self.hooks.iter().any(|hook| hook.verdict.was_forced());
        let bad = |hook: &HookReport| matches!(hook.verdict, Verdict::Failed | Verdict::Panicked);
        self.outcome = if forced || cut || !self.leaked_starts.is_empty() {
            Outcome::Forced
        } else if self.cause.is_failure() || self.hooks.iter().any(bad) {
            Outcome::Failed
        } else {
            Outcome::Clean
        };
    }

    /// Ends this process by the signal that began the stop, so that its parent sees what it expects (a shell that runs a
    /// loop ends it only then). Returns if no signal began the stop, or not everything went well: the exit code says more
    /// then.
    pub fn raise_signal_again(&self) {
        if let (Cause::Signal(signal), Outcome::Clean) = (&self.cause, self.outcome) {
            // Returns only for a signal that does not end a process.
            let _not_ended = signal_hook::low_level::emulate_default_handler(signal.number());
        }
    }

    /// 0, 1 or 124.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.outcome.code()
    }

    /// On one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }
}

pub(crate) fn short(duration: Duration) -> String {
    duration::format(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} stop in {} ({})", self.app, self.outcome.name(), short(self.took), self.cause)?;
        for phase in &self.phases {
            let why = phase.why.map_or("what is left is cancelled", Why::text);
            writeln!(f, "  {:>7} {:<9} {:>7}  {why}", short(phase.after), phase.phase, short(phase.took))?;
            for hook in self.hooks.iter().filter(|hook| hook.phase == phase.phase) {
                write!(f, "          {:<9} {:>7}  {}", "", short(hook.took), hook.component)?;
                match &hook.error {
                    Some(error) => writeln!(f, ": {} ({error})", hook.verdict.text())?,
                    None => writeln!(f, ": {}", hook.verdict.text())?,
                }
            }
        }
        for of in &self.in_flight {
            let age = if of.exact { "" } else { "at least " };
            writeln!(f, "  in flight: {} × {} at {} ({age}{})", of.count, of.name, of.place, short(of.age))?;
        }
        for name in &self.leaked_starts {
            writeln!(f, "  the start of {name} was cancelled and has not ended")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

impl Termination for StopReport {
    fn report(self) -> ExitCode {
        if self.outcome != Outcome::Clean {
            eprint!("{self}");
        }
        ExitCode::from(self.code())
    }
}

mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    fn whole(duration: Duration) -> u64 {
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(whole(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }

    pub(super) mod optional {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
            duration.map(super::whole).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_micros))
        }
    }
}
