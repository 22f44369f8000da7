//! What a drill has found: per restart and in all. The names of the members are those of the JSON report.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use crate::class::Class;
use crate::record;
use crate::tally::Tally;

/// Latencies of successful requests and the longest gap, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half were faster; none when there was no success.
    pub p50_ms: Option<f64>,
    /// 99 of 100 were faster.
    pub p99_ms: Option<f64>,
    /// The slowest.
    pub max_ms: Option<f64>,
    /// The longest time without a success of any client, within this period.
    pub longest_gap_ms: f64,
}

/// What happened from one restart to the next, or before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Period {
    /// Requests on connections opened for them.
    pub fresh: Tally,
    /// Requests on connections used before.
    pub reused: Tally,
    /// Latencies and the longest gap.
    pub latency: Latency,
}

impl Period {
    /// Requests that ended so.
    #[must_use]
    pub fn count(&self, class: Class) -> usize {
        self.fresh.get(class) + self.reused.get(class)
    }

    /// Requests lost, races not counted.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.fresh.lost() + self.reused.lost()
    }
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
    /// Whether somebody else listened after it than before: other sockets or other processes. None when that cannot be
    /// known, as of a server on another machine or of another user.
    pub replaced: Option<bool>,
    /// What happened to the requests.
    #[serde(flatten)]
    pub period: Period,
}

/// All periods together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Total {
    /// Requests that have ended.
    pub requests: usize,
    /// Requests lost, before the first restart too.
    pub lost: usize,
    /// Of the requests that ended after the first restart had begun.
    pub lost_per_restart: f64,
    /// Reused idle connections that were closed as the client wrote.
    pub races: usize,
    /// The longest time without a success of any client, across restarts too, in milliseconds.
    pub longest_gap_ms: f64,
}

/// A whole drill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was loaded.
    pub url: String,
    /// Where that was.
    pub address: SocketAddr,
    /// The status of the answer before the load, which all answers must have.
    pub status: u16,
    /// The restart command.
    pub restart: String,
    /// How many clients.
    pub connections: usize,
    /// How many of them kept their connection.
    pub kept: usize,
    /// Seconds under load.
    pub seconds: f64,
    /// It was stopped before its end by who had started it: the last restart was not watched to its end.
    pub interrupted: bool,
    /// Why it ended before its end by itself, if it did.
    pub gave_up: Option<String>,
    /// Before the first restart.
    pub calm: Period,
    /// Each restart.
    pub restarts: Vec<Restarted>,
    /// All together.
    pub total: Total,
}

impl Report {
    /// Requests lost in all, races not counted.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.total.lost
    }

    /// Requests that ended so, in all.
    #[must_use]
    pub fn count(&self, class: Class) -> usize {
        self.calm.count(class) + self.restarts.iter().map(|restart| restart.period.count(class)).sum::<usize>()
    }

    /// Restart commands that failed.
    #[must_use]
    pub fn failed_restarts(&self) -> usize {
        self.restarts.iter().filter(|restart| restart.failed.is_some()).count()
    }

    /// Whether nothing was lost, every restart command succeeded and there were as many as wanted, unless interrupted.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost() == 0 && self.failed_restarts() == 0 && self.gave_up.is_none()
    }
}

/// How a restart command ended.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) took: Duration,
    pub(crate) failed: Option<String>,
    pub(crate) replaced: Option<bool>,
}

impl Period {
    fn of(period: &record::Period) -> Self {
        let took = &period.took;
        let millis = |micros: u64| (!took.is_empty()).then_some(micros as f64 / 1000.0);
        let latency = Latency {
            p50_ms: millis(took.value_at_quantile(0.5)),
            p99_ms: millis(took.value_at_quantile(0.99)),
            max_ms: millis(took.max()),
            longest_gap_ms: period.gap.as_secs_f64() * 1000.0,
        };
        Self { fresh: period.fresh, reused: period.reused, latency }
    }
}

/// The periods as the report has them: calm, then each restart with what is known of its command.
pub(crate) fn periods(periods: &[record::Period], commands: Vec<Command>) -> (Period, Vec<Restarted>) {
    let calm = periods.first().map(Period::of).unwrap_or_default();
    let restarts = periods.iter().skip(1).zip(commands).map(|(period, command)| Restarted {
        at_s: period.began.as_secs_f64(),
        took_s: command.took.as_secs_f64(),
        failed: command.failed,
        replaced: command.replaced,
        period: Period::of(period),
    });
    (calm, restarts.collect())
}

/// Their sum.
pub(crate) fn total(calm: &Period, restarts: &[Restarted], longest_gap: Duration) -> Total {
    let all = || restarts.iter().map(|restart| &restart.period).chain([calm]);
    let after: usize = restarts.iter().map(|restart| restart.period.lost()).sum();
    Total {
        requests: all().map(|period| period.fresh.total() + period.reused.total()).sum(),
        lost: all().map(Period::lost).sum(),
        lost_per_restart: after as f64 / restarts.len().max(1) as f64,
        races: all().map(|period| period.count(Class::Race)).sum(),
        longest_gap_ms: longest_gap.as_secs_f64() * 1000.0,
    }
}
