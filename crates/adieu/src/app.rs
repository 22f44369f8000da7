//! The description of an application, which [`run`] runs.

use std::cell::RefCell;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use adieu_core::signal::Signal;
use adieu_core::stop_plan::{Phase, Plan, Policy};
use tokio::runtime;

use crate::component::Component;
use crate::control::{Control, Message};
use crate::error::BuildError;
use crate::hook::{Entry, Slot};
#[cfg(feature = "testing")]
use crate::hook::{HookFn, StopHook};
use crate::report::StopReport;
use crate::signals;
use crate::signals::{Inherited, Registration};

pub(crate) mod run;

/// A service with a `main` of its own: components that start in order and stop in reverse, all by one deadline.
///
/// Make the `App` first in `main`, describe its components, and [`run`](Self::run) it last.
///
/// # Guarantees
///
/// - A component starts when everything that it comes [`after`](Component::after) has started, and stops before any of
///   that stops. Each stop hook runs at most once.
/// - When the grace period is over, `run` has returned, or the process has ended with the report on standard error. A
///   worker that blocks, a hook that never returns, or a destructor that hangs does not change that: the deadline is
///   kept by a thread that waits for events and time only.
/// - When a start fails, exactly the components that had started are stopped.
/// - Signals are handled from [`new`](Self::new) to the end of `run`. SIGTERM, SIGINT and SIGHUP stop the application.
///   A second signal, at least a second after the first (senders repeat themselves), cuts the deadline to now. A third
///   ends the process at once with exit code 128+n. SIGUSR1 writes to standard error what is running
///   ([`Control::dump`]).
///
/// # When not to use it
///
/// To keep your own `main` and runtime, use [`Shutdown`](crate::Shutdown). A command-line program that may be killed at
/// any time needs neither.
///
/// # Examples
///
/// ```
/// use adieu::testing::paused;
/// use adieu::{App, Outcome};
///
/// let app = App::new("shop");
/// let pool = app
///     .component("pool")
///     .start(|_| async { Ok::<_, std::io::Error>("connections") })
///     .stop(|pool, _| async move { println!("{pool} closed") });
/// app.main_task("work", |context| async move { context.asked_to_end().await }).after(&pool);
///
/// println!("{}", app.plan()?); // who starts and stops when
/// let report = paused(app, |control| async move {
///     control.serving().await;
///     control.close();
/// }); // in `main`: `app.run()`
/// assert_eq!(report.outcome, Outcome::Clean, "{report}");
/// # Ok::<_, adieu::BuildError>(())
/// ```
pub struct App {
    name: String,
    policy: RefCell<Policy>,
    entries: RefCell<Vec<Entry>>,
    limits: RefCell<Vec<(usize, Phase, Duration)>>,
    refused: RefCell<Option<BuildError>>,
    control: Control,
    messages: Receiver<Message>,
    registration: Registration,
    inherited: RefCell<std::io::Result<Inherited>>,
    stop_signals: RefCell<Vec<Signal>>,
    dump_signals: RefCell<Vec<Signal>>,
    with_parent: bool,
    runtime: RefCell<Option<runtime::Builder>>,
    startup_hooks: RefCell<Vec<StartupHook>>,
    closed_hooks: RefCell<Vec<ClosedHook>>,
}

/// Called once the runtime is there, before the first component starts.
type StartupHook = Box<dyn FnOnce(&runtime::Handle, &Control) + Send>;

/// Gets the report when everything is over.
type ClosedHook = Box<dyn FnOnce(&StopReport) + Send>;

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("name", &self.name).finish_non_exhaustive()
    }
}

