//! What the conductor records for the report.

use std::collections::HashMap;

use adieu_core::Timestamp;
use adieu_core::stop_plan::{ComponentId, Phase, Why};

use crate::report::{Cause, StillInFlight};

#[derive(Debug)]
pub(crate) struct PhaseRecord {
    pub(crate) phase: Phase,
    pub(crate) entered: Timestamp,
    pub(crate) left: Option<(Timestamp, Why)>,
}

/// What the report needs and the machine does not know.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) cause: Option<Cause>,
    pub(crate) began: Option<Timestamp>,
    pub(crate) phases: Vec<PhaseRecord>,
    pub(crate) errors: HashMap<(ComponentId, Phase), String>,
    pub(crate) gate_closed: Option<Timestamp>,
    pub(crate) in_flight: Vec<StillInFlight>,
    pub(crate) notes: Vec<String>,
}
