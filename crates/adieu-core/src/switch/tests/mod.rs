//! The machine in a world that knows what really runs, with every invariant checked after every event.
//!
//! [`world`] performs the actions and knows what can happen next, [`invariants`] judges, [`key`] tells states apart. On these
//! stand the exhaustive search ([`model`]), the one with nonsense in it ([`nonsense`]), faults at each step of a reload
//! ([`faults`]), long random runs and their replay ([`random`]), the module's table ([`table`]) and single stories ([`cases`]).

mod cases;
mod faults;
mod invariants;
mod key;
mod liveness;
mod model;
mod nonsense;
mod random;
mod table;
mod world;

use std::time::Duration;

use super::Policy;
use crate::outcome::Outcome;
use crate::restart::Restart;
use crate::signal::Signal;

const KILLED: Outcome = Outcome::Signaled(Signal::KILL);
const TERMINATED: Outcome = Outcome::Signaled(Signal::TERM);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Overlap, no restart, no hook. All times differ, so that none hides behind another.
fn plain() -> Policy {
    Policy {
        grace: seconds(30),
        drain_timeout: seconds(17),
        settle: seconds(2),
        linger: Duration::ZERO,
        ready_timeout: seconds(61),
        overlap: true,
        restart: Restart::Never,
        pre_stop: false,
    }
}

/// Every combination of what changes the order of things.
fn policies() -> Vec<Policy> {
    let mut all = Vec::new();
    for overlap in [true, false] {
        for restart in [Restart::Never, Restart::OnFailure, Restart::Always] {
            for linger in [Duration::ZERO, seconds(5)] {
                for pre_stop in [false, true] {
                    all.push(Policy { overlap, restart, linger, pre_stop, ..plain() });
                }
            }
        }
    }
    all
}
