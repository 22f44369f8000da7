//! The report for people: a line for each restart, then the verdict.

use std::fmt::Write;

use crate::class::Class;
use crate::report::{Period, Report};
use crate::tally::Tally;

impl Report {
    /// The report for people.
    #[must_use]
    pub fn render_text(&self) -> String {
        let mut text = String::new();
        let Self { url, address, status, kept, seconds, .. } = self;
        let each = self.connections - kept;
        let _ = writeln!(
            text,
            "{url} ({address}, answers {status}): {each} clients with a connection for each request, {kept} that keep theirs, {seconds:.1} s"
        );
        let _ = writeln!(text, "restarted by: {}", self.restart);
        text.push_str(&self.render_table());
        text
    }

    /// The restarts and the verdict.
    pub(crate) fn render_table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:>7} {:>7} {:>8} {:>11} {:>11} {:>6} {:>8} {:>8} {:>8} {:>8}",
            "restart", "took s", "ok", "lost fresh", "lost reused", "races", "p50 ms", "p99 ms", "max ms", "gap ms"
        );
        let _ = writeln!(text, "{}", line("calm", "", &self.calm));
        for (number, restart) in (1..).zip(&self.restarts) {
            let _ = writeln!(text, "{}", line(&number.to_string(), &format!("{:.2}", restart.took_s), &restart.period));
            if let Some(why) = &restart.failed {
                let _ = writeln!(text, "        {why}");
            } else if restart.replaced == Some(false) {
                let _ = writeln!(
                    text,
                    "        the same processes listen as before: does the command restart this server?"
                );
            }
        }
        self.render_verdict(&mut text);
        text
    }

    fn render_verdict(&self, text: &mut String) {
        let total = &self.total;
        let restarts = self.restarts.len();
        let before = match self.calm.lost() {
            0 => String::new(),
            lost => format!(", and {lost} before the first"),
        };
        let _ = writeln!(
            text,
            "{} requests, {restarts} restarts: {} lost ({:.2} per restart{before}), {} races on reused idle connections; longest gap {:.1} ms, {:.1} ms in calm times",
            total.requests,
            total.lost,
            total.lost_per_restart,
            total.races,
            total.longest_gap_ms,
            self.calm.latency.longest_gap_ms
        );
        if let Some(why) = &self.gave_up {
            let _ = writeln!(text, "given up: {why}");
        }
        if self.interrupted {
            let _ = writeln!(text, "interrupted: the last restart was not watched to its end");
        }
    }
}

fn line(name: &str, took: &str, period: &Period) -> String {
    let latency = period.latency;
    let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let mut line = format!(
        "{name:>7} {took:>7} {:>8} {:>11} {:>11} {:>6} {:>8} {:>8} {:>8} {:>8.1}",
        period.count(Class::Ok),
        period.fresh.lost(),
        period.reused.lost(),
        period.count(Class::Race),
        ms(latency.p50_ms),
        ms(latency.p99_ms),
        ms(latency.max_ms),
        latency.longest_gap_ms
    );
    let lost = [("fresh", period.fresh), ("reused", period.reused)];
    let lost: Vec<String> =
        lost.iter().filter(|(_, tally)| tally.lost() > 0).map(|(on, tally)| named(on, tally)).collect();
    if !lost.is_empty() {
        let _ = write!(line, "  {}", lost.join("; "));
    }
    line
}

/// `fresh: 3 refused, 1 cut off`
fn named(on: &str, tally: &Tally) -> String {
    let classes = Class::ALL.iter().filter(|class| class.is_lost() && tally.get(**class) > 0);
    let classes: Vec<String> = classes.map(|class| format!("{} {class}", tally.get(*class))).collect();
    format!("{on}: {}", classes.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::{Latency, Restarted, total};

    fn tally(classes: &[(Class, usize)]) -> Tally {
        let mut tally = Tally::default();
        for (class, times) in classes {
            (0..*times).for_each(|_| tally.add(*class));
        }
        tally
    }

    #[test]
    fn a_report() {
        let latency = Latency { p50_ms: Some(1.0), p99_ms: Some(2.5), max_ms: Some(3.25), longest_gap_ms: 4.0 };
        let calm = Period { fresh: tally(&[(Class::Ok, 12), (Class::Timeout, 1)]), latency, ..Period::default() };
        let bad = Period {
            fresh: tally(&[(Class::Refused, 3), (Class::Cut, 1)]),
            reused: tally(&[(Class::Reset, 2), (Class::Race, 1)]),
            latency: Latency { longest_gap_ms: 500.0, ..Latency::default() },
        };
        let restart = |failed: Option<&str>, period| Restarted {
            at_s: 1.0,
            took_s: 0.25,
            failed: failed.map(str::to_owned),
            replaced: Some(false),
            period,
        };
        let restarts = vec![restart(Some("it failed"), bad), restart(None, Period { latency, ..Period::default() })];
        let total = total(&calm, &restarts, Duration::from_millis(510));
        let report = Report {
            url: "http://x/".to_owned(),
            address: ([127, 0, 0, 1], 80).into(),
            status: 200,
            restart: "again".to_owned(),
            connections: 4,
            kept: 1,
            seconds: 3.0,
            interrupted: true,
            gave_up: None,
            calm,
            restarts,
            total,
        };
        let expected = "\
http://x/ (127.0.0.1:80, answers 200): 3 clients with a connection for each request, 1 that keep theirs, 3.0 s
restarted by: again
restart  took s       ok  lost fresh lost reused  races   p50 ms   p99 ms   max ms   gap ms
   calm               12           1           0      0      1.0      2.5      3.2      4.0  fresh: 1 timeout
      1    0.25        0           4           2      1        -        -        -    500.0  fresh: 3 refused, 1 cut off; reused: 2 reset
        it failed
      2    0.25        0           0           0      0      1.0      2.5      3.2      4.0
        the same processes listen as before: does the command restart this server?
20 requests, 2 restarts: 7 lost (3.00 per restart, and 1 before the first), 1 races on reused idle connections; longest gap 510.0 ms, 4.0 ms in calm times
interrupted: the last restart was not watched to its end
";
        assert_eq!(report.render_text(), expected);
        assert!(!report.is_clean());
    }
}
