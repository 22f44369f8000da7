//! One connection: what is known of it, and what follows from the next look.

use std::cmp::Ordering;
use std::time::Duration;

use super::{Action, Seen};
use crate::Timestamp;

/// A program that closes a connection within this time of its last answer has ended that answer with it.
const ENDS_ANSWER: Duration = Duration::from_millis(100);
/// The end of an answer is held back for at most so long after it was written; the kernel itself lets it go after 200 ms.
const HELD_BACK: Duration = Duration::from_millis(150);
/// When that did not help, nothing is held back for so long.
const REST: Duration = Duration::from_millis(300);
/// An answer without any movement for so long has ended.
const QUIET: Duration = Duration::from_millis(50);
/// So long a close is waited with, in case the whole program is about to end.
const CLOSED: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Free,
    Parked,
    /// The program may read until this count; it had written so much before.
    Passing {
        until: u64,
        written: u64,
    },
    Foreign,
    Carried,
    Closed,
}

/// The end of the program's answer is being held back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// What it had written before.
    written: u64,
    /// Since when it has written more.
    wrote_at: Option<Timestamp>,
}

/// Whether the program has something to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Debt {
    Unknown,
    Owed,
    Answered,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    pub(super) stage: Stage,
    pub(super) seen: Seen,
    pub(super) debt: Debt,
    /// What the program has read last is one whole request that we have seen, or it has read nothing yet.
    whole: bool,
    /// Something is unread since.
    pub(super) unread_since: Option<Timestamp>,
    wrote_now: bool,
    pub(super) here: bool,
    held_back: Option<Held>,
    /// Nothing is held back before then.
    rest_until: Timestamp,
    /// The program has no descriptor of it since.
    closed_since: Option<Timestamp>,
}

impl Connection {
    pub(super) fn first(now: Timestamp, seen: Seen) -> Self {
        let debt = if seen.read == 0 { Debt::Answered } else { by_times(&seen) };
        Self {
            stage: Stage::Free,
            seen,
            debt,
            whole: seen.read == 0,
            unread_since: (seen.unread > 0).then_some(now),
            wrote_now: true,
            here: true,
            held_back: None,
            rest_until: now,
            closed_since: None,
        }
    }

    pub(super) fn next(self, now: Timestamp, seen: Seen) -> Self {
        let has_read = seen.read != self.seen.read;
        let has_written = seen.written != self.seen.written;
        let debt = match (has_read, has_written) {
            (false, false) => self.debt,
            (true, false) => Debt::Owed,
            (false, true) => Debt::Answered,
            (true, true) if seen.unread == 0 => by_times(&seen),
            (true, true) => Debt::Unknown,
        };
        let unread_since = if seen.unread == 0 { None } else { self.unread_since.or(Some(now)) };
        let closed_since = if seen.owned { None } else { self.closed_since.or(Some(now)) };
        let whole = self.whole && !has_read;
        let wrote =
            |held: Held| Held { wrote_at: held.wrote_at.or((seen.written != held.written).then_some(now)), ..held };
        let held_back = self.held_back.map(wrote);
        Self { held_back, seen, debt, whole, unread_since, wrote_now: has_written, here: true, closed_since, ..self }
    }

    /// Nobody works on an answer for so long that was not clearly asked for.
    pub(super) fn wait_out(&mut self, quiet: Duration) {
        let ago = self.seen.sent_ago_ms.min(self.seen.received_ago_ms);
        if self.debt == Debt::Unknown && self.seen.unread == 0 && Duration::from_millis(u64::from(ago)) >= quiet {
            self.debt = Debt::Answered;
        }
    }

    /// Parked between two requests, with everything delivered.
    pub(super) fn is_settled(&self) -> bool {
        let nothing_left = self.seen.unread == 0 && !self.seen.in_transit;
        let quiet = Duration::from_millis(u64::from(self.seen.sent_ago_ms)) >= QUIET || self.seen.written == 0;
        match self.stage {
            Stage::Parked => self.debt == Debt::Answered && nothing_left && quiet,
            Stage::Closed => true,
            Stage::Free | Stage::Passing { .. } | Stage::Foreign | Stage::Carried => false,
        }
    }

    pub(super) fn decide(&mut self, now: Timestamp, ended: Option<bool>) -> Option<Action> {
        match self.stage {
            Stage::Free => self.free(now),
            Stage::Parked | Stage::Passing { .. } if !self.seen.owned => self.closed_by_program(now, ended),
            Stage::Parked | Stage::Passing { .. } if self.seen.half_closed => self.give_back(),
            Stage::Parked => self.parked(),
            Stage::Passing { until, written } => self.passing(until, written),
            Stage::Foreign | Stage::Carried | Stage::Closed => None,
        }
    }

