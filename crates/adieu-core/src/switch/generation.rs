//! One generation: its phase, its stop, what is known of its end.

use serde::{Deserialize, Serialize};

use super::{Generation, RequestId};
use crate::Timestamp;
use crate::escalation::Escalation;
use crate::outcome::{Cause, Outcome};
use crate::signal::Signal;

/// Where a generation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Started beside a serving one, not ready yet.
    Starting,
    /// Ready; the switch has been asked for.
    Switching,
    /// New connections go to it.
    Serving,
    /// Replaced; it can still take over.
    Settling,
    /// Replaced; its connections get their answers.
    Draining,
    /// Being stopped.
    Ending,
}

/// What `adieu status` shows of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its number.
    pub generation: Generation,
    /// Where it stands.
    pub phase: Phase,
    /// Whether it has been ready.
    pub ready: bool,
    /// When it was started.
    pub started: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) phase: Phase,
    pub(super) ready: bool,
    pub(super) started: Timestamp,
    /// Not ready by then: given up.
    pub(super) ready_deadline: Option<Timestamp>,
    /// It can take over until then.
    pub(super) settle_until: Option<Timestamp>,
    /// End of the current phase at the latest (settling, draining, lingering).
    pub(super) phase_until: Option<Timestamp>,
    /// When the whole generation is killed, once its stop has been decided.
    pub(super) deadline: Option<Timestamp>,
    pub(super) queues_empty: bool,
    pub(super) main: Option<Outcome>,
    pub(super) escalation: Escalation,
    /// The reload that started it, until it is answered for good.
    pub(super) request: Option<RequestId>,
    /// The reload that replaced it.
    pub(super) replaced_by: Option<(RequestId, Generation)>,
    pub(super) crash_loop: bool,
    /// Its stop began while the main process was alive.
    pub(super) asked: bool,
    /// The next generation inherits its listeners and waits for its end.
    pub(super) held: bool,
    /// It cannot run beside the next one.
    pub(super) exclusive: bool,
}

impl Entry {
    pub(super) fn new(now: Timestamp, phase: Phase, request: Option<RequestId>) -> Self {
        Self {
            phase,
            ready: false,
            started: now,
            ready_deadline: None,
            settle_until: None,
            phase_until: None,
            deadline: None,
            queues_empty: false,
            main: None,
            escalation: Escalation::new(),
            request,
            replaced_by: None,
            crash_loop: false,
            asked: false,
            held: false,
            exclusive: false,
        }
    }

    /// Whether it could take the connections over again.
    pub(super) fn can_take_over(&self) -> bool {
        self.ready && self.main.is_none() && matches!(self.phase, Phase::Settling | Phase::Draining)
    }

    pub(super) fn cause(&self) -> Cause {
        match self.main {
            _ if self.escalation.was_forced() && matches!(self.main, None | Some(Outcome::Signaled(Signal::KILL))) => {
                Cause::Forced
            }
            _ if self.crash_loop => Cause::CrashLoop,
            Some(Outcome::Signaled(signal)) if !self.asked || signal == Signal::KILL => Cause::Signal,
            Some(_) | None => Cause::Exit,
        }
    }
}
