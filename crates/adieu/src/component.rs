use std::sync::Arc;
use std::time::Duration;

use adieu_core::stop_plan::Phase;

use crate::app::App;
use crate::catch_unwind::BoxFuture;
use crate::context::StartContext;
use crate::error::{BoxError, BuildError, NotRunning};
use crate::hook::{ComponentHook, Entry, HookFn, HookResult, Slot};

/// A component that is being described; see [`App::component`].
///
/// It borrows the [`App`]: once that runs, nothing can be registered or changed any more, and this is checked by the
/// compiler. What code elsewhere needs of it is its [`Handle`].
pub struct Component<'a, T> {
    pub(crate) app: &'a App,
    pub(crate) id: usize,
    pub(crate) slot: Slot<T>,
}

impl<T> Clone for Component<'_, T> {
    fn clone(&self) -> Self {
        Self { app: self.app, id: self.id, slot: self.slot.clone() }
    }
}

impl<T> std::fmt::Debug for Component<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A component's value while it runs: from the end of its start to the end of its last hook. Cheap to clone.
pub struct Handle<T> {
    name: Arc<str>,
    slot: Slot<T>,
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), slot: self.slot.clone() }
    }
}

impl<T> std::fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handle").field(&self.name).finish()
    }
}

impl<T> Handle<T> {
    /// The value. A component that comes [`after`](Component::after) this one can rely on it, in its start and in all of
    /// its hooks.
    ///
    /// # Errors
    /// [`NotRunning`] before its start has ended, and after its stop.
    pub fn get(&self) -> Result<Arc<T>, NotRunning> {
        self.slot.get().ok_or_else(|| NotRunning { name: self.name.to_string() })
    }
}

impl<'a, T: Send + Sync + 'static> Component<'a, T> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.app.entry(self.id, |entry| entry.spec.name.clone())
    }

    /// What code elsewhere holds to get at its value.
    #[must_use]
    pub fn handle(&self) -> Handle<T> {
        Handle { name: self.name().into(), slot: self.slot.clone() }
    }

    /// It needs `other`: it starts when that one has started, and that one stops when this one has stopped.
    pub fn after<U: Send + Sync + 'static>(self, other: &Component<'_, U>) -> Self {
        self.app.edge(self.id, other.app, &other.name());
        self
    }

    /// How it starts: the value is there for its hooks and its [`Handle`] from then on, and is dropped when its last hook
    /// is over. An error or a panic stops the application: exactly what has started, in reverse.
    ///
    /// Cancelled by being dropped when a stop begins. To be said once, and before the hooks, which get the value.
    pub fn start<U, E, F, Fut>(self, start: F) -> Component<'a, U>
    where
        U: Send + Sync + 'static,
        E: Into<BoxError>,
        F: FnOnce(StartContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<U, E>> + Send + 'static,
    {
        let slot = Slot::empty();
        let (put, taken) = (slot.clone(), slot.clone());
        if self.app.entry(self.id, |entry| entry.start.is_some() || !entry.hooks.is_empty()) {
            self.app.refuse(BuildError::LateStart { component: self.name() });
        }
        self.app.entry(self.id, |entry| {
            entry.start = Some(Box::new(move |context| {
                Box::pin(async move {
                    let value = start(context).await.map_err(Into::into)?;
                    put.put(value);
                    Ok(())
                })
            }));
            // The value goes in its turn, whether or not there is anything to do for it.
            let let_go = move |_| -> BoxFuture<Result<(), BoxError>> {
                Box::pin(async move {
                    drop(taken.take());
                    Ok(())
                })
            };
            entry.hook(Phase::Close, Box::new(let_go));
            entry.lets_go = true;
        });
        Component { app: self.app, id: self.id, slot }
    }

    /// How it stops: in its turn, when all that come after it have stopped. The value is dropped after that.
    pub fn stop(self, hook: impl ComponentHook<T>) -> Self {
        let slot = self.slot.clone();
        let hook: HookFn = Box::new(move |context| {
            Box::pin(async move {
                let Some(value) = slot.take() else { return Ok(()) };
                hook(value, context).await.into_result()
            })
        });
        self.app.entry(self.id, |entry| entry.stop_hook(hook));
        self
    }

    /// What it does while it is still serving, when a stop begins: deregister, and wait until that has been seen.
    pub fn announce(self, hook: impl ComponentHook<T>) -> Self {
        self.on(Phase::Announce, hook)
    }

    /// How it stops to take anything new on.
    pub fn quiesce(self, hook: impl ComponentHook<T>) -> Self {
        self.on(Phase::Quiesce, hook)
    }

    /// How it finishes what it has taken on.
    pub fn drain(self, hook: impl ComponentHook<T>) -> Self {
        self.on(Phase::Drain, hook)
    }

    /// Its farewell work: everything has drained, and everything that it comes after is still up.
    pub fn cleanup(self, hook: impl ComponentHook<T>) -> Self {
        self.on(Phase::Cleanup, hook)
    }

    fn on(self, phase: Phase, hook: impl ComponentHook<T>) -> Self {
        let slot = self.slot.clone();
        let hook: HookFn = Box::new(move |context| {
            Box::pin(async move {
                let Some(value) = slot.get() else { return Ok(()) };
                hook(value, context).await.into_result()
            })
        });
        self.app.entry(self.id, |entry| entry.hook(phase, hook));
        self
    }

    /// The longest time that its hook of `phase` may take. The phase's own limit and the deadline hold besides.
    pub fn limit(self, phase: Phase, limit: Duration) -> Self {
        self.app.limit(self.id, phase, limit);
        self
    }

    /// The longest time that its start may take.
    pub fn start_limit(self, limit: Duration) -> Self {
        self.app.entry(self.id, |entry| entry.spec.start_limit = Some(limit));
        self
    }

    /// It starts before every other component and stops after all of them: the admin endpoint, which is asked whether the
    /// application is ready until the very end. A server ([`App::serve`]) then accepts and answers until its close.
    pub fn last(self) -> Self {
        self.app.entry(self.id, Entry::make_last);
        self
    }
}
