//! A whole drill: calm, restart after restart, report.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Errand, client};
use crate::config::{BadNumber, Config};
use crate::listeners::{self, Listeners};
use crate::progress::Progress;
use crate::record::Record;
use crate::report::{Command, Report, periods, total};
use crate::restart::{Failed, restart};
use crate::start::{NotStarted, Ready, look};

/// A restart command that runs when the drill ends early may still finish within this time: a server that is stopped and
/// not yet started again helps nobody.
const TO_FINISH: Duration = Duration::from_secs(5);

/// On a terminal Ctrl-C reaches the restart command too, and either may be heard of first.
const SAME_MOMENT: Duration = Duration::from_millis(200);

/// A drill that could not begin.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The server is not there, or not as it should be.
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    /// Numbers that make no sense.
    #[error(transparent)]
    BadNumber(#[from] BadNumber),
    /// Stopped before the load began.
    #[error("stopped before the load began")]
    Stopped,
}

/// Runs the drill and hands `progress` how far it is, about ten times a second. When `stop` is done the drill ends where it
/// is and reports that much: requests in flight are not counted, and a restart command that runs has 5 s to finish before it
/// is killed. Dropping the future ends the load and kills the restart command at once, with all that it has started.
///
/// # Errors
/// [`DrillError`] before any load: the server must be there and answer as expected.
pub async fn run(
    config: Config,
    stop: impl Future<Output = ()>,
    progress: impl FnMut(Progress),
) -> Result<Report, DrillError> {
    config.check()?;
    let mut stop = std::pin::pin!(stop);
    let ready = tokio::select! {
        ready = look(&config) => ready?,
        () = stop.as_mut() => return Err(DrillError::Stopped),
    };
    let Ready { address, status, listeners } = ready;
    let errand = Arc::new(Errand { config, address, status: Some(status) });
    let record = Arc::new(Record::new());
    let (end, over) = watch::channel(false);
    let mut clients = JoinSet::new();
    for number in 0..errand.config.connections {
        let (errand, record, over) = (Arc::clone(&errand), Arc::clone(&record), over.clone());
        clients.spawn(async move { client(&errand, number < errand.config.kept(), &record, over).await });
    }
    let watched = Watched { stop: Some(stop), progress, record: &record, done: 0, of: errand.config.count };
    let mut drill = Drill { errand: &errand, watched, listeners, commands: Vec::new() };
    let mut ended = drill.restarts().await;
    record.end();
    end.send_replace(true);
    if matches!(ended, Ok(()) | Err(Early::Hung(_))) {
        // What is in flight is counted too, unless somebody has no patience.
        let last = drill.watched.during(async { while clients.join_next().await.is_some() {} }).await;
        ended = ended.and(last);
    }
    clients.shutdown().await;
    let seconds = record.age().as_secs_f64();
    drill.watched.tick();
    let commands = drill.commands;
    Ok(report(&errand, status, &record, commands, seconds, ended.err()))
}

/// Why a drill ended before its end.
#[derive(Debug)]
enum Early {
    /// Who started it wants it so.
    Interrupted,
    /// This machine cannot load the server as it should.
    Trouble(String),
    /// A restart command did not end: who knows what the next would do.
    Hung(String),
}

struct Drill<'a, S, P> {
    errand: &'a Errand,
    watched: Watched<'a, S, P>,
    /// Who listened when last looked.
    listeners: Option<Listeners>,
    commands: Vec<Command>,
}

