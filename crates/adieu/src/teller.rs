//! Tells the world what happens: tracing, systemd. A thread of its own, as any of these may block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use adieu_core::stop_plan::{Phase, Verdict, Why};

use crate::notify;
use crate::report::{Outcome, StopReport};

/// What there is to tell.
#[derive(Debug)]
pub(crate) enum News {
    Warning(String),
    Started(String),
    Serving,
    Stopping {
        cause: String,
        grace: Duration,
    },
    /// A phase, and how long everything may take from now on.
    Enter(Phase, Duration),
    Dump(String),
    Leave(Phase, Why),
    Over {
        component: String,
        phase: Phase,
        verdict: Verdict,
        error: Option<String>,
    },
    Closed(Box<StopReport>),
}

/// Where news go; dropping it ends the thread when all has been told.
#[derive(Debug)]
pub(crate) struct Teller {
    news: Sender<News>,
    told: Receiver<()>,
}

impl Teller {
    pub(crate) fn start(app: &str) -> std::io::Result<Self> {
        let (news, receiver) = mpsc::channel();
        let (done, told) = mpsc::channel();
        let app = app.to_owned();
        let tell_all = move || {
            for news in receiver {
                // A subscriber of tracing is other people's code.
                drop(catch_unwind(AssertUnwindSafe(|| tell(&app, &news))));
            }
            drop(done);
        };
        std::thread::Builder::new().name("adieu-tell".to_owned()).spawn(tell_all)?;
        Ok(Self { news, told })
    }

    pub(crate) fn tell(&self, news: News) {
        // Fails only if that thread is gone, and then nobody is told any more.
        let _told = self.news.send(news);
    }

    /// Waits until all has been told, but not longer than `most`.
    pub(crate) fn finish(self, most: Duration) {
        let Self { news, told } = self;
        drop(news);
        let _disconnected_or_late = told.recv_timeout(most);
    }
}

fn tell(app: &str, news: &News) {
    match news {
        News::Warning(text) => tracing::warn!(app, "{text}"),
        News::Started(component) => tracing::debug!(app, component, "started"),
        News::Serving => {
            notify::serving();
            tracing::info!(app, "serving");
        }
        News::Stopping { cause, grace } => {
            notify::stopping(*grace);
            tracing::info!(app, cause, grace = ?grace, "stopping");
        }
        News::Enter(phase, left) => {
            notify::entered(*phase, *left);
            tracing::debug!(app, %phase, "phase begins");
        }
        News::Dump(text) => eprint!("{text}"),
        News::Leave(phase, why) => tracing::info!(app, %phase, why = why.text(), "phase ends"),
        News::Over { component, phase, verdict, error } => {
            let (verdict, error) = (verdict.text(), error.as_deref());
            if verdict == Verdict::Done.text() {
                tracing::debug!(app, component, %phase, "hook done");
            } else {
                tracing::warn!(app, component, %phase, verdict, error, "hook not done");
            }
        }
        News::Closed(report) => match report.outcome {
            Outcome::Clean => tracing::info!(app, took = ?report.took, "closed"),
            Outcome::Failed | Outcome::Forced => {
                tracing::warn!(app, took = ?report.took, code = report.code(), report = report.to_json(), "closed");
            }
        },
    }
}
