//! Idle housekeeping: a moment after a generation came or went, memory and code pages that only that step needed are dropped.

use std::ffi::CStr;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::timeline::Timeline;
use adieu_linux::memory;

use crate::sockets::Sockets;

/// So long after a generation has come or gone. Programs that end sooner do not pay for it.
const AFTER: Duration = Duration::from_millis(50);

/// When to tidy up.
#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    at: Option<Timestamp>,
}

impl Housekeeping {
    /// A generation has come or gone.
    pub(super) fn soon(&mut self, now: Timestamp) {
        self.at = Some(now + AFTER);
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.at
    }

    /// True once, when it is time.
    pub(super) fn is_due(&mut self, now: Timestamp) -> bool {
        self.at.take_if(|at| now >= *at).is_some()
    }
}

/// Drops what only a start or a switch has needed. What ends a program should not have to be fetched first.
pub(super) fn release_code() {
    memory::release_code(&[
        Timeline::record as *const (),
        Sockets::retire as *const (),
        CStr::from_bytes_with_nul as *const (),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_once_a_moment_after_the_last_that_came_or_went() {
        let mut housekeeping = Housekeeping::default();
        let at = |millis| Timestamp::from_origin(Duration::from_millis(millis));
        assert_eq!(housekeeping.next(), None);
        assert!(!housekeeping.is_due(at(9_999)), "nothing was to be done");
        housekeeping.soon(at(0));
        housekeeping.soon(at(20));
        assert_eq!(housekeeping.next(), Some(at(70)));
        assert!(!housekeeping.is_due(at(69)));
        assert!(housekeeping.is_due(at(70)));
        assert!(!housekeeping.is_due(at(70)), "once");
        assert_eq!(housekeeping.next(), None);
    }
}
