//! The spans of a stop: one for the stop, in it one for each phase, in that one for each hook.
//!
//! A span is made by whoever needs it first, the publisher or a hook's task, and ended when the last of these has let go of it.
//! Both are other people's code (a subscriber's), which the conductor never calls: it only passes these on, and lets go of
//! its own before it says that they are over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adieu_core::stop_plan::Phase;
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Span};

/// Whom spans and events of an application are for: the subscriber of the scope in which it was run, or else of the moment.
#[derive(Debug, Clone)]
pub(crate) struct SubscriberScope(Option<Dispatch>);

impl SubscriberScope {
    /// Of the scope that this is called in.
    pub(crate) fn here() -> Self {
        let here = tracing::dispatcher::get_default(Dispatch::clone);
        Self((!here.is::<NoSubscriber>()).then_some(here))
    }

    /// Calls the subscriber; a panic of it is nothing.
    pub(crate) fn call<T>(&self, subscriber: impl FnOnce() -> T) -> Option<T> {
        let called = || match &self.0 {
            Some(dispatch) => tracing::dispatcher::with_default(dispatch, subscriber),
            None => subscriber(),
        };
        catch_unwind(AssertUnwindSafe(called)).ok()
    }

    /// A span that is disabled if the subscriber panics.
    pub(crate) fn span(&self, make: impl FnOnce() -> Span) -> Span {
        self.call(make).unwrap_or_else(Span::none)
    }
}

/// A stop under way.
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

/// A phase under way.
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

    /// The span of a hook in it.
    pub(crate) fn hook(&self, component: &str, forced: bool) -> Span {
        let (app, phase) = (&self.stop.app, self.phase);
        let make = || tracing::info_span!(parent: self.get(), "hook", app, component, %phase, forced);
        self.stop.scope.span(make)
    }
}