impl App {
    /// Makes an application without components, and installs its signal handlers.
    ///
    /// A signal that comes before [`run`](Self::run) is not lost: the stop then begins as soon as the start does.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let (control, messages) = Control::new();
        let registration = Registration::of_application(control.mailbox(), control.children().clone());
        let app = Self {
            name: name.into(),
            policy: RefCell::default(),
            entries: RefCell::default(),
            limits: RefCell::default(),
            refused: RefCell::default(),
            control,
            messages,
            registration,
            inherited: RefCell::new(Ok(Inherited::default())),
            stop_signals: RefCell::new(vec![Signal::TERM, Signal::INT, Signal::HUP]),
            dump_signals: RefCell::new(vec![Signal::USR1]),
            with_parent: false,
            runtime: RefCell::new(None),
            startup_hooks: RefCell::default(),
            closed_hooks: RefCell::default(),
        };
        app.take_signals();
        app
    }

    fn take_signals(&self) {
        *self.inherited.borrow_mut() =
            self.registration.change(&self.stop_signals.borrow(), &self.dump_signals.borrow());
    }

    /// Sets the signals that stop the application. Default: SIGTERM, SIGINT and SIGHUP.
    #[must_use]
    pub fn stop_signals(self, signals: impl IntoIterator<Item = Signal>) -> Self {
        *self.stop_signals.borrow_mut() = signals.into_iter().collect();
        self.take_signals();
        self
    }

    /// Sets the signals that make the application write to standard error what is running. Default: SIGUSR1.
    #[must_use]
    pub fn dump_signals(self, signals: impl IntoIterator<Item = Signal>) -> Self {
        *self.dump_signals.borrow_mut() = signals.into_iter().collect();
        self.take_signals();
        self
    }

    /// Stops the application when the process that is its parent at the time of [`run`](Self::run) has ended.
    #[must_use]
    pub fn end_with_parent(mut self) -> Self {
        self.with_parent = true;
        self
    }

    /// Runs `hook` at each of these signals, while the application runs.
    ///
    /// For example, SIGUSR2 switches a profile on and off, and SIGHUP reads the configuration again (if it is no stop
    /// signal). The hook runs once at a time; any number of signals that come meanwhile cause one more run. A panic
    /// ends only that run.
    ///
    /// # Errors
    ///
    /// As [`signals::subscribe`](crate::signals::subscribe).
    pub fn on_signal<F, Fut>(&self, signal: Signal, hook: F) -> std::io::Result<()>
    where
        F: Fn(Control) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let signals = signals::subscribe([signal], 1)?;
        self.startup_hooks.borrow_mut().push(Box::new(move |runtime, control| {
            drop(runtime.spawn(signals::run_at_each(signals, hook, control.clone())));
        }));
        Ok(())
    }

    /// Runs `hook` with the report when everything is over, before [`run`](Self::run) returns.
    ///
    /// All hooks run, in the order of registration, on `main`'s thread. A panic of one makes the stop a failed one.
    pub fn on_closed(&self, hook: impl FnOnce(&StopReport) + Send + 'static) {
        self.closed_hooks.borrow_mut().push(Box::new(hook));
    }

    /// Sets the time of a whole stop, from the request to the end of the process. Default: 30 s.
    ///
    /// No phase takes longer than its [`phase_limit`](Self::phase_limit), which is 30 s by default. A longer grace
    /// period helps only with a longer limit.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        self.policy.borrow_mut().grace = grace;
        self
    }

    /// Sets the longest time of one phase. Default: 30 s for each.
    ///
    /// Limits do not add up: the grace period is the deadline of all phases together.
    #[must_use]
    pub fn phase_limit(self, phase: Phase, limit: Duration) -> Self {
        if let Some(of) = self.policy.borrow_mut().limit_mut(phase) {
            *of = Some(limit);
        }
        self
    }

    /// Sets the longest time of each start that has no limit of its own. Default: none.
    #[must_use]
    pub fn start_limit(self, limit: Duration) -> Self {
        self.policy.borrow_mut().start = Some(limit);
        self
    }

    /// Sets the time that cleanup and close have left when force is asked for. Default: half a second.
    #[must_use]
    pub fn reserve(self, reserve: Duration) -> Self {
        self.policy.borrow_mut().reserve = reserve;
        self
    }

    /// Sets the runtime that everything runs on. Default: tokio's multi-threaded runtime.
    ///
    /// Time and I/O are enabled in any case. The application owns the runtime, and shuts it down at the end without
    /// waiting for tasks that do not end. A current-thread runtime runs on the thread that calls [`run`](Self::run).
    #[must_use]
    pub fn runtime(self, builder: runtime::Builder) -> Self {
        *self.runtime.borrow_mut() = Some(builder);
        self
    }

    /// Registers a component. Its name must be unique in the application.
    ///
    /// The component does nothing until it is given a [`start`](Component::start) or a hook.
    pub fn component(&self, name: impl Into<String>) -> Component<'_, ()> {
        self.register(Entry::new(name.into()), Slot::filled(()))
    }

    pub(crate) fn register<T>(&self, entry: Entry, slot: Slot<T>) -> Component<'_, T> {
        let mut entries = self.entries.borrow_mut();
        entries.push(entry);
        Component { app: self, id: entries.len() - 1, slot }
    }

    /// Returns a handle to stop the application, to wait for its stages, and to put work in flight.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    pub(crate) fn entry<R>(&self, id: usize, change: impl FnOnce(&mut Entry) -> R) -> R {
        let mut entries = self.entries.borrow_mut();
        // No panic: ids are indices into this list, which only grows.
        change(&mut entries[id])
    }

    pub(crate) fn edge(&self, id: usize, other: &Self, after: &str) {
        let component = self.entry(id, |entry| entry.spec.name.clone());
        if std::ptr::eq(self, other) {
            self.entry(id, |entry| entry.spec.after.push(after.to_owned()));
        } else {
            let after = after.to_owned();
            self.refuse(BuildError::OtherApp { component, after });
        }
    }

    /// The limit is applied when the plan is made, as the hook may be registered after its limit.
    pub(crate) fn limit(&self, id: usize, phase: Phase, limit: Duration) {
        self.limits.borrow_mut().push((id, phase, limit));
    }

    #[cfg(feature = "testing")]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[cfg(feature = "testing")]
    pub(crate) fn all_hooks(&self) -> Vec<(String, Phase)> {
        let entries = self.entries.borrow();
        let of =
            |entry: &Entry| entry.hooks.iter().map(|(phase, _)| (entry.spec.name.clone(), *phase)).collect::<Vec<_>>();
        entries.iter().flat_map(of).collect()
    }

    #[cfg(feature = "testing")]
    pub(crate) fn replace_hook(&self, component: &str, phase: Phase, with: HookFn) -> bool {
        let mut entries = self.entries.borrow_mut();
        let hooks = entries.iter_mut().filter(|entry| entry.spec.name == component).flat_map(|entry| &mut entry.hooks);
        let mut hooks = hooks.filter(|(of, _)| *of == phase);
        let hook = hooks.next();
        hook.map(|(_, hook)| *hook = StopHook::new(with)).is_some()
    }

    /// The plan reports the first refusal.
    pub(crate) fn refuse(&self, error: BuildError) {
        self.refused.borrow_mut().get_or_insert(error);
    }

    fn make_plan(&self) -> Result<Plan, BuildError> {
        if let Some(error) = self.refused.borrow_mut().take() {
            return Err(error);
        }
        let mut specs: Vec<_> = self.entries.borrow().iter().map(|entry| entry.spec.clone()).collect();
        for (id, phase, limit) in self.limits.borrow().iter() {
            let hooks = specs.get_mut(*id).into_iter().flat_map(|spec| &mut spec.hooks);
            hooks.filter(|hook| hook.phase == *phase).for_each(|hook| hook.limit = Some(*limit));
        }
        Ok(Plan::new(specs, self.policy.borrow().clone())?)
    }

    /// Makes the stop plan, without running anything. Print it to see who starts and stops when, and how long that can
    /// take.
    ///
    /// # Errors
    ///
    /// [`BuildError`] when the components contradict each other.
    pub fn plan(&self) -> Result<Plan, BuildError> {
        self.make_plan()
    }
}
