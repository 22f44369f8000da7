//! Tells the world what happens: tracing, systemd. A thread of its own, as any of these may block.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::Duration;

use adieu_core::stop_plan::{Phase, Verdict, Why};

use crate::report::{Outcome, StopReport};
use crate::spans::{PhaseSpan, StopSpan, SubscriberScope};
use crate::{clock, notify};

/// What there is to tell.
#[derive(Debug)]
pub(crate) enum Notice {
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
pub(crate) struct Publisher {
    waiting: RefCell<Vec<Notice>>,
    sender: Sender<Vec<Notice>>,
    finished: Receiver<()>,
}

/// So many are delivered without waiting for a quiet moment.
const MANY: usize = 32;

impl Publisher {
    pub(crate) fn start(app: &str, scope: SubscriberScope) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Vec<Notice>>();
        let (done, finished) = mpsc::channel();
        let app = app.to_owned();
        let publish_all = move || {
            let mut spans = CurrentSpans::default();
            for notice in receiver.into_iter().flatten() {
                // A subscriber of tracing is other people's code.
                let _panicked = scope.call(|| spans.publish(&app, notice));
            }
            drop(done);
        };
        std::thread::Builder::new().name("adieu-publish".to_owned()).spawn(publish_all)?;
        Ok(Self { waiting: RefCell::default(), sender, finished })
    }

    /// Never blocks; told after the next [`flush`](Self::flush).
    pub(crate) fn publish(&self, notice: Notice) {
        self.waiting.borrow_mut().push(notice);
        if self.waiting.borrow().len() >= MANY {
            self.flush();
        }
    }

    /// Never blocks.
    pub(crate) fn flush(&self) {
        let waiting = self.waiting.take();
        if !waiting.is_empty() {
            // Fails only if that thread is gone, and then nobody is told any more.
            let _gone = self.sender.send(waiting);
        }
    }

    /// Nothing more will be told. Returns what [waits](Flushing::wait) until all has been told.
    pub(crate) fn finish(self) -> Flushing {
        self.flush();
        Flushing(self.finished)
    }
}

/// The last news are being told.
#[derive(Debug)]
pub(crate) struct Flushing(Receiver<()>);

impl Flushing {
    /// Waits until all has been told, but not longer than `most`.
    pub(crate) fn wait(self, most: Duration) {
        let _disconnected_or_late = self.0.recv_timeout(most);
    }

    /// As [`wait`](Self::wait), on a runtime that need not know timers. Mostly all has been told already. Cancel safe.
    pub(crate) async fn wait_async(self, most: Duration) {
        let latest = clock::now() + most;
        while self.0.try_recv() == Err(TryRecvError::Empty) && clock::now() < latest {
            tokio::task::yield_now().await;
        }
    }
}

/// Where the stop is.
#[derive(Debug, Default)]
struct CurrentSpans {
    stop: Option<Arc<StopSpan>>,
    phase: Option<Arc<PhaseSpan>>,
}

impl CurrentSpans {
    fn publish(&mut self, app: &str, notice: Notice) {
        match &notice {
            Notice::Stopping { span, .. } => self.stop = Some(Arc::clone(span)),
            Notice::Enter { span, .. } => self.phase.clone_from(span),
            _ => {}
        }
        let span = self.phase.as_ref().map(|phase| phase.get()).or(self.stop.as_ref().map(|stop| stop.get()));
        match span {
            Some(span) => span.in_scope(|| publish(app, &notice)),
            None => publish(app, &notice),
        }
        match notice {
            Notice::Leave(..) => self.phase = None,
            Notice::Closed(_) => *self = Self::default(),
            _ => {}
        }
    }
}

fn publish(app: &str, notice: &Notice) {
    match notice {
        Notice::Warning(text) => tracing::warn!(app, "{text}"),
        Notice::Started(component) => tracing::debug!(app, component, "started"),
        Notice::Serving { ready } => {
            if *ready {
                notify::serving();
            }
            tracing::info!(app, "serving");
        }
        Notice::Stopping { cause, grace, .. } => {
            notify::stopping(*grace);
            tracing::info!(app, cause, grace = ?grace, "stopping");
        }
        Notice::Enter { phase, left, .. } => {
            notify::entered(*phase, *left);
            tracing::debug!(app, %phase, "phase begins");
        }
        Notice::Dump(text) => eprint!("{text}"),
        Notice::Leave(phase, why) => tracing::info!(app, %phase, why = why.text(), "phase ends"),
        Notice::Over { component, phase, verdict, error, span } => {
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
        Notice::Closed(report) => match report.outcome {
            Outcome::Clean => tracing::info!(app, took = ?report.took, "closed"),
            Outcome::Failed | Outcome::Forced => {
                tracing::warn!(app, took = ?report.took, code = report.code(), report = report.to_json(), "closed");
            }
        },
    }
}
