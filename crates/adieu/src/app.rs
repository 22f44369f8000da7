use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use adieu_core::signal::Signal;
use adieu_core::stop_plan::{Phase, Plan, Policy};
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use crate::component::Component;
use crate::conductor::{Conductor, plan_time};
use crate::control::{Control, Message, Stage};
use crate::delivery::{Delivery, PUBLISH_TIMEOUT};
use crate::error::BuildError;
use crate::hook::{Entry, Slot};
#[cfg(feature = "testing")]
use crate::hook::{HookFn, StopHook};
use crate::owned_runtime::OwnedRuntime;
use crate::report::StopReport;
use crate::signals::{Inherited, Registration};
use crate::{builtin, environment, notify, parent, signals};

/// A service: components that start in order and stop in reverse, by one deadline.
///
/// It owns `main`: make it first, describe the components, [`run`](Self::run) it last. From [`new`](Self::new) on, SIGTERM,
/// SIGINT and SIGHUP are its own: the first stops, a second (a second later; senders duplicate) cuts the deadline to
/// now, a third ends the process at once with 128+n. SIGUSR1 writes to standard error what is running
/// ([`Control::dump`]).
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

/// What runs beside the components, from the start of the runtime to its end.
type StartupHook = Box<dyn FnOnce(&runtime::Handle, &Control) + Send>;

/// Who is told when everything is over.
type ClosedHook = Box<dyn FnOnce(&StopReport) + Send>;

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("name", &self.name).finish_non_exhaustive()
    }
}

impl App {
    /// An application without components. Installs the signal handlers, so that a signal during whatever `main` does
    /// before [`run`](Self::run) is not lost: the stop then begins as soon as the start does.
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

    /// The signals that stop it. Default: SIGTERM, SIGINT and SIGHUP.
    #[must_use]
    pub fn stop_signals(self, signals: impl IntoIterator<Item = Signal>) -> Self {
        *self.stop_signals.borrow_mut() = signals.into_iter().collect();
        self.take_signals();
        self
    }

    /// The signals upon which it writes to standard error what is running. Default: SIGUSR1.
    #[must_use]
    pub fn dump_signals(self, signals: impl IntoIterator<Item = Signal>) -> Self {
        *self.dump_signals.borrow_mut() = signals.into_iter().collect();
        self.take_signals();
        self
    }

    /// It stops when the process that is its parent when it runs has ended.
    #[must_use]
    pub fn end_with_parent(mut self) -> Self {
        self.with_parent = true;
        self
    }

    /// `hook` runs at each of these signals, while the application runs: SIGUSR2 switches a profile on and off, SIGHUP reads
    /// the configuration again (if it is no stop signal). One at a time; signals that come meanwhile are one more. A panic
    /// ends only that run of the hook.
    ///
    /// # Errors
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

    /// `hook` gets the report when everything is over, before [`run`](Self::run) returns: the event that the application has
    /// closed. All are told, in the order of registration, on `main`'s thread; a panic is a failure of the stop.
    pub fn on_closed(&self, hook: impl FnOnce(&StopReport) + Send + 'static) {
        self.closed_hooks.borrow_mut().push(Box::new(hook));
    }

