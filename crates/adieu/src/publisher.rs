//! Publishes what happens, to tracing, systemd and standard error, on a thread of its own, as each of them may block.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::Duration;

use adieu_core::stop_plan::{Phase, Verdict, Why};

use crate::report::{Outcome, StopReport};
use crate::spans::{PhaseSpan, StopSpan, SubscriberScope};
use crate::{clock, notify};

/// What is published.
#[derive(Debug)]
pub(crate) enum Notice {
    Warning(String),
    Started(String),
    Serving {
        /// Whether to send `READY=1`.
        ready: bool,
    },
    Stopping {
        cause: String,
        grace: Duration,
        span: Arc<StopSpan>,
    },
    Enter {
        phase: Phase,
        /// The time to the deadline.
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
        /// Of a hook that has no span yet: the span of its phase, and whether it was forced.
        span: Option<(Arc<PhaseSpan>, bool)>,
    },
    Closed(Box<StopReport>),
}

/// Sends notices to the thread that publishes them, several at a time: each send wakes that thread, which takes time
/// from the stop. Dropped, it ends the thread when all notices are published.
#[derive(Debug)]
pub(crate) struct Publisher {
    waiting: RefCell<Vec<Notice>>,
    sender: Sender<Vec<Notice>>,
    finished: Receiver<()>,
}

/// This number of waiting notices is sent without waiting for a quiet moment.
const MANY: usize = 32;

impl Publisher {
    pub(crate) fn start(app: &str, scope: SubscriberScope) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Vec<Notice>>();
        let (done, finished) = mpsc::channel();
        let app = app.to_owned();
        let publish_all = move || {
            let mut spans = CurrentSpans::default();
            for notice in receiver.into_iter().flatten() {
                // The subscriber may panic. The other notices are published nevertheless.
                let _panicked = scope.call(|| spans.publish(&app, notice));
            }
            drop(done);
        };
        std::thread::Builder::new().name("adieu-publish".to_owned()).spawn(publish_all)?;
        Ok(Self { waiting: RefCell::default(), sender, finished })
    }

    /// Publishes a notice after the next [`flush`](Self::flush). Never blocks.
    pub(crate) fn publish(&self, notice: Notice) {
        self.waiting.borrow_mut().push(notice);
        if self.waiting.borrow().len() >= MANY {
            self.flush();
        }
    }

    /// Sends the waiting notices. Never blocks.
    pub(crate) fn flush(&self) {
        let waiting = self.waiting.take();
        if !waiting.is_empty() {
            // Fails only if the thread has ended by a panic of its own, and then nothing is published any more.
            let _gone = self.sender.send(waiting);
        }
    }

    /// Sends the last notices. [`Flushing::wait`] waits until they are published.
    pub(crate) fn finish(self) -> Flushing {
        self.flush();
        Flushing(self.finished)
    }
}

/// The last notices are being published.
#[derive(Debug)]
pub(crate) struct Flushing(Receiver<()>);

impl Flushing {
    /// Waits until all notices are published, but not longer than `most`.
    pub(crate) fn wait(self, most: Duration) {
        let _disconnected_or_late = self.0.recv_timeout(most);
    }

    /// Waits, as [`wait`](Self::wait), on a runtime that may have no timers. Mostly everything is published already.
    pub(crate) async fn wait_async(self, most: Duration) {
        let latest = clock::now() + most;
        while self.0.try_recv() == Err(TryRecvError::Empty) && clock::now() < latest {
            tokio::task::yield_now().await;
        }
    }
}

/// The spans that notices are published in.
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
            // A subscriber sees the span of a hook also if the hook ended before there was one.
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
