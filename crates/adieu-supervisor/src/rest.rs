//! Rest: when a start or a switch is over, nothing may happen for a long time, and what only they needed is let go.

use std::ffi::CStr;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::timeline::Timeline;
use adieu_linux::{clock, memory};

use crate::paths::Paths;
use crate::supervisor::Supervisor;

/// So long after a generation has come or gone. Programs that end sooner do not pay for it.
const AFTER: Duration = Duration::from_millis(50);

impl Supervisor {
    /// A generation has come or gone.
    pub(crate) fn rest_soon(&mut self) {
        self.rest_at = Some(clock::now() + AFTER);
    }

    /// When there is something to let go.
    pub(crate) fn next_rest(&self) -> Option<Timestamp> {
        self.rest_at
    }

    pub(crate) fn rest(&mut self) {
        if self.rest_at.take_if(|at| clock::now() >= *at).is_none() {
            return;
        }
        for running in self.running.values_mut() {
            running.look_at_memory();
        }
        // What ends a program should not have to be fetched first.
        memory::release_code(&[
            Timeline::record as *const (),
            Paths::retire as *const (),
            CStr::from_bytes_with_nul as *const (),
        ]);
    }
}
