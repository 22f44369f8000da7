//! Components while they are described, and handles to them while they run.

use std::sync::Arc;
use std::time::Duration;

use adieu_core::stop_plan::Phase;

use crate::app::App;
use crate::catch_unwind::BoxFuture;
use crate::context::StartContext;
use crate::error::{BoxError, BuildError, NotRunning};
use crate::hook::{ComponentHook, Entry, HookFn, HookResult, Slot};

/// A component of an application while it is described: how it starts, what it does in a stop, and what it comes after.
/// Made by [`App::component`].
///
/// `T` is the value that [`start`](Self::start) returns. Hooks get it, and [`handle`](Self::handle) gives other code
/// access.
///
/// # Guarantees
///
/// - Within a phase, a component's hook runs when the hooks of all components that come [`after`](Self::after) it are
///   over. Components without an order between them run at the same time.
/// - Each hook runs at most once. A hook that returns an error or panics is over: the stop goes on, and the report has
///   the error.
/// - A hook that is out of time is cut: its future is dropped. Every other hook still has its turn.
/// - A component borrows its [`App`]. Once the application runs, nothing can be registered or changed, which the
///   compiler checks.
///
/// # When not to use it
///
/// For a component that is one task, a child process, a file or a server, use [`App::task`], [`App::child`],
/// [`App::temp_path`] or `App::serve`: they have the right hooks already.
///
/// # Examples
///
/// ```
/// use adieu::testing::paused;
/// use adieu::{App, NotRunning};
///
/// struct Pool;
///
/// let app = App::new("shop");
/// let pool = app
///     .component("pool")
///     .start(|_| async { Ok::<_, std::io::Error>(Pool) })
///     .stop(|_pool, context| async move { println!("{:?} to close the pool", context.remaining()) });
/// let handle = pool.handle();
/// app.component("api").after(&pool).cleanup(move |_, _| async move {
///     let _pool = handle.get()?; // cannot fail: the pool stops later
///     Ok::<_, NotRunning>(())
/// });
/// let report = paused(app, |control| async move {
///     control.serving().await;
///     control.close();
/// });
/// assert_eq!(report.code(), 0, "{report}");
/// ```
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

/// Access to a component's value while the component runs: from the end of its start to the end of its last hook. Cheap
/// to clone. Made by [`Component::handle`].
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
    /// Returns the value.
    ///
    /// A component that comes [`after`](Component::after) this one can rely on it, in its start and in all of its
    /// hooks.
    ///
    /// # Errors
    ///
    /// [`NotRunning`] before the component has started and after it has stopped.
    pub fn get(&self) -> Result<Arc<T>, NotRunning> {
        self.slot.get().ok_or_else(|| NotRunning { name: self.name.to_string() })
    }
}

impl<'a, T: Send + Sync + 'static> Component<'a, T> {
    /// Returns the name that the component was registered with.
    #[must_use]
    pub fn name(&self) -> String {
        self.app.entry(self.id, |entry| entry.spec.name.clone())
    }

    /// Returns a handle, by which other code gets at the component's value.
    #[must_use]
    pub fn handle(&self) -> Handle<T> {
        Handle { name: self.name().into(), slot: self.slot.clone() }
    }

    /// Puts this component after `other`: it starts when `other` has started, and `other` stops when it has stopped.
    ///
    /// A circle is an error of [`App::plan`].
    pub fn after<U: Send + Sync + 'static>(self, other: &Component<'_, U>) -> Self {
        self.app.edge(self.id, other.app, &other.name());
        self
    }

    /// Sets how the component starts. Call it once, and before the hooks, which get the value that it returns.
    ///
    /// The value is dropped when the component's last hook is over. An error or a panic stops the application: exactly
    /// the components that had started are stopped, in reverse.
    ///
    /// When a stop begins during the start, the future is dropped.
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
            // Drops the value in the component's turn, unless `stop` puts another hook here.
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

    /// Sets how the component stops, in its turn: everything that comes after it has stopped, everything that it comes
    /// after is still up.
    ///
    /// The value is dropped after the hook. Most components need only this hook.
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

    /// Sets what the component does first in a stop, while everything still serves: leave a service registry, and wait
    /// until clients have noticed.
    pub fn announce(self, hook: impl ComponentHook<T>) -> Self {
        self.on(Phase::Announce, hook)
    }

    /// Sets how the component stops taking on new work.
    pub fn quiesce(self, hook: impl ComponentHook<T>) -> Self {
        self.on(Phase::Quiesce, hook)
    }

    /// Sets how the component finishes the work that it has taken on.
    pub fn drain(self, hook: impl ComponentHook<T>) -> Self {
        self.on(Phase::Drain, hook)
    }

    /// Sets the component's farewell work, when everything has drained and everything that the component comes after is
    /// still up.
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

    /// Sets the longest time of the hook in `phase`. The phase's own limit and the deadline hold as well.
    pub fn limit(self, phase: Phase, limit: Duration) -> Self {
        self.app.limit(self.id, phase, limit);
        self
    }

    /// Sets the longest time of the start.
    pub fn start_limit(self, limit: Duration) -> Self {
        self.app.entry(self.id, |entry| entry.spec.start_limit = Some(limit));
        self
    }

    /// Starts this component before every other, and stops it after all of them.
    ///
    /// For an admin endpoint that tells to the very end whether the application is ready. A server (`App::serve`) that
    /// is last accepts and answers until the close phase.
    pub fn last(self) -> Self {
        self.app.entry(self.id, Entry::make_last);
        self
    }
}