    fn free(&mut self, now: Timestamp) -> Option<Action> {
        // The first answer may be the last too, and then its end is the program's `close`: it must not be kept from it.
        let first_exchange = self.seen.written == 0 && self.seen.read > 0;
        if self.seen.unread == 0 && !self.seen.half_closed && !first_exchange {
            return Some(Action::Park(self.seen.cookie));
        }
        self.let_go_in_time(now)
    }

    /// It could not be parked: the program may be about to read.
    pub(super) fn could_not_be_parked(&mut self, now: Timestamp, blocking: bool) -> Option<Action> {
        self.stage = Stage::Free;
        if self.held_back.is_some() || !blocking || self.debt == Debt::Answered || now < self.rest_until {
            return self.let_go_in_time(now);
        }
        self.hold_back();
        Some(Action::HoldBack(self.seen.cookie))
    }

    pub(super) fn hold_back(&mut self) {
        self.held_back = Some(Held { written: self.seen.written, wrote_at: None });
    }

    /// Parked, or out of reach: nothing is held back any more.
    pub(super) fn is_let_go(&mut self, stage: Stage) {
        (self.stage, self.held_back) = (stage, None);
    }

    fn let_go_in_time(&mut self, now: Timestamp) -> Option<Action> {
        let wrote_at = self.held_back.and_then(|held| held.wrote_at)?;
        (now - wrote_at >= HELD_BACK).then(|| {
            (self.held_back, self.rest_until) = (None, now + REST);
            Action::LetGo(self.seen.cookie)
        })
    }

    /// Only what answers a request that we have seen whole is an answer for sure: `100 Continue` looks like one too, and what
    /// follows it is no request, whatever it looks like.
    fn parked(&mut self) -> Option<Action> {
        let cookie = self.seen.cookie;
        let sure = self.whole || !self.seen.owned;
        match self.debt {
            _ if self.seen.unread == 0 => None,
            Debt::Owed => self.give_back(),
            Debt::Answered if self.wrote_now => None,
            Debt::Answered if sure => Some(Action::Look(cookie)),
            Debt::Unknown | Debt::Answered => Some(Action::Pass(cookie)),
        }
    }

    fn passing(&mut self, until: u64, written: u64) -> Option<Action> {
        match self.seen.read.cmp(&until) {
            Ordering::Less => None,
            Ordering::Equal => {
                self.debt = if self.seen.written == written { Debt::Owed } else { Debt::Answered };
                self.whole = true;
                if self.seen.unread == 0 { Some(Action::Park(self.seen.cookie)) } else { self.give_back() }
            }
            Ordering::Greater => self.give_back(),
        }
    }

    fn give_back(&mut self) -> Option<Action> {
        self.is_let_go(Stage::Free);
        Some(Action::GiveBack(self.seen.cookie))
    }

    /// It is only ours now: the program has closed it, or has ended.
    fn closed_by_program(&mut self, now: Timestamp, ended: Option<bool>) -> Option<Action> {
        if let Stage::Passing { until, written } = self.stage {
            if self.seen.read >= until {
                self.debt = if self.seen.written == written { Debt::Owed } else { Debt::Answered };
            }
            self.stage = Stage::Parked;
        }
        let since = self.closed_since.unwrap_or(now);
        if self.debt == Debt::Unknown && ended != Some(false) {
            if ended.is_none() && now - since < CLOSED {
                return None;
            }
            // Who closes by itself owes nothing.
            self.debt = Debt::Answered;
        }
        let answered_ago = Duration::from_millis(u64::from(self.seen.sent_ago_ms));
        let ends_answer = answered_ago < ENDS_ANSWER + (now - since);
        let over = self.seen.unread == 0 && ended.is_none() && ends_answer && now - since >= CLOSED;
        if self.debt != Debt::Answered || over || self.seen.half_closed {
            self.stage = Stage::Closed;
            return Some(Action::Close(self.seen.cookie));
        }
        self.parked()
    }
}

/// Who spoke last, as far as clock ticks (1 to 10 ms) tell.
fn by_times(seen: &Seen) -> Debt {
    match seen.sent_ago_ms.cmp(&seen.received_ago_ms) {
        Ordering::Less => Debt::Answered,
        Ordering::Greater => Debt::Owed,
        Ordering::Equal => Debt::Unknown,
    }
}
