use std::ops::Deref;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::stop_plan::Phase;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::control::Control;

/// What a start is given. Dereferences to [`Control`].
#[derive(Debug, Clone)]
pub struct StartContext {
    pub(crate) control: Control,
    pub(crate) cancelled: CancellationToken,
}

impl StartContext {
    /// Returns when this start has been cancelled: a stop has begun, or its limit is spent. Its future is dropped then
    /// too; this is for what does not end by that (a blocking task). Cancel safe.
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

/// What a hook is given: how long it may take. Dereferences to [`Control`].
#[derive(Debug, Clone)]
pub struct StopContext {
    pub(crate) control: Control,
    pub(crate) phase: Phase,
    pub(crate) until: Timestamp,
    pub(crate) forced: bool,
    pub(crate) cut: CancellationToken,
}

impl StopContext {
    /// The phase that this hook is part of.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How long the hook may still take; then it is cut: [`Self::cut`] returns and its future is dropped.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        clock::until(self.until)
    }

    /// Whether force was asked for before this hook was begun: only what matters most should be done.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.forced
    }

    /// Returns when the hook is out of time. Its future is dropped then too; this is for what does not end by that (a
    /// blocking task). Cancel safe.
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
