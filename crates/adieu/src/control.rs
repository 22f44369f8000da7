//! Handles to a running application, and the messages that they send to its conductor.

use std::sync::Arc;
use std::sync::mpsc;

use adieu_core::Timestamp;
use adieu_core::stop_plan::{ComponentId, End, Phase};
use tokio::sync::watch;

use crate::children::Children;
use crate::fd_reserve::FdReserve;
use crate::in_flight::InFlight;
use crate::report::Cause;

/// How far an application is. Only ever moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Components are described or started.
    Starting,
    /// All components have started.
    Serving,
    /// The stop is in this phase.
    Stopping(Phase),
    /// The stop is over.
    Closed,
}

/// A message to the conductor.
#[derive(Debug)]
pub(crate) enum Message {
    Signal(Timestamp, i32),
    Close(Cause),
    Force,
    /// Publish what is running.
    Dump,
    StartEnded(ComponentId, End, Option<String>),
    HookEnded(ComponentId, Phase, End, Option<String>),
    /// The application has taken the report and let go of everything.
    Gone,
}

/// Sends messages to the conductor.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    to: mpsc::Sender<Message>,
    #[cfg(feature = "testing")]
    arrived: Arc<tokio::sync::Notify>,
}

impl Mailbox {
    /// Never blocks. When the conductor is gone the stop is over, and the message is of no use.
    pub(crate) fn send(&self, message: Message) {
        let _over = self.to.send(message);
        #[cfg(feature = "testing")]
        self.arrived.notify_one();
    }

    /// Returns when a message has been sent since the last call. Cancel safe.
    #[cfg(feature = "testing")]
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

/// A handle to an application: it asks for a stop, waits for stages, and puts work in flight. Cheap to clone.
///
/// [`App::control`](crate::App::control) and [`Shutdown::control`](crate::Shutdown::control) make it; every context
/// dereferences to it.
///
/// # Guarantees
///
/// - Stages are latched: a wait for a stage that has passed returns at once, so no change is missed.
/// - All methods may be called at any time from any thread or runtime, also before the start and after the end.
///
/// # Examples
///
/// ```
/// use adieu::testing::paused;
/// use adieu::{App, Phase, Stage};
///
/// let app = App::new("shop");
/// app.component("feed").drain(|_, context| async move { assert_eq!(context.stage(), Stage::Stopping(Phase::Drain)) });
/// let outside = app.control();
/// let report = paused(app, |control| async move {
///     control.serving().await;
///     control.close();
///     control.close(); // idempotent
///     control.entered(Phase::Drain).await;
/// });
/// assert_eq!((outside.stage(), report.code()), (Stage::Closed, 0));
/// ```
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

    /// Asks for a stop. Idempotent, and may be called from any thread.
    pub fn close(&self) {
        self.send(Message::Close(Cause::Asked));
    }

    /// Cuts the deadline to now, as a second signal does. Asks for a stop if none has begun.
    pub fn force(&self) {
        self.send(Message::Force);
    }

    /// Writes to standard error what is running: which components are up, which hooks run and for how long, and what is
    /// in flight. SIGUSR1 does the same.
    pub fn dump(&self) {
        self.send(Message::Dump);
    }

    /// Returns how far the application is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.inner.stage.borrow()
    }

    /// Returns when all components have started, or when a stop has begun before that.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn serving(&self) {
        self.reached(Stage::Serving).await;
    }

    /// Returns when a stop has begun.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn stopping(&self) {
        self.reached(Stage::Stopping(Phase::Announce)).await;
    }

    /// Returns when the stop has come to `phase` or beyond.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn entered(&self, phase: Phase) {
        self.reached(Stage::Stopping(phase)).await;
    }

    /// Returns when the stop is over.
    ///
    /// For threads and runtimes outside of the application. A hook must not await it: the stop is not over while a hook
    /// runs. A task of the application is dropped with its runtime before it returns; use
    /// [`App::on_closed`](crate::App::on_closed).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn closed(&self) {
        self.reached(Stage::Closed).await;
    }

    /// Returns the work that a stop waits for, to add to it or to count it.
    #[must_use]
    pub fn in_flight(&self) -> &InFlight {
        &self.inner.in_flight
    }

    /// Returns when the application has reached `stage`. Cancel safe.
    pub(crate) async fn reached(&self, stage: Stage) {
        let mut watched = self.inner.stage.subscribe();
        // Cannot fail: `self` holds the sender.
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
