//! A process together with what is known of such processes: the input of the judgement.

use std::time::Duration;

use adieu_core::signal::Signal;
use serde::Serialize;

use crate::facts::{self, Facts};
use crate::runtime::{self, Runtime};
use crate::supervisors::{self, Supervision};
use crate::target::{NoTarget, Target};

/// What is judged.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// The process, as it was seen.
    #[serde(flatten)]
    pub facts: Facts,
    /// What runs it, if that is known.
    #[serde(serialize_with = "id")]
    pub runtime: Option<&'static Runtime>,
    /// What would start it again.
    pub supervision: Option<Supervision>,
}

impl Case {
    /// Recognises the runtime. Who would start the process again is not looked for.
    #[must_use]
    pub fn of(facts: Facts) -> Self {
        Self { runtime: runtime::recognise(&facts), supervision: None, facts }
    }

    /// As [`facts::collect`], and who would start it again.
    ///
    /// # Errors
    /// [`NoTarget::Gone`].
    pub fn collect(target: &Target, watch: Duration) -> Result<Self, NoTarget> {
        let case = Self::of(facts::collect(target, watch)?);
        let supervision = supervisors::find(&case.facts, case.runtime);
        Ok(Self { supervision, ..case })
    }

    /// Whether it is a shell that somebody types into.
    #[must_use]
    pub fn is_shell_at_a_prompt(&self) -> bool {
        self.runtime.is_some_and(|runtime| runtime.is_at_a_prompt(&self.facts))
    }

    /// The signal that ends it gracefully, as far as that is known.
    #[must_use]
    pub fn graceful(&self) -> Signal {
        if self.is_shell_at_a_prompt() {
            return Signal::HUP;
        }
        self.runtime.map_or(Signal::TERM, |runtime| runtime.graceful)
    }

    /// Its runtime's id; empty when it is not known.
    #[must_use]
    pub fn runtime_id(&self) -> &'static str {
        self.runtime.map_or("", |runtime| runtime.id)
    }
}

fn id<S: serde::Serializer>(runtime: &Option<&'static Runtime>, serializer: S) -> Result<S::Ok, S::Error> {
    runtime.map(|runtime| runtime.id).serialize(serializer)
}
