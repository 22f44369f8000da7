//! Tells the world what happens: tracing, systemd. A thread of its own, as any of these may block.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::Duration;

use adieu_core::stop_plan::{Phase, Verdict, Why};

use crate::report::{Outcome, StopReport};
use crate::spans::{Audience, PhaseSpan, StopSpan};
use crate::{clock, notify};

/// What there is to tell.
#[derive(Debug)]
pub(crate) enum News {
    Warning(String),
    Started(String),
    Serving {
        /// Whether whoever started the process is to be told.
        ready: bool,
    },
    Stopping {
        cause: String,
        grace: Duration,
        span: Arc<StopSpan>,
    },
    Enter {
        phase: Phase,
        /// How long everything may take from now on.
        left: Duration,
        span: Option<Arc<PhaseSpan>>,
    },
    Dump(String),
    Leave(Phase, Why),
    Over {
        component: String,
        phase: Phase,
        verdict: Verdict,
        error: Option<String>,
        /// The phase and whether it was forced, of a hook that has had no span of its own.
        span: Option<(Arc<PhaseSpan>, bool)>,
    },
    Closed(Box<StopReport>),
}

/// Where news go, some at a time: each delivery wakes that thread, which would keep those from their work that do the stop.
/// Dropping it ends the thread when all has been told.
#[derive(Debug)]
pub(crate) struct Teller {
    waiting: RefCell<Vec<News>>,
    news: Sender<Vec<News>>,
    told: Receiver<()>,
}

/// So many are delivered without waiting for a quiet moment.
const MANY: usize = 32;

impl Teller {
    pub(crate) fn start(app: &str, audience: Audience) -> std::io::Result<Self> {
        let (news, receiver) = mpsc::channel::<Vec<News>>();
        let (done, told) = mpsc::channel();
        let app = app.to_owned();
        let tell_all = move || {
            let mut now = Now::default();
            for news in receiver.into_iter().flatten() {
                // A subscriber of tracing is other people's code.
                let _panicked = audience.call(|| now.tell(&app, news));
            }
            drop(done);
        };
        std::thread::Builder::new().name("adieu-tell".to_owned()).spawn(tell_all)?;
        Ok(Self { waiting: RefCell::default(), news, told })
    }

    /// Never blocks; told after the next [`deliver`](Self::deliver).
    pub(crate) fn tell(&self, news: News) {
        self.waiting.borrow_mut().push(news);
        if self.waiting.borrow().len() >= MANY {
            self.deliver();
        }
    }

    /// Never blocks.
    pub(crate) fn deliver(&self) {
        let news = self.waiting.take();
        if !news.is_empty() {
            // Fails only if that thread is gone, and then nobody is told any more.
            let _told = self.news.send(news);
        }
    }

    /// Nothing more will be told. Returns what [waits](Ending::wait) until all has been told.
    pub(crate) fn end(self) -> Ending {
        self.deliver();
        Ending(self.told)
    }
}

/// The last news are being told.
#[derive(Debug)]
pub(crate) struct Ending(Receiver<()>);

impl Ending {
    /// Waits until all has been told, but not longer than `most`.
    pub(crate) fn wait(self, most: Duration) {
        let _disconnected_or_late = self.0.recv_timeout(most);
    }

    /// As [`wait`](Self::wait), on a runtime that need not know timers. Mostly all has been told already. Cancel safe.
    pub(crate) async fn told(self, most: Duration) {
        let latest = clock::now() + most;
        while self.0.try_recv() == Err(TryRecvError::Empty) && clock::now() < latest {
            tokio::task::yield_now().await;
        }
    }
}

/// Where the stop is.
#[derive(Debug, Default)]
struct Now {
    stop: Option<Arc<StopSpan>>,
    phase: Option<Arc<PhaseSpan>>,
}

impl Now {
    fn tell(&mut self, app: &str, news: News) {
        match &news {
            News::Stopping { span, .. } => self.stop = Some(Arc::clone(span)),
            News::Enter { span, .. } => self.phase.clone_from(span),
            _ => {}
        }
        let span = self.phase.as_ref().map(|phase| phase.get()).or(self.stop.as_ref().map(|stop| stop.get()));
        match span {
            Some(span) => span.in_scope(|| tell(app, &news)),
            None => tell(app, &news),
        }
        match news {
            News::Leave(..) => self.phase = None,
            News::Closed(_) => *self = Self::default(),
            _ => {}
        }
    }
}

fn tell(app: &str, news: &News) {
    match news {
        News::Warning(text) => tracing::warn!(app, "{text}"),
        News::Started(component) => tracing::debug!(app, component, "started"),
        News::Serving { ready } => {
            if *ready {
                notify::serving();
            }
            tracing::info!(app, "serving");
        }
        News::Stopping { cause, grace, .. } => {
            notify::stopping(*grace);
            tracing::info!(app, cause, grace = ?grace, "stopping");
        }
        News::Enter { phase, left, .. } => {
            notify::entered(*phase, *left);
            tracing::debug!(app, %phase, "phase begins");
        }
        News::Dump(text) => eprint!("{text}"),
        News::Leave(phase, why) => tracing::info!(app, %phase, why = why.text(), "phase ends"),
        News::Over { component, phase, verdict, error, span } => {
            // It is over, but to be seen.
            let span = span.as_ref().map(|(phase, forced)| phase.hook(component, *forced));
            drop(span);
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
