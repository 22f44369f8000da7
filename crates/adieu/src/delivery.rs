//! What the application gets from the conductor when the plan is over.

use std::collections::HashMap;
use std::time::Duration;

use adieu_core::stop_plan::{ComponentId, Phase};

use crate::hook::{StartFn, StopHook};
use crate::publisher::Flushing;
use crate::report::StopReport;

/// Starts and hooks that never ran. The conductor must not drop them: their destructors are code of the application.
pub(crate) struct Leftovers {
    _starts: HashMap<ComponentId, Option<StartFn>>,
    _hooks: HashMap<(ComponentId, Phase), StopHook>,
}

/// What the application gets when the plan is over.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) report: StopReport,
    pub(crate) left: Leftovers,
    /// The last notices, which are being published.
    pub(crate) flushing: Flushing,
}

/// How long the process waits for the last notices to be published: a subscriber of tracing may block.
pub(crate) const PUBLISH_TIMEOUT: Duration = Duration::from_millis(100);

impl std::fmt::Debug for Leftovers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leftovers").finish_non_exhaustive()
    }
}

impl Leftovers {
    pub(crate) fn new(
        starts: HashMap<ComponentId, Option<StartFn>>,
        hooks: HashMap<(ComponentId, Phase), StopHook>,
    ) -> Self {
        Self { _starts: starts, _hooks: hooks }
    }
}
