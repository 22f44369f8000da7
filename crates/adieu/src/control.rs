use std::sync::Arc;
use std::sync::mpsc;

use adieu_core::Timestamp;
use adieu_core::stop_plan::{ComponentId, End, Phase};
use tokio::sync::watch;

use crate::children::Children;
use crate::fd_reserve::FdReserve;
use crate::in_flight::InFlight;
use crate::report::Cause;

/// How far the application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Components are being registered or started.
    Starting,
    /// All have started.
    Serving,
    /// The stop is in this phase.
    Stopping(Phase),
    /// Everything is over.
    Closed,
}

/// What the conductor is told.
#[derive(Debug)]
pub(crate) enum Message {
    Signal(Timestamp, i32),
    Close(Cause),
    Force,
    /// Say what is running.
    Dump,
    StartEnded(ComponentId, End, Option<String>),
    HookEnded(ComponentId, Phase, End, Option<String>),
    /// The application has taken the report and let go of everything.
    Gone,
}

/// Where messages for the conductor go.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    to: mpsc::Sender<Message>,
    #[cfg(feature = "testing")]
    arrived: Arc<tokio::sync::Notify>,
}

impl Mailbox {
    /// Never blocks. Nobody listens any more when everything is over, and there is nothing to tell then.
    pub(crate) fn send(&self, message: Message) {
        let _over = self.to.send(message);
        #[cfg(feature = "testing")]
        self.arrived.notify_one();
    }

    /// Returns when something has been sent since the last time. Cancel safe.
    #[cfg(feature = "testing")]
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

/// A handle to a running application: cheap to clone, to be had from [`App::control`](crate::App::control) and from
/// every context.
#[derive(Debug, Clone)]
pub struct Control {
    inner: Arc<ControlInner>,
}

#[derive(Debug)]
struct ControlInner {
    messages: Mailbox,
    stage: watch::Sender<Stage>,
    in_flight: InFlight,
    children: Children,
    fd_reserve: FdReserve,
}

impl Control {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (to, receiver) = mpsc::channel();
        let messages = Mailbox {
            to,
            #[cfg(feature = "testing")]
            arrived: Arc::default(),
        };
        let (stage, in_flight, children) = (watch::Sender::new(Stage::Starting), InFlight::new(), Children::default());
        let inner = ControlInner { messages, stage, in_flight, children, fd_reserve: FdReserve::default() };
        (Self { inner: Arc::new(inner) }, receiver)
    }

    /// Asks for a stop. Asking again, from wherever, is nothing; so is asking when everything is over.
    pub fn close(&self) {
        self.send(Message::Close(Cause::Asked));
    }

    /// Cuts the deadline to now, as a second signal does.
    pub fn force(&self) {
        self.send(Message::Force);
    }

    /// Writes to standard error what is running: which components have started, which hooks run and for how long, who is in
    /// flight. SIGUSR1 does the same.
    pub fn dump(&self) {
        self.send(Message::Dump);
    }

    /// How far the application is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.inner.stage.borrow()
    }

    /// Returns when everything has started, or when a stop has begun before that; at once if it has already. Cancel safe.
    pub async fn serving(&self) {
        self.reached(Stage::Serving).await;
    }

    /// Returns when the stop has begun; at once if it has already. Cancel safe.
    pub async fn stopping(&self) {
        self.reached(Stage::Stopping(Phase::Announce)).await;
    }

    /// Returns when the stop has come to `phase` or beyond; at once if it has already. Cancel safe.
    pub async fn entered(&self, phase: Phase) {
        self.reached(Stage::Stopping(phase)).await;
    }

    /// Returns when everything is over. Cancel safe. Not for hooks: everything is never over while one of them waits for it; nor
    /// for tasks of the application, whose runtime goes then too: that is what [`App::on_closed`](crate::App::on_closed) is for.
    pub async fn closed(&self) {
        self.reached(Stage::Closed).await;
    }

    /// Work that a stop waits for.
    #[must_use]
    pub fn in_flight(&self) -> &InFlight {
        &self.inner.in_flight
    }

    /// Cancel safe.
    pub(crate) async fn reached(&self, stage: Stage) {
        let mut watched = self.inner.stage.subscribe();
        // The sender lives as long as `self`: no error is possible.
        let _reached = watched.wait_for(|now| *now >= stage).await;
    }

    pub(crate) fn send(&self, message: Message) {
        self.inner.messages.send(message);
    }

    pub(crate) fn mailbox(&self) -> Mailbox {
        self.inner.messages.clone()
    }

    /// The child processes, which must not outlive the application.
    pub(crate) fn children(&self) -> &Children {
        &self.inner.children
    }

    /// The descriptors that are kept back for the stop.
    pub(crate) fn fd_reserve(&self) -> &FdReserve {
        &self.inner.fd_reserve
    }

    /// The stage only ever moves on.
    pub(crate) fn move_on(&self, to: Stage) {
        self.inner.stage.send_if_modified(|now| {
            let moves = to > *now;
            if moves {
                *now = to;
            }
            moves
        });
    }
}
