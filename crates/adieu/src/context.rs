//! What starts and stop hooks are given.

use std::ops::Deref;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::stop_plan::Phase;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::control::Control;

/// Given to a component's [`start`](crate::Component::start). Dereferences to [`Control`].
#[derive(Debug, Clone)]
pub struct StartContext {
    pub(crate) control: Control,
    pub(crate) cancelled: CancellationToken,
}

impl StartContext {
    /// Returns when the start is cancelled: a stop has begun, or the start is out of time.
    ///
    /// The start's future is dropped then. This is for what does not end by that, such as a blocking task.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }
}

impl Deref for StartContext {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

/// Given to a stop hook: which phase it is part of, and how long it may take. Dereferences to [`Control`].
///
/// # Guarantees
///
/// - After [`remaining`](Self::remaining) the hook is cut. A hook may use what is left of its phase and of the grace
///   period, less one second for each hook that runs after it. If less time is left, all of them have an equal share.
/// - A hook that is cut is dropped at its next `.await`. A hook that does not await keeps running, and the report names
///   it as leaked; the stop goes on without it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use adieu::testing::paused;
/// use adieu::{App, Phase, Verdict};
///
/// let app = App::new("shop").phase_limit(Phase::Drain, Duration::from_secs(5));
/// app.component("feed").drain(|_, context| async move {
///     assert_eq!((context.phase(), context.is_forced()), (Phase::Drain, false));
///     assert!(context.remaining() <= Duration::from_secs(5));
///     let end = tokio::spawn(async move { context.cut().await }); // outlives the hook's future
///     std::future::pending::<()>().await;
///     drop(end);
/// });
/// let report = paused(app, |control| async move {
///     control.serving().await;
///     control.close();
/// });
/// assert_eq!(report.component("feed").map(|feed| feed.verdict), Some(Verdict::Cut), "{report}");
/// ```
#[derive(Debug, Clone)]
pub struct StopContext {
    pub(crate) control: Control,
    pub(crate) phase: Phase,
    pub(crate) until: Timestamp,
    pub(crate) forced: bool,
    pub(crate) cut: CancellationToken,
}

impl StopContext {
    /// Returns the phase that the hook is part of.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns how long the hook may still take. After that it is cut: [`cut`](Self::cut) returns, and its future is
    /// dropped.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        clock::until(self.until)
    }

    /// Whether force was asked for before the hook began. If so, do only what matters most.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.forced
    }

    /// Returns when the hook is out of time.
    ///
    /// The hook's future is dropped then. This is for what does not end by that, such as a blocking task.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }
}

impl Deref for StopContext {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}
