//! What a drill has found: per restart and in all.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::class::Class;
use crate::record::Entry;

/// Requests by how they ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally(BTreeMap<Class, usize>);

impl Tally {
    /// How many ended so.
    #[must_use]
    pub fn get(&self, class: Class) -> usize {
        self.0.get(&class).copied().unwrap_or(0)
    }

    /// How many were lost, races not counted.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.0.iter().filter(|(class, _)| class.is_lost()).map(|(_, count)| count).sum()
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    fn add(&mut self, class: Class) {
        *self.0.entry(class).or_default() += 1;
    }
}

/// Latencies of successful requests, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_ms: f64,
    /// 99 of 100 were faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// The longest time between two successes, of whatever client.
    pub longest_gap_ms: f64,
}

/// One restart: from its beginning to that of the next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Restarted {
    /// Seconds from the start of the load to that of the restart command.
    pub at_s: f64,
    /// Seconds that the command took.
    pub took_s: f64,
    /// Why the command failed, if it did.
    pub failed: Option<String>,
    /// Requests on connections opened for them.
    pub fresh: Tally,
    /// Requests on connections used before.
    pub reused: Tally,
    /// Latencies and the longest gap.
    pub latency: Latency,
}

/// A whole drill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was loaded.
    pub url: String,
    /// How many clients.
    pub connections: usize,
    /// How many of them kept their connection.
    pub kept: usize,
    /// Seconds under load.
    pub seconds: f64,
    /// Before the first restart.
    pub calm: Latency,
    /// Requests before the first restart.
    pub calm_tally: Tally,
    /// Each restart.
    pub restarts: Vec<Restarted>,
    /// It was stopped before its end: the last restart is not complete.
    pub interrupted: bool,
}

impl Report {
    pub(crate) fn new(
        url: String,
        connections: usize,
        kept: usize,
        seconds: f64,
        entries: &[Entry],
        restarts: Vec<Window>,
    ) -> Self {
        let first = restarts.first().map_or(Duration::MAX, |window| window.began);
        let calm: Vec<Entry> = entries.iter().filter(|entry| entry.ended < first).copied().collect();
        let ends = restarts.iter().skip(1).map(|window| window.began).chain([Duration::MAX]).collect::<Vec<_>>();
        let restarts = restarts.into_iter().zip(ends).map(|(window, end)| window.report(entries, end)).collect();
        Self {
            url,
            connections,
            kept,
            seconds,
            calm: latency(&calm),
            calm_tally: tally(&calm, None),
            restarts,
            interrupted: false,
        }
    }

    /// Requests lost in all, races not counted.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.calm_tally.lost()
            + self.restarts.iter().map(|restart| restart.fresh.lost() + restart.reused.lost()).sum::<usize>()
    }

    /// Requests that ended so, in all.
    #[must_use]
    pub fn count(&self, class: Class) -> usize {
        let restarts = self.restarts.iter().map(|restart| restart.fresh.get(class) + restart.reused.get(class));
        self.calm_tally.get(class) + restarts.sum::<usize>()
    }

    /// Restart commands that failed.
    #[must_use]
    pub fn failed_restarts(&self) -> usize {
        self.restarts.iter().filter(|restart| restart.failed.is_some()).count()
    }

    /// The longest gap between two successes after the first restart, in milliseconds.
    #[must_use]
    pub fn longest_gap_ms(&self) -> f64 {
        self.restarts.iter().map(|restart| restart.latency.longest_gap_ms).fold(0.0, f64::max)
    }

    /// Whether nothing was lost and every restart command succeeded.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost() == 0 && self.failed_restarts() == 0
    }

    /// The report for people: a line for each restart, then the verdict.
    #[must_use]
    pub fn render_text(&self) -> String {
        let mut text = String::new();
        let (url, kept, fresh) = (&self.url, self.kept, self.connections - self.kept);
        let _ = writeln!(
            text,
            "{url}: {fresh} clients with a connection for each request, {kept} that keep theirs, {:.1} s",
            self.seconds
        );
        let _ = writeln!(
            text,
            "{:>8}  {:>7} {:>7}  {:<34} {:>5}  {:>8} {:>8} {:>8} {:>8}",
            "restart", "took s", "ok", "lost", "race", "p50 ms", "p99 ms", "max ms", "gap ms"
        );
        let _ = writeln!(text, "{}", line("calm", None, &[&self.calm_tally], self.calm));
        for (number, restart) in (1..).zip(&self.restarts) {
            let tallies = [&restart.fresh, &restart.reused];
            let _ = writeln!(text, "{}", line(&number.to_string(), Some(restart.took_s), &tallies, restart.latency));
            if let Some(why) = &restart.failed {
                let _ = writeln!(text, "          {why}");
            }
        }
        let (lost, races, restarts) = (self.lost(), self.count(Class::Race), self.restarts.len());
        let each = if restarts == 0 { 0.0 } else { lost as f64 / restarts as f64 };
        let fresh: usize = self.restarts.iter().map(|restart| restart.fresh.lost()).sum();
        let reused: usize = self.restarts.iter().map(|restart| restart.reused.lost()).sum();
        let _ = writeln!(
            text,
            "{} requests, {restarts} restarts: {lost} lost ({each:.2} per restart; {fresh} on fresh connections, {reused} on reused ones), {races} races on reused idle connections",
            self.count(Class::Ok) + lost + races
        );
        if self.interrupted {
            let _ = writeln!(text, "interrupted: the last restart was not watched to its end");
        }
        text
    }
}

