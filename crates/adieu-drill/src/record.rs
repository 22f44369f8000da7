//! What has ended so far: a period before the first restart, and one from each restart to the next.
//!
//! Kept as counts and histograms, so that a drill of hours needs no more memory than one of seconds.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::class::Class;
use crate::tally::Tally;

/// From the start of the load or of a restart to that of the next.
#[derive(Debug)]
pub(crate) struct Period {
    /// Since the start of the load.
    pub(crate) began: Duration,
    pub(crate) fresh: Tally,
    pub(crate) reused: Tally,
    /// Microseconds that successes took.
    pub(crate) took: Histogram<u64>,
    /// The longest time without a success, within this period.
    pub(crate) gap: Duration,
}

impl Period {
    fn from(began: Duration) -> Option<Self> {
        // Three digits, as large as need be.
        let took = Histogram::new(3).ok()?;
        Some(Self { began, fresh: Tally::default(), reused: Tally::default(), took, gap: Duration::ZERO })
    }
}

/// The account of all clients.
#[derive(Debug)]
pub(crate) struct Record {
    began: Instant,
    account: Mutex<Account>,
    troubled: Notify,
}

#[derive(Debug)]
struct Account {
    periods: Vec<Period>,
    /// When the period's time without success began: at the last success or at its own beginning.
    without_since: Option<Duration>,
    last_success: Option<Duration>,
    longest_gap: Duration,
    /// No gap is looked for any more.
    over: bool,
    fastest_connection: Option<Duration>,
    trouble: Option<String>,
}

impl Record {
    /// Begins with the calm period.
    pub(crate) fn new() -> Self {
        let account = Account {
            periods: Period::from(Duration::ZERO).into_iter().collect(),
            without_since: None,
            last_success: None,
            longest_gap: Duration::ZERO,
            over: false,
            fastest_connection: None,
            trouble: None,
        };
        Self { began: Instant::now(), account: Mutex::new(account), troubled: Notify::new() }
    }

    /// Since the start of the load.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// A restart begins now: so does its period.
    pub(crate) fn begin_restart(&self) {
        let mut account = self.lock();
        account.begin(self.age());
    }

    /// A request that began at `start` has ended now.
    pub(crate) fn push(&self, start: Instant, class: Class, reused: bool) {
        let took = start.elapsed();
        let mut account = self.lock();
        // Under the lock, so that the order of the calls is that of their times.
        account.push(start - self.began, self.age(), took, class, reused);
    }

    /// The load ends now: what ends later is counted, but a gap afterwards says nothing.
    pub(crate) fn end(&self) {
        let mut account = self.lock();
        account.end(self.age());
    }

    /// A connection took so long to be made.
    pub(crate) fn connected(&self, took: Duration) {
        let mut account = self.lock();
        account.fastest_connection = Some(account.fastest_connection.map_or(took, |fastest| fastest.min(took)));
    }

    /// About the time that a segment needs to the server and back.
    pub(crate) fn fastest_connection(&self) -> Duration {
        self.lock().fastest_connection.unwrap_or_default()
    }

    /// This machine cannot load the server as it should.
    pub(crate) fn trouble(&self, what: &dyn Display) {
        self.lock().trouble.get_or_insert_with(|| what.to_string());
        self.troubled.notify_one();
    }

    /// Waits for trouble. Cancel safe: trouble stays.
    pub(crate) async fn troubled(&self) -> String {
        loop {
            if let Some(trouble) = self.lock().trouble.clone() {
                return trouble;
            }
            self.troubled.notified().await;
        }
    }

