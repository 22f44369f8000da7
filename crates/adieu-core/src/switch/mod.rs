//! Generations of one program: started, proven ready, switched to, settled, drained, ended.
//!
//! **Invariant.** From the first ready on, a ready generation is listening or its socket is held, so nobody is refused; beside
//! the one that has the place at most one is not ready yet. Each step is an [`Action`] that the driver performs and answers with an
//! [`Event`], so a fault can be put between any two of them.
//!
//! | phase | ready | switched | queues empty and settle time over | drained or drain time over | main process ends | tree gone |
//! |---|---|---|---|---|---|---|
//! | starting | switch asked for | serving | – | – | the reload has failed | retired |
//! | serving | – | – | – | – | back to the one that settles or drains; else restart; else the run is over | retired |
//! | settling | – | serving again (rollback) | draining | – | ending | retired |
//! | draining | – | serving again (rollback) | – | ending | ending | retired |
//! | ending | – | – | – | – | the rest of its tree is asked | retired |
//!
//! Without overlap (`overlap: false`, or a generation that is exclusive) the old generation is held, drained and ended first, and the new one then starts as
//! the serving one; if it fails, the previous command is started again.

mod ending;
mod generation;
mod machine;
mod reload;
mod state;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::generation::{Phase, Status};
pub use self::state::Switch;
pub use crate::ids::{Generation, RequestId};
use crate::outcome::{Cause, Outcome};
use crate::restart::Restart;

/// What `adieu run` was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// From the stop of a generation to its kill, draining included.
    pub grace: Duration,
    /// The longest wait for connections that are owed an answer, before the stop signal; part of the grace.
    pub drain_timeout: Duration,
    /// How long an old generation stays able to take over after a switch.
    pub settle: Duration,
    /// How long a final stop waits before the stop signal.
    pub linger: Duration,
    /// How long a new generation may take to get ready while another one serves.
    pub ready_timeout: Duration,
    /// Whether two generations may run at once.
    pub overlap: bool,
    /// What happens when the program ends by itself.
    pub restart: Restart,
    /// Whether a pre-stop hook runs before the stop signal.
    pub pre_stop: bool,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Begin with the first generation.
    Start,
    /// Replace the serving generation.
    Reload(RequestId),
    /// End everything gracefully; another one at least a second later forces.
    Stop,
    /// End everything now.
    Force,
    /// This generation can take connections.
    Ready(Generation),
    /// New connections go to this generation now.
    Switched(Generation),
    /// They could not be sent to it.
    SwitchFailed(Generation),
    /// Nothing waits any more in the accept queues of this old generation, nor in handshakes begun before the switch.
    QueuesEmpty(Generation),
    /// No connection of this old generation is owed an answer.
    Drained(Generation),
    /// This generation has listeners that the next one cannot have beside it: at the next reload it ends first.
    Exclusive(Generation),
    /// The pre-stop hook for this generation has ended.
    PreStopDone(Generation),
    /// The main process has ended (or could not be started).
    MainExited(Generation, Outcome),
    /// No process of this generation is left.
    TreeGone(Generation),
    /// Time has passed. Recorded so that a timeline replays; same as `handle_timeout`.
    Timeout,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Start a generation. With a request: as that reload said; else with the command that is in force.
    Spawn(Generation, Option<RequestId>),
    /// Send new connections to this generation, then answer `Switched` or `SwitchFailed`.
    Switch(Generation),
    /// Tell whoever waits (systemd, say) that this generation serves.
    Serving(Generation),
    /// Keep the listeners of this generation for the next one: clients wait in the queue meanwhile.
    Hold(Generation),
    /// Watch the accept queues and answer `QueuesEmpty`.
    WatchQueues(Generation),
    /// Watch the connections and answer `Drained`.
    WatchOwed(Generation),
    /// Run the pre-stop hook, at most this long, and answer `PreStopDone`.
    RunPreStop(Generation, Duration),
    /// Send the stop signal to the main process.
    AskMain(Generation),
    /// Send the stop signal to everything else of the generation.
    AskRest(Generation),
    /// Kill everything of the generation.
    Kill(Generation),
    /// Its tree is gone: close what is held of it and run the post-stop hook.
    Retire(Generation, Outcome, Cause),
    /// Tell the client of this request how far it is.
    Progress(RequestId, Step),
    /// Everything has ended.
    Exit(i32),
}

/// How far a reload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It waits for the reload before it.
    Queued,
    /// This generation starts.
    Starting(Generation),
    /// New connections go to this generation.
    Switched(Generation),
    /// The old one is not needed as a fallback any more.
    Settled(Generation),
    /// The old one is gone.
    Drained(Generation),
    /// The new one failed.
    Failed(Failure),
}

/// Why a reload failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// It ended before it was ready.
    Exited(Generation, Outcome),
    /// It was not ready in time.
    NotReady(Generation),
    /// It was ready and could not be given the connections.
    NotSwitched(Generation),
    /// It ended while the old one could still take over, which it did.
    DiedSettling(Generation, Outcome),
    /// It ended right after the switch, and no other one could take over.
    Died(Generation, Outcome),
    /// Everything is being stopped.
    Stopping,
    /// Too many reloads wait already.
    TooMany,
}