fn line(name: &str, took: Option<f64>, tallies: &[&Tally], latency: Latency) -> String {
    let count = |class| tallies.iter().map(|tally| tally.get(class)).sum::<usize>();
    let lost: Vec<String> = Class::ALL
        .iter()
        .filter(|class| class.is_lost() && count(**class) > 0)
        .map(|class| format!("{} {class}", count(*class)))
        .collect();
    let lost = if lost.is_empty() { "0".to_owned() } else { lost.join(", ") };
    let took = took.map_or_else(String::new, |took| format!("{took:.2}"));
    format!(
        "{name:>8}  {took:>7} {:>7}  {lost:<34} {:>5}  {:>8.1} {:>8.1} {:>8.1} {:>8.1}",
        count(Class::Ok),
        count(Class::Race),
        latency.p50_ms,
        latency.p99_ms,
        latency.max_ms,
        latency.longest_gap_ms
    )
}

/// When a restart was, and how its command ended.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) began: Duration,
    pub(crate) took: Duration,
    pub(crate) failed: Option<String>,
}

impl Window {
    fn report(self, entries: &[Entry], end: Duration) -> Restarted {
        let within: Vec<Entry> =
            entries.iter().filter(|entry| entry.ended >= self.began && entry.ended < end).copied().collect();
        Restarted {
            at_s: self.began.as_secs_f64(),
            took_s: self.took.as_secs_f64(),
            failed: self.failed,
            fresh: tally(&within, Some(false)),
            reused: tally(&within, Some(true)),
            latency: latency(&within),
        }
    }
}

fn tally(entries: &[Entry], reused: Option<bool>) -> Tally {
    let mut tally = Tally::default();
    entries
        .iter()
        .filter(|entry| reused.is_none_or(|reused| entry.reused == reused))
        .for_each(|entry| tally.add(entry.class));
    tally
}

/// Latencies of the successes among `entries`, and the longest time without one.
fn latency(entries: &[Entry]) -> Latency {
    let mut successes: Vec<&Entry> = entries.iter().filter(|entry| entry.class == Class::Ok).collect();
    successes.sort_unstable_by_key(|entry| entry.ended);
    // Three digits over microseconds to an hour: a histogram with these bounds can always be made.
    let Ok(mut histogram) = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3) else { return Latency::default() };
    for entry in &successes {
        histogram.saturating_record(u64::try_from(entry.took.as_micros()).unwrap_or(u64::MAX));
    }
    let gap = successes.windows(2).filter_map(|pair| Some(pair.last()?.ended - pair.first()?.ended)).max();
    let millis = |micros: u64| micros as f64 / 1000.0;
    Latency {
        p50_ms: millis(histogram.value_at_quantile(0.5)),
        p99_ms: millis(histogram.value_at_quantile(0.99)),
        max_ms: millis(histogram.max()),
        longest_gap_ms: gap.unwrap_or_default().as_secs_f64() * 1000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ended: u64, class: Class, reused: bool) -> Entry {
        Entry { ended: Duration::from_millis(ended), took: Duration::from_millis(1), class, reused }
    }

    #[test]
    fn every_request_belongs_to_the_restart_in_which_it_ended() {
        let window = |began| Window { began: Duration::from_millis(began), took: Duration::ZERO, failed: None };
        let entries = [
            entry(1, Class::Ok, false),
            entry(10, Class::Refused, false),
            entry(19, Class::Ok, true),
            entry(20, Class::Race, true),
            entry(99, Class::Cut, true),
        ];
        let report = Report::new("x".to_owned(), 2, 1, 1.0, &entries, vec![window(10), window(20)]);
        assert_eq!((report.lost(), report.count(Class::Race), report.calm_tally.total()), (2, 1, 1));
        assert_eq!(report.restarts[0].fresh.get(Class::Refused), 1);
        assert_eq!(report.restarts[1].reused.get(Class::Cut), 1);
        assert!(!report.is_clean());
        assert!(report.render_text().contains("2 lost"));
    }

    #[test]
    fn the_gap_is_between_successes_only() {
        let entries = [
            entry(0, Class::Ok, false),
            entry(50, Class::Refused, false),
            entry(80, Class::Ok, false),
            entry(90, Class::Ok, false),
        ];
        assert!((latency(&entries).longest_gap_ms - 80.0).abs() < 0.01);
    }
}
