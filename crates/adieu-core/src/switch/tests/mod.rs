//! The machine against a driver that knows what really runs, and every invariant checked after every event.

mod faults;
mod model;
mod world;

use std::time::Duration;

use super::{Generation, Policy, RequestId};
use crate::restart::Restart;

const fn generation(number: u32) -> Generation {
    Generation::new(number)
}

const fn request(number: u64) -> RequestId {
    RequestId::new(number)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// All times differ, so that none hides behind another.
fn policy(overlap: bool, restart: Restart, linger: bool, pre_stop: bool) -> Policy {
    Policy {
        grace: seconds(30),
        drain_timeout: seconds(17),
        settle: seconds(2),
        linger: if linger { seconds(5) } else { Duration::ZERO },
        ready_timeout: seconds(61),
        overlap,
        restart,
        pre_stop,
    }
}

/// Every policy that changes what happens next.
fn policies() -> Vec<Policy> {
    let mut all = Vec::new();
    for overlap in [true, false] {
        for restart in [Restart::Never, Restart::OnFailure, Restart::Always] {
            for (linger, pre_stop) in [(false, false), (true, false), (false, true)] {
                all.push(policy(overlap, restart, linger, pre_stop));
            }
        }
    }
    all
}
