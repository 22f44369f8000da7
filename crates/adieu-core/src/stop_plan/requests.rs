use std::time::Duration;

use crate::Timestamp;

/// Signals that come so soon after the first are the same request: senders duplicate (a terminal's process group and a
/// parent that forwards, a shell and its script).
pub const DUPLICATE: Duration = Duration::from_secs(1);

/// The same after the second: a person who presses Ctrl-C again and again should not have to wait.
pub const SECOND_DUPLICATE: Duration = Duration::from_millis(200);

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// Stop.
    First,
    /// Cut the deadline to now.
    Second,
    /// End the process at once, with 128+n.
    Third,
    /// Nothing: it belongs to the one before.
    Duplicate,
}

/// Counts stop signals. Two counters that see the same signals at the same times agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Requests {
    seen: u8,
    last: Timestamp,
}

impl Requests {
    /// A signal came.
    pub fn count(&mut self, now: Timestamp) -> Request {
        let window = match self.seen {
            0 => Duration::ZERO,
            1 => DUPLICATE,
            _ => SECOND_DUPLICATE,
        };
        if now.since(self.last) < window {
            return Request::Duplicate;
        }
        self.last = now;
        self.seen = self.seen.saturating_add(1);
        match self.seen {
            1 => Request::First,
            2 => Request::Second,
            _ => Request::Third,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_duplicate_and_people_insist() {
        let mut requests = Requests::default();
        let counted = [0, 5, 999, 1000, 1100, 1199, 1200, 1201, 5000].map(|ms| {
            let request = requests.count(Timestamp::from_origin(Duration::from_millis(ms)));
            (ms, request)
        });
        use Request::{Duplicate, First, Second, Third};
        let expected = [
            (0, First),
            (5, Duplicate),
            (999, Duplicate),
            (1000, Second),
            (1100, Duplicate),
            (1199, Duplicate),
            (1200, Third),
            (1201, Duplicate),
            (5000, Third),
        ];
        assert_eq!(counted, expected);
    }
}
