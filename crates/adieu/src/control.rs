use std::sync::Arc;
use std::sync::mpsc;

use adieu_core::Timestamp;
use adieu_core::stop_plan::{ComponentId, End, Phase};
use tokio::sync::watch;

use crate::guard::InFlight;
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
    StartEnded(ComponentId, End, Option<String>),
    HookEnded(ComponentId, Phase, End, Option<String>),
    /// The application has taken the report and let go of everything.
    Gone,
}

/// A handle to a running application: cheap to clone, to be had from [`App::control`](crate::App::control) and from
/// every context.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    messages: mpsc::Sender<Message>,
    stage: watch::Sender<Stage>,
    in_flight: InFlight,
}

impl Control {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (messages, receiver) = mpsc::channel();
        let stage = watch::Sender::new(Stage::Starting);
        (Self { shared: Arc::new(Shared { messages, stage, in_flight: InFlight::new() }) }, receiver)
    }

    /// Asks for a stop. Asking again, from wherever, is nothing; so is asking when everything is over.
    pub fn close(&self) {
        self.tell(Message::Close(Cause::Asked));
    }

    /// Cuts the deadline to now, as a second signal does.
    pub fn force(&self) {
        self.tell(Message::Force);
    }

    /// How far the application is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.shared.stage.borrow()
    }

    /// Returns when the stop has begun; at once if it has already. Cancel safe.
    pub async fn stopping(&self) {
        self.reached(Stage::Stopping(Phase::Announce)).await;
    }

    /// Returns when the stop has come to `phase` or beyond; at once if it has already. Cancel safe.
    pub async fn entered(&self, phase: Phase) {
        self.reached(Stage::Stopping(phase)).await;
    }

    /// Returns when everything is over. Cancel safe. Not for hooks: everything is never over while one of them waits for it.
    pub async fn closed(&self) {
        self.reached(Stage::Closed).await;
    }

    /// Work that a stop waits for.
    #[must_use]
    pub fn in_flight(&self) -> &InFlight {
        &self.shared.in_flight
    }

    /// Cancel safe.
    pub(crate) async fn reached(&self, stage: Stage) {
        let mut watched = self.shared.stage.subscribe();
        // The sender lives as long as `self`: no error is possible.
        let _reached = watched.wait_for(|now| *now >= stage).await;
    }

    pub(crate) fn tell(&self, message: Message) {
        // Nobody listens any more: everything is over, and there is nothing to tell.
        let _told = self.shared.messages.send(message);
    }

    pub(crate) fn sender(&self) -> mpsc::Sender<Message> {
        self.shared.messages.clone()
    }

    /// The stage only ever moves on.
    pub(crate) fn move_on(&self, to: Stage) {
        self.shared.stage.send_if_modified(|now| {
            let moves = to > *now;
            if moves {
                *now = to;
            }
            moves
        });
    }
}
