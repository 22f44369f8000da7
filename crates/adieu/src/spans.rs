//! The spans of a stop: one for the stop, in it one for each phase, in that one for each hook.
//!
//! The publisher or the task of a hook makes a span, whichever needs it first. The last of them to drop it ends it.
//! Both call the subscriber, which may block, so the conductor never does: it passes spans on, and drops its own
//! references first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adieu_core::stop_plan::Phase;
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Span};

/// The subscriber of an application: that of the scope in which it was run, or else the global one of the moment.
#[derive(Debug, Clone)]
pub(crate) struct SubscriberScope(Option<Dispatch>);

impl SubscriberScope {
    /// Captures the subscriber of the current scope.
    pub(crate) fn here() -> Self {
        let here = tracing::dispatcher::get_default(Dispatch::clone);
        Self((!here.is::<NoSubscriber>()).then_some(here))
    }

    /// Runs code that calls the subscriber. A panic of the subscriber is ignored.
    pub(crate) fn call<T>(&self, subscriber: impl FnOnce() -> T) -> Option<T> {
        let called = || match &self.0 {
            Some(dispatch) => tracing::dispatcher::with_default(dispatch, subscriber),
            None => subscriber(),
        };
        catch_unwind(AssertUnwindSafe(called)).ok()
    }

    /// Makes a span, which is disabled if the subscriber panics.
    pub(crate) fn span(&self, make: impl FnOnce() -> Span) -> Span {
        self.call(make).unwrap_or_else(Span::none)
    }
}

/// The span of a stop, made when it is needed.
#[derive(Debug)]
pub(crate) struct StopSpan {
    app: String,
    cause: String,
    grace: Duration,
    scope: SubscriberScope,
    span: OnceLock<Span>,
}

impl StopSpan {
    pub(crate) fn new(app: String, cause: String, grace: Duration, scope: SubscriberScope) -> Arc<Self> {
        Arc::new(Self { app, cause, grace, scope, span: OnceLock::new() })
    }

    pub(crate) fn get(&self) -> &Span {
        let Self { app, cause, grace, scope, span } = self;
        span.get_or_init(|| scope.span(|| tracing::info_span!(parent: None, "stop", app, cause, ?grace)))
    }
}

/// The span of a phase, made when it is needed.
#[derive(Debug)]
pub(crate) struct PhaseSpan {
    stop: Arc<StopSpan>,
    phase: Phase,
    span: OnceLock<Span>,
}

impl PhaseSpan {
    pub(crate) fn new(stop: &Arc<StopSpan>, phase: Phase) -> Arc<Self> {
        Arc::new(Self { stop: Arc::clone(stop), phase, span: OnceLock::new() })
    }

    pub(crate) fn get(&self) -> &Span {
        let (app, phase) = (&self.stop.app, self.phase);
        let make = || tracing::info_span!(parent: self.stop.get(), "phase", app, %phase);
        self.span.get_or_init(|| self.stop.scope.span(make))
    }

    /// Makes the span of a hook in this phase.
    pub(crate) fn hook(&self, component: &str, forced: bool) -> Span {
        let (app, phase) = (&self.stop.app, self.phase);
        let make = || tracing::info_span!(parent: self.get(), "hook", app, component, %phase, forced);
        self.stop.scope.span(make)
    }
}