    /// The whole time of a stop, from the request to the end of the process. Default: 30 s. What is longer than that is of use
    /// only to a phase that may take as long: see [`phase_limit`](Self::phase_limit).
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        self.policy.borrow_mut().grace = grace;
        self
    }

    /// The longest time of one phase. Default: 30 s for each; whatever they add up to, the grace period is the deadline.
    #[must_use]
    pub fn phase_limit(self, phase: Phase, limit: Duration) -> Self {
        if let Some(of) = self.policy.borrow_mut().limit_mut(phase) {
            *of = Some(limit);
        }
        self
    }

    /// The longest time of each start that has no limit of its own. Default: none.
    #[must_use]
    pub fn start_limit(self, limit: Duration) -> Self {
        self.policy.borrow_mut().start = Some(limit);
        self
    }

    /// What remains for cleanup and close when force is asked for. Default: half a second.
    #[must_use]
    pub fn reserve(self, reserve: Duration) -> Self {
        self.policy.borrow_mut().reserve = reserve;
        self
    }

    /// The runtime that everything runs on, in place of tokio's multi-threaded one with all of it enabled. The application
    /// owns it: it is shut down at the end without waiting for what does not end. One of the current thread runs on the thread
    /// that calls [`run`](Self::run).
    #[must_use]
    pub fn runtime(self, builder: runtime::Builder) -> Self {
        *self.runtime.borrow_mut() = Some(builder);
        self
    }

    /// Registers a component. Its name must be its own.
    pub fn component(&self, name: impl Into<String>) -> Component<'_, ()> {
        self.register(Entry::new(name.into()), Slot::filled(()))
    }

    pub(crate) fn register<T>(&self, entry: Entry, slot: Slot<T>) -> Component<'_, T> {
        let mut entries = self.entries.borrow_mut();
        entries.push(entry);
        Component { app: self, id: entries.len() - 1, slot }
    }

    /// A handle to ask for a stop, to wait for it, and to count what is in flight.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    pub(crate) fn entry<R>(&self, id: usize, change: impl FnOnce(&mut Entry) -> R) -> R {
        let mut entries = self.entries.borrow_mut();
        // Ids are indices into this list, which only grows.
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

    /// Applied when the plan is made: the hook may be registered after its limit.
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

    /// The first refusal is what the plan says.
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

    /// The stop plan, without running anything: print it to see who starts and stops when, and how long it can take.
    ///
    /// # Errors
    /// [`BuildError`] when the components contradict each other.
    pub fn plan(&self) -> Result<Plan, BuildError> {
        self.make_plan()
    }

    /// Starts everything, serves, and stops when that is asked for: by a signal, by [`Control::close`], by a main task
    /// that has finished or a component that has failed. It has a runtime of its own, so `main` is no `async fn`: called from
    /// within a runtime it starts nothing ([`BuildError::WithinRuntime`]). A `main` that has one already takes
    /// [`Shutdown`](crate::Shutdown).
    ///
    /// By the end of the grace period this has returned, or the process has ended with the report on standard error
    /// (when `main`'s own thread is blocked in somebody's destructor).
    #[must_use = "the report's exit code is the service's"]
    pub fn run(self) -> StopReport {
        let name = self.name.clone();
        self.try_run().unwrap_or_else(|error| StopReport::refused(&name, &error))
    }

    fn try_run(self) -> Result<StopReport, BuildError> {
        let owned = OwnedRuntime::new(self.runtime.take()).map_err(BuildError::Runtime)?;
        if !owned.may_wait_here() {
            owned.abandon();
            return Err(BuildError::WithinRuntime);
        }
        let ReadyApp { conductor, control, registration, closed_hooks } = self.make_ready(owned.handle())?;
        let (deliver, delivered) = mpsc::sync_channel(1);
        let arrived = owned.needs_this_thread().then(CancellationToken::new);
        let arrives = arrived.clone().map(CancellationToken::drop_guard);
        let conduct = move || {
            conductor.run(move |end| {
                let _arrives = arrives;
                // `main` waits for it, unless it has panicked.
                let _delivered = deliver.send(end);
            });
        };
        let thread = std::thread::Builder::new().name("adieu-stop".to_owned()).spawn(conduct);
        drop(thread.map_err(BuildError::Thread)?);
        if let Some(arrived) = arrived {
            owned.run_until(arrived);
        }
        // What is left of the components is dropped here, where the conductor watches, and not there.
        let delivered = delivered.recv().map(|Delivery { report, left, flushing }| {
            drop(left);
            (report, flushing)
        });
        owned.end();
        let report = delivered.map(|(report, flushing)| {
            let report = run_closed_hooks(report, closed_hooks);
            flushing.wait(PUBLISH_TIMEOUT);
            report
        });
        drop(registration);
        control.move_on(Stage::Closed);
        // The conductor's thread has nothing to do any more, and nobody waits for its end.
        control.send(Message::Gone);
        report.map_err(|_| BuildError::Thread(std::io::Error::other("the conductor has panicked")))
    }

    /// Everything that is needed to run it on `runtime`, with all that is to be told at once.
    pub(crate) fn make_ready(self, runtime: &runtime::Handle) -> Result<ReadyApp, BuildError> {
        let _component = self.register(builtin::in_flight_entry(), Slot::filled(()));
        let grace = self.policy.borrow().grace;
        self.policy.borrow_mut().grace = plan_time(grace);
        let plan = self.make_plan()?;
        // The end of the process comes after the plan.
        let longest = plan.worst_case().total + (grace - plan_time(grace));
        let Self {
            name,
            entries,
            control,
            messages,
            registration,
            inherited,
            with_parent,
            startup_hooks,
            closed_hooks,
            ..
        } = self;
        let (entries, on) = (entries.into_inner(), runtime.clone());
        let mut conductor = Conductor::new(name, Arc::new(plan), entries, control.clone(), on, messages, grace)
            .map_err(BuildError::Thread)?;
        environment::warnings(longest, &inherited.into_inner()).into_iter().for_each(|note| conductor.note(note));
        if with_parent {
            parent::watch(control.mailbox()).map_err(BuildError::Thread)?;
        }
        notify::connect();
        notify::watchdog(runtime);
        startup_hooks.into_inner().into_iter().for_each(|hook| hook(runtime, &control));
        Ok(ReadyApp { conductor, control, registration, closed_hooks: closed_hooks.into_inner() })
    }
}

/// An application that is ready to run.
pub(crate) struct ReadyApp {
    pub(crate) conductor: Conductor,
    pub(crate) control: Control,
    pub(crate) registration: Registration,
    pub(crate) closed_hooks: Vec<ClosedHook>,
}

/// Tells those who wait for the end.
pub(crate) fn run_closed_hooks(mut report: StopReport, closed_hooks: Vec<ClosedHook>) -> StopReport {
    for hook in closed_hooks {
        if catch_unwind(AssertUnwindSafe(|| hook(&report))).is_err() {
            report.closed_hook_panicked();
        }
    }
    report
}
