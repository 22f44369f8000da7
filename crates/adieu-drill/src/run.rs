//! A whole drill: calm, restart after restart, report.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::class::Class;
use crate::client::{client, request};
use crate::config::Config;
use crate::exchange::exchange;
use crate::progress::Progress;
use crate::record::Record;
use crate::report::{Report, Window};
use crate::restart::restart;

/// A drill that could not begin.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// Nothing answers.
    #[error("nothing answers at {0} ({1}): start the server before the drill")]
    NotThere(String, String),
    /// Something answers, but not as it should.
    #[error(
        "what answers at {0} is not the server that is meant ({1}): check the URL, --expect, and who listens on that port"
    )]
    SomethingElse(String, String),
    /// Numbers that make no sense.
    #[error("{0}")]
    BadNumber(&'static str),
}

/// Runs the drill and hands `progress` how far it is, about ten times a second. When `stop` is done the drill ends where it
/// is, and reports that much. Dropping the future ends the load and kills the restart command that runs.
///
/// # Errors
/// [`DrillError`] before any load: the server must be there and answer as expected.
pub async fn run(
    config: Config,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(Progress),
) -> Result<Report, DrillError> {
    if config.connections == 0 {
        return Err(DrillError::BadNumber("there must be at least one connection"));
    }
    if config.keepalive > 100 {
        return Err(DrillError::BadNumber("keepalive is a percentage from 0 to 100"));
    }
    check(&config).await?;
    let config = Arc::new(config);
    let record = Arc::new(Record::default());
    let (end, over) = watch::channel(false);
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..config.connections {
        let (config, record, over) = (Arc::clone(&config), Arc::clone(&record), over.clone());
        clients.spawn(async move { client(&config, number < config.kept(), began, &record, over).await });
    }
    let mut windows = Vec::new();
    let mut tick = |restarts: usize| {
        let (requests, lost) = record.counts();
        progress(Progress { restarts, of: config.count, requests, lost });
    };
    let mut stop = std::pin::pin!(stop);
    let mut stopped = during(tokio::time::sleep(config.calm), &mut stop, || tick(0)).await.is_none();
    for number in 0..config.count {
        if stopped {
            break;
        }
        let start = Instant::now();
        let ended = during(restart(&config.restart, config.restart_timeout), &mut stop, || tick(number)).await;
        let failed = ended.as_ref().and_then(|ended| ended.clone().err());
        windows.push(Window { began: start - began, took: start.elapsed(), failed });
        let pause = tokio::time::sleep(pause(&config, began, number));
        stopped = ended.is_none() || during(pause, &mut stop, || tick(number + 1)).await.is_none();
    }
    end.send_replace(true);
    while clients.join_next().await.is_some() {}
    tick(windows.len());
    let url = format!("http://{}{}", config.target.host, config.target.path);
    let seconds = began.elapsed().as_secs_f64();
    let mut report = Report::new(url, config.connections, config.kept(), seconds, &record.take(), windows);
    report.interrupted = stopped;
    Ok(report)
}

/// What is left of the whole duration, shared by the restarts to come; without one, the pause as it was given.
fn pause(config: &Config, began: Instant, done: usize) -> Duration {
    let Some(duration) = config.duration else { return config.pause };
    let left = duration.saturating_sub(began.elapsed());
    left / u32::try_from(config.count - done).unwrap_or(u32::MAX).max(1)
}

/// One request, before anything is started.
async fn check(config: &Config) -> Result<(), DrillError> {
    let address = config.target.address.to_string();
    let connected = tokio::time::timeout(config.timeout, TcpStream::connect(config.target.address)).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(DrillError::NotThere(address, error.to_string())),
        Err(_) => return Err(DrillError::NotThere(address, "no connection in time".to_owned())),
    };
    match exchange(&mut stream, &request(config, false), false, config.timeout, config.expect.as_deref()).await.class {
        Class::Ok => Ok(()),
        class => Err(DrillError::SomethingElse(address, class.to_string())),
    }
}

/// Awaits `work`, ticking beside it; `None` when `stop` was done first.
async fn during<T>(
    work: impl Future<Output = T>,
    stop: &mut Pin<&mut impl Future<Output = ()>>,
    mut tick: impl FnMut(),
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            () = stop.as_mut() => return None,
            _ = beat.tick() => tick(),
        }
    }
}
