//! What a stop did.

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
    /// The program called [`Control::close`](crate::Control::close) or `force`.
    Asked,
    /// The process got this signal.
    Signal(Signal),
    /// The parent process has ended.
    ParentGone,
    /// This main task has finished.
    Finished(String),
    /// This component could not start.
    StartFailed {
        /// Name of the component.
        component: String,
        /// Error of the start.
        error: String,
    },
    /// This component failed while the application served.
    Fatal {
        /// Name of the component.
        component: String,
        /// Error or panic of the component.
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

/// How a stop went, in a word. Each outcome has an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything ended by itself, without an error: exit code 0.
    Clean,
    /// Everything ended by itself, but something with an error: exit code 1.
    Failed,
    /// Something was cut, or has not ended: exit code 124.
    Forced,
}

impl Outcome {
    /// The exit code: 0, 1 or 124.
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
    /// The phase.
    pub phase: Phase,
    /// When the phase began, from the beginning of the stop.
    #[serde(rename = "after_us", with = "micros")]
    pub after: Duration,
    /// How long the phase took.
    #[serde(rename = "took_us", with = "micros")]
    pub took: Duration,
    /// Why the phase ended; `None` for force, the last phase.
    pub why: Option<Why>,
}

/// One hook of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    /// Name of the component.
    pub component: String,
    /// Phase of the hook.
    pub phase: Phase,
    /// When the hook was called, from the beginning of the stop; `None` if it was not called.
    #[serde(rename = "after_us", with = "micros::optional")]
    pub after: Option<Duration>,
    /// How long the hook ran.
    #[serde(rename = "took_us", with = "micros")]
    pub took: Duration,
    /// What became of the hook.
    pub verdict: Verdict,
    /// The error, or the message of the panic.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// Work that was still in flight when the drain was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillInFlight {
    /// Name of the guard or counter.
    pub name: String,
    /// Where in the source the guard was taken or the counter was made: `file:line:column`.
    pub place: String,
    /// Number of guards or tokens.
    pub count: usize,
    /// Age of the work: exact, or the least that it can be.
    #[serde(rename = "age_us", with = "micros")]
    pub age: Duration,
    /// Whether the age is exact.
    pub exact: bool,
}

/// What a stop did, as a timeline.
///
/// `Display` is for people, `serde` for machines (durations are whole microseconds). Returned by `main`, the report
/// sets the exit code (0 clean, 1 failed, 124 forced), and is printed to standard error unless the stop was clean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReport {
    /// Name of the application.
    pub app: String,
    /// How the stop went.
    pub outcome: Outcome,
    /// Why the stop began.
    pub cause: Cause,
    /// The time from the request to the end.
    #[serde(rename = "took_us", with = "micros")]
    pub took: Duration,
    /// The phases, in order.
    pub phases: Vec<PhaseReport>,
    /// Every hook of every component that had started, ordered by when it was called.
    pub hooks: Vec<HookReport>,
    /// Names of components whose start was cancelled and has not ended.
    pub leaked_starts: Vec<String>,
    /// Work that was in flight when the drain was cut.
    pub in_flight: Vec<StillInFlight>,
    /// Other remarks, one sentence each.
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

    /// Records that a hook of [`App::on_closed`](crate::App::on_closed) has panicked.
    pub(crate) fn closed_hook_panicked(&mut self) {
        self.notes.push("something that was told of the end has panicked".to_owned());
        if self.outcome == Outcome::Clean {
            self.outcome = Outcome::Failed;
        }
    }

    /// Sets the outcome according to the hooks and the cause.
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

    /// Ends this process by the signal that began the stop, as its parent may expect: a shell ends a loop only then.
    ///
    /// Returns if no signal began the stop, or if the stop was not clean: then the exit code says more.
    pub fn raise_signal_again(&self) {
        if let (Cause::Signal(signal), Outcome::Clean) = (&self.cause, self.outcome) {
            // Returns only for a signal that does not end a process.
            let _not_ended = signal_hook::low_level::emulate_default_handler(signal.number());
        }
    }

    /// Returns the exit code: 0, 1 or 124.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.outcome.code()
    }

    /// Returns the report as JSON on one line.
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
