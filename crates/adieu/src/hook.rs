//! Type-erased starts and hooks of components.

use std::sync::{Arc, Mutex};

use adieu_core::stop_plan::{Component as Spec, Hook, Phase};

use crate::catch_unwind::BoxFuture;
use crate::context::{StartContext, StopContext};
use crate::error::BoxError;
use crate::lock::lock;

pub(crate) type StartFn = Box<dyn FnOnce(StartContext) -> BoxFuture<Result<(), BoxError>> + Send>;
pub(crate) type HookFn = Box<dyn FnOnce(StopContext) -> BoxFuture<Result<(), BoxError>> + Send>;

/// What a hook may return: nothing, a `Result` whose error is reported, or `!` (a hook that only loops).
pub trait HookResult: Send {
    /// Converts the return value for the report.
    ///
    /// # Errors
    /// The error that the hook returned.
    fn into_result(self) -> Result<(), BoxError>;
}

impl HookResult for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The type `!`, which stable Rust cannot name. Without it, a hook that only loops or panics would not compile.
type Never = <fn() -> ! as Returns>::Output;

/// Names the return type of a function pointer.
pub trait Returns {
    /// The return type.
    type Output;
}

impl<R> Returns for fn() -> R {
    type Output = R;
}

impl HookResult for Never {
    fn into_result(self) -> Result<(), BoxError> {
        match self {}
    }
}

impl<E: Into<BoxError> + Send> HookResult for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// A stop hook of a component: a closure or function from the component's value and the hook's time limits to a future.
///
/// Implemented for every `FnOnce(Arc<T>, StopContext) -> impl Future<Output: HookResult>`, and never by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no stop hook",
    label = "a hook is `|value: Arc<T>, context: StopContext| async move {{ .. }}`, `Send + 'static`, and returns `()` or a `Result<(), _>`"
)]
pub trait ComponentHook<T>: FnOnce(Arc<T>, StopContext) -> <Self as ComponentHook<T>>::Future + Send + 'static {
    /// The future that the hook returns.
    type Future: Future<Output: HookResult> + Send + 'static;
}

impl<T, F, Fut> ComponentHook<T> for F
where
    F: FnOnce(Arc<T>, StopContext) -> Fut + Send + 'static,
    Fut: Future<Output: HookResult> + Send + 'static,
{
    type Future = Fut;
}

/// A hook as it is registered.
pub(crate) struct StopHook {
    pub(crate) run: HookFn,
    /// The hook is the library's own and never blocks, so the conductor may take its first step itself.
    pub(crate) ours: bool,
}

impl StopHook {
    /// A hook of the application, which may block.
    pub(crate) fn new(run: HookFn) -> Self {
        Self { run, ours: false }
    }
}

/// A component as it is registered.
pub(crate) struct Entry {
    pub(crate) spec: Spec,
    pub(crate) start: Option<StartFn>,
    pub(crate) hooks: Vec<(Phase, StopHook)>,
    /// The close hook only drops the value, as the component has no stop hook (yet).
    pub(crate) lets_go: bool,
    /// Phases whose hooks are removed when the component is made the last: it goes on through them.
    pub(crate) unless_last: Vec<Phase>,
}

impl Entry {
    pub(crate) fn new(name: String) -> Self {
        Self { spec: Spec::new(name), start: None, hooks: Vec::new(), lets_go: false, unless_last: Vec::new() }
    }

    /// Adds a hook. The plan refuses a second hook of the same phase.
    pub(crate) fn hook(&mut self, phase: Phase, hook: HookFn) {
        self.spec.hooks.push(Hook { phase, limit: None });
        self.hooks.push((phase, StopHook::new(hook)));
    }

    /// Marks all hooks so far as the library's own.
    pub(crate) fn hooks_are_ours(&mut self) {
        self.hooks.iter_mut().for_each(|(_, hook)| hook.ours = true);
    }

    /// Sets the stop hook, in place of the default one.
    pub(crate) fn stop_hook(&mut self, hook: HookFn) {
        if std::mem::take(&mut self.lets_go) {
            self.remove_hook(Phase::Close);
        }
        self.hook(self.spec.ends_in, hook);
    }

    /// Removes a hook. Returns whether there was one.
    pub(crate) fn remove_hook(&mut self, phase: Phase) -> bool {
        let before = self.hooks.len();
        self.hooks.retain(|(of, _)| *of != phase);
        self.spec.hooks.retain(|of| of.phase != phase);
        self.hooks.len() < before
    }

    pub(crate) fn make_last(&mut self) {
        self.spec.last = true;
        for phase in std::mem::take(&mut self.unless_last) {
            self.remove_hook(phase);
        }
    }
}

/// Holds a component's value from the end of its start to the end of its last hook.
pub(crate) struct Slot<T>(Arc<Mutex<Option<Arc<T>>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Slot<T> {
    pub(crate) fn empty() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    pub(crate) fn filled(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(Arc::new(value)))))
    }

    pub(crate) fn get(&self) -> Option<Arc<T>> {
        lock(&self.0).clone()
    }

    pub(crate) fn put(&self, value: T) {
        let before = lock(&self.0).replace(Arc::new(value));
        drop(before);
    }

    pub(crate) fn take(&self) -> Option<Arc<T>> {
        lock(&self.0).take()
    }
}