    /// How many requests have ended, and how many of them were lost.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let account = self.lock();
        let tallies = || account.periods.iter().flat_map(|period| [&period.fresh, &period.reused]);
        (tallies().map(Tally::total).sum(), tallies().map(Tally::lost).sum())
    }

    /// All periods, and the longest time without a success, across periods too.
    pub(crate) fn take(&self) -> (Vec<Period>, Duration) {
        let mut account = self.lock();
        (std::mem::take(&mut account.periods), account.longest_gap)
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn begin(&mut self, now: Duration) {
        self.close_gap(now);
        // Before the first success there is nothing that it could be missed after.
        self.without_since = self.last_success.map(|_| now);
        self.periods.extend(Period::from(now));
    }

    fn push(&mut self, start: Duration, now: Duration, took: Duration, class: Class, reused: bool) {
        let to = self.blamed(start, now, class);
        if let Some(period) = self.periods.get_mut(to) {
            if reused { &mut period.reused } else { &mut period.fresh }.add(class);
            if class == Class::Ok {
                // It grows by itself; what cannot be recorded would take longer than anybody waits.
                let _recorded = period.took.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
        }
        if class == Class::Ok && !self.over {
            self.close_gap(now);
            self.without_since = Some(now);
            self.last_success = Some(now);
        }
    }

    /// A request belongs to the period in which it ended: that is when it was refused, reset or cut off. But one that has
    /// timed out was lost when it should have been answered: as long after its start as the slowest request in calm times.
    fn blamed(&self, start: Duration, now: Duration, class: Class) -> usize {
        let slowest = self.periods.first().map_or(Duration::ZERO, |calm| Duration::from_micros(calm.took.max()));
        let at = if class == Class::Timeout { now.min(start + slowest) } else { now };
        self.periods.iter().rposition(|period| period.began <= at).unwrap_or(0)
    }

    fn end(&mut self, now: Duration) {
        self.close_gap(now);
        self.over = true;
    }

    /// Time without a success ends now, or has reached the end of a period.
    fn close_gap(&mut self, now: Duration) {
        if let (Some(since), Some(period)) = (self.without_since, self.periods.last_mut()) {
            period.gap = period.gap.max(now.saturating_sub(since));
        }
        if let Some(last) = self.last_success {
            self.longest_gap = self.longest_gap.max(now.saturating_sub(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn account() -> Account {
        let record = Record::new();
        record.account.into_inner().expect("nobody panicked")
    }

    /// Requests that took a millisecond, at these times.
    fn push(account: &mut Account, class: Class, at: &[u64]) {
        for at in at {
            account.push(ms(at - 1), ms(*at), ms(1), class, false);
        }
    }

    fn gaps(account: &Account) -> Vec<u128> {
        account.periods.iter().map(|period| period.gap.as_millis()).collect()
    }

    #[test]
    fn a_request_belongs_to_the_restart_in_which_it_ended() {
        let mut account = account();
        push(&mut account, Class::Ok, &[5]);
        account.begin(ms(10));
        account.push(ms(8), ms(10), ms(2), Class::Cut, true);
        account.push(ms(9), ms(11), ms(2), Class::Refused, false);
        account.begin(ms(20));
        account.push(ms(19), ms(20), ms(1), Class::Race, true);
        let [calm, first, second] = account.periods.as_slice() else { panic!("{account:?}") };
        assert_eq!((calm.fresh.get(Class::Ok), calm.reused.total()), (1, 0));
        assert_eq!((first.fresh.get(Class::Refused), first.reused.get(Class::Cut), first.fresh.total()), (1, 1, 1));
        assert_eq!((second.reused.get(Class::Race), second.reused.lost()), (1, 0));
    }

    #[test]
    fn a_timeout_belongs_to_the_restart_after_which_it_should_have_been_answered() {
        let mut account = account();
        account.push(ms(0), ms(30), ms(30), Class::Ok, false);
        account.begin(ms(100));
        account.begin(ms(200));
        account.begin(ms(900));
        // In flight at the first restart, soon after it, in flight at the second; all end after the last.
        for start in [90, 110, 180] {
            account.push(ms(start), ms(start + 1000), ms(1000), Class::Timeout, false);
        }
        // In flight at the last restart, and so short a time-out that it was over before it was due.
        account.push(ms(899), ms(901), ms(2), Class::Timeout, true);
        let timeouts: Vec<usize> =
            account.periods.iter().map(|p| p.fresh.get(Class::Timeout) + p.reused.get(Class::Timeout)).collect();
        assert_eq!(timeouts, [0, 2, 1, 1]);
    }

    #[test]
    fn a_gap_is_between_successes() {
        let mut account = account();
        push(&mut account, Class::Ok, &[100]);
        push(&mut account, Class::Refused, &[150]);
        push(&mut account, Class::Ok, &[180, 190]);
        account.end(ms(195));
        push(&mut account, Class::Ok, &[500]);
        assert_eq!((gaps(&account), account.longest_gap), (vec![80], ms(80)));
    }

    #[test]
    fn an_outage_shows_in_every_period_that_it_touches_and_is_as_long_as_it_was() {
        let mut account = account();
        push(&mut account, Class::Ok, &[5, 95]);
        account.begin(ms(100));
        push(&mut account, Class::Ok, &[110]);
        account.begin(ms(200));
        push(&mut account, Class::Refused, &[250]);
        account.begin(ms(300));
        push(&mut account, Class::Ok, &[340, 360]);
        account.begin(ms(400));
        account.end(ms(450));
        assert_eq!(gaps(&account), [90, 90, 100, 40, 50]);
        assert_eq!(account.longest_gap, ms(230));
    }

    #[test]
    fn without_any_success_there_is_no_gap_but_no_success_either() {
        let mut account = account();
        push(&mut account, Class::Refused, &[5]);
        account.begin(ms(100));
        account.end(ms(200));
        assert_eq!((gaps(&account), account.longest_gap), (vec![0, 0], ms(0)));
    }

    #[tokio::test]
    async fn trouble_is_told_also_to_who_asks_later() {
        let record = Record::new();
        record.trouble(&"no port left");
        record.trouble(&"no file left");
        assert_eq!(record.troubled().await, "no port left");
    }
}