impl<S: Future<Output = ()>, P: FnMut(Progress)> Drill<'_, S, P> {
    /// Calm, then all restarts.
    async fn restarts(&mut self) -> Result<(), Early> {
        let config = &self.errand.config;
        self.watched.during(sleep(config.calm)).await?;
        for number in 0..config.count {
            self.restart().await?;
            self.watched.done = number + 1;
            let pause = pause(config, self.watched.record.age(), number);
            self.watched.during(sleep(pause)).await?;
            self.look_who_listens().await?;
        }
        Ok(())
    }

    /// One restart command, to its end.
    async fn restart(&mut self) -> Result<(), Early> {
        let config = &self.errand.config;
        let began = Instant::now();
        self.watched.record.begin_restart();
        let mut command = std::pin::pin!(restart(&config.restart, config.restart_timeout));
        let ended = self.watched.during(command.as_mut()).await;
        let took = began.elapsed();
        let (failed, early) = match ended {
            Ok(Ok(())) => (None, Ok(())),
            Ok(Err(hung @ Failed::Hung(..))) => {
                let why = "the restart command did not end".to_owned();
                (Some(hung.to_string()), Err(Early::Hung(why)))
            }
            Ok(Err(failed)) => match self.watched.during(sleep(SAME_MOMENT)).await {
                Err(Early::Interrupted) => (None, Err(Early::Interrupted)),
                other => (Some(failed.to_string()), other),
            },
            Err(early) => match timeout(TO_FINISH, command).await {
                Ok(_) => (None, Err(early)),
                Err(_) => {
                    let command = &config.restart;
                    let why = format!(
                        "`{command}` did not end when the drill was stopped and was killed after {TO_FINISH:?}: see whether the server runs"
                    );
                    (Some(why), Err(early))
                }
            },
        };
        self.commands.push(Command { took, failed, replaced: None });
        early
    }

    /// Whether the restart has changed who listens. At the end of its period: what it has started may need a while.
    async fn look_who_listens(&mut self) -> Result<(), Early> {
        let Some(before) = &self.listeners else { return Ok(()) };
        let address = self.errand.address;
        let looked = self.watched.during(spawn_blocking(move || listeners::at(address))).await?;
        let Ok(Some(now)) = looked else { return Ok(()) };
        if let Some(last) = self.commands.last_mut() {
            last.replaced = now.are_others_than(before);
        }
        self.listeners = Some(now);
        Ok(())
    }
}

/// What is done beside everything else: looking whether to stop, and telling how far it is.
struct Watched<'a, S, P> {
    /// Not looked at again once it is done.
    stop: Option<Pin<&'a mut S>>,
    progress: P,
    record: &'a Record,
    done: usize,
    of: usize,
}

impl<S: Future<Output = ()>, P: FnMut(Progress)> Watched<'_, S, P> {
    fn tick(&mut self) {
        let (requests, lost) = self.record.counts();
        (self.progress)(Progress { restarts: self.done, of: self.of, requests, lost });
    }

    /// Awaits `work`, unless the drill is to end before.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Early> {
        let mut work = std::pin::pin!(work);
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        loop {
            let stop = async {
                match &mut self.stop {
                    Some(stop) => stop.as_mut().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop => {
                    self.stop = None;
                    return Err(Early::Interrupted);
                }
                why = self.record.troubled() => return Err(Early::Trouble(why)),
                done = &mut work => return Ok(done),
                _ = beat.tick() => self.tick(),
            }
        }
    }
}

/// What is left of the whole duration, shared by the restarts to come; without one, the pause as it was given.
fn pause(config: &Config, age: Duration, done: usize) -> Duration {
    let Some(duration) = config.duration else { return config.pause };
    let left = duration.saturating_sub(age);
    left / u32::try_from(config.count - done).unwrap_or(u32::MAX).max(1)
}

fn report(
    errand: &Errand,
    status: u16,
    record: &Record,
    commands: Vec<Command>,
    seconds: f64,
    early: Option<Early>,
) -> Report {
    let Errand { config, address, .. } = errand;
    let (all, longest_gap) = record.take();
    let (calm, restarts) = periods(&all, commands);
    let total = total(&calm, &restarts, longest_gap);
    let (interrupted, gave_up) = match early {
        None => (false, None),
        Some(Early::Interrupted) => (true, None),
        Some(Early::Hung(why)) => (false, Some(why)),
        Some(Early::Trouble(why)) => (
            false,
            Some(format!("this machine cannot open more connections ({why}): fewer --connections or more --keepalive")),
        ),
    };
    Report {
        url: config.target.url(),
        address: *address,
        status,
        restart: config.restart.clone(),
        connections: config.connections,
        kept: config.kept(),
        seconds,
        interrupted,
        gave_up,
        calm,
        restarts,
        total,
    }
}
