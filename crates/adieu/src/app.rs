use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use adieu_core::stop_plan::{Phase, Plan, Policy};
use tokio::runtime;

use crate::component::Component;
use crate::conductor::{Conductor, plan_time};
use crate::control::{Control, Message, Stage};
use crate::error::BuildError;
use crate::hook::{Entry, Slot};
use crate::report::StopReport;
use crate::signals::{self, Inherited, Subscription};
use crate::{builtin, grants};

/// A service: components that start in order and stop in reverse, by one deadline.
///
/// It owns `main`: make it first, describe the components, [`run`](Self::run) it last. From [`new`](Self::new) on, SIGTERM,
/// SIGINT and SIGHUP are its own: the first stops, a second (a second later; senders duplicate) cuts the deadline to
/// now, a third ends the process at once with 128+n.
pub struct App {
    name: String,
    policy: RefCell<Policy>,
    entries: RefCell<Vec<Entry>>,
    limits: RefCell<Vec<(usize, Phase, Duration)>>,
    refused: RefCell<Option<BuildError>>,
    control: Control,
    messages: Receiver<Message>,
    signals: std::io::Result<(Subscription, Inherited)>,
    runtime: RefCell<Option<runtime::Builder>>,
}

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
        let signals = signals::subscribe(control.sender());
        Self {
            name: name.into(),
            policy: RefCell::default(),
            entries: RefCell::default(),
            limits: RefCell::default(),
            refused: RefCell::default(),
            control,
            messages,
            signals,
            runtime: RefCell::new(None),
        }
    }

    /// The whole time of a stop, from the request to the end of the process. Default: 30 s.
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
    /// owns it: it is shut down at the end without waiting for what does not end.
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
            self.refused.borrow_mut().get_or_insert(BuildError::OtherApp { component, after });
        }
    }

    /// Applied when the plan is made: the hook may be registered after its limit.
    pub(crate) fn limit(&self, id: usize, phase: Phase, limit: Duration) {
        self.limits.borrow_mut().push((id, phase, limit));
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
    /// that has finished or a component that has failed. Not to be called from within a runtime.
    ///
    /// By the end of the grace period this has returned, or the process has ended with the report on standard error
    /// (when `main`'s own thread is blocked in somebody's destructor).
    #[must_use = "the report's exit code is the service's"]
    pub fn run(self) -> StopReport {
        let name = self.name.clone();
        self.try_run().unwrap_or_else(|error| StopReport::refused(&name, &error))
    }

    fn try_run(self) -> Result<StopReport, BuildError> {
        builtin::in_flight(&self);
        let grace = self.policy.borrow().grace;
        self.policy.borrow_mut().grace = plan_time(grace);
        let plan = self.make_plan()?;
        let mut builder = self.runtime.take().unwrap_or_else(runtime::Builder::new_multi_thread);
        let runtime = builder.enable_all().build().map_err(BuildError::Runtime)?;
        let Self { name, entries, control, messages, signals, .. } = self;
        let on = runtime.handle().clone();
        let entries = entries.into_inner();
        let mut conductor = Conductor::new(name.clone(), Arc::new(plan), entries, control.clone(), on, messages, grace)
            .map_err(BuildError::Thread)?;
        grants::notes(grace, &signals).into_iter().for_each(|note| conductor.note(note));
        let (deliver, delivered) = mpsc::channel();
        let conduct = move || {
            conductor.run(move |end| {
                // `main` waits for it, unless it has panicked.
                let _delivered = deliver.send(end);
            });
        };
        let thread = std::thread::Builder::new().name("adieu-stop".to_owned()).spawn(conduct);
        let thread = thread.map_err(BuildError::Thread)?;
        // What is left of the components is dropped here, where the conductor watches, and not there.
        let report = delivered.recv().map(|(report, left)| {
            drop(left);
            report
        });
        runtime.shutdown_timeout(JOIN_RUNTIME);
        drop(signals);
        control.move_on(Stage::Closed);
        control.tell(Message::Gone);
        drop(control);
        // Ends at once: it has been told.
        let _ended = thread.join();
        report.map_err(|_| BuildError::Thread(std::io::Error::other("the conductor has panicked")))
    }
}

/// How long tasks and blocking work that nobody has registered are awaited when everything else is over.
const JOIN_RUNTIME: Duration = Duration::from_millis(100);
