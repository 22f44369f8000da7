//! Running an application, from its plan to its report.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;

use tokio::runtime;
use tokio_util::sync::CancellationToken;

use super::{App, ClosedHook};
use crate::conductor::{Conductor, plan_time};
use crate::control::{Control, Message, Stage};
use crate::delivery::{Delivery, PUBLISH_TIMEOUT};
use crate::error::BuildError;
use crate::hook::Slot;
use crate::owned_runtime::OwnedRuntime;
use crate::report::StopReport;
use crate::signals::Registration;
use crate::{builtin, environment, notify, parent};

impl App {
    /// Starts all components, serves, and stops when a stop is asked for. Returns the report of the stop.
    ///
    /// A stop is asked for by a signal, by [`Control::close`], by the end of a [`main_task`](Self::main_task), or by a
    /// component that fails. When the components contradict each other, nothing is started, and the report says why
    /// ([`Cause::Refused`](crate::Cause::Refused)).
    ///
    /// `run` makes its own runtime, so `main` is no `async fn`. Called by a task of another runtime, it starts nothing
    /// ([`BuildError::WithinRuntime`]); a `main` with a runtime uses [`Shutdown`](crate::Shutdown).
    ///
    /// `run` has returned when the grace period is over. If it cannot, because `main`'s own thread is blocked in a
    /// destructor, the process ends with the report on standard error instead.
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
                // Fails only if `main` has panicked while it waited.
                let _delivered = deliver.send(end);
            });
        };
        let thread = std::thread::Builder::new().name("adieu-stop".to_owned()).spawn(conduct);
        drop(thread.map_err(BuildError::Thread)?);
        if let Some(arrived) = arrived {
            owned.run_until(arrived);
        }
        // Destructors of hooks that never ran may block. Here, on `main`'s thread, the conductor watches them.
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
        // Ends the conductor's thread, which nobody joins.
        control.send(Message::Gone);
        report.map_err(|_| BuildError::Thread(std::io::Error::other("the conductor has panicked")))
    }

    /// Makes everything that a run on `runtime` needs, and publishes the warnings about its environment.
    pub(crate) fn make_ready(self, runtime: &runtime::Handle) -> Result<ReadyApp, BuildError> {
        let _component = self.register(builtin::in_flight_entry(), Slot::filled(()));
        let grace = self.policy.borrow().grace;
        self.policy.borrow_mut().grace = plan_time(grace);
        let plan = self.make_plan()?;
        // The plan has less than the grace period: the rest is for the end of the process.
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

/// An application that is ready to run on a runtime.
pub(crate) struct ReadyApp {
    pub(crate) conductor: Conductor,
    pub(crate) control: Control,
    pub(crate) registration: Registration,
    pub(crate) closed_hooks: Vec<ClosedHook>,
}

/// Runs the hooks of [`App::on_closed`].
pub(crate) fn run_closed_hooks(mut report: StopReport, closed_hooks: Vec<ClosedHook>) -> StopReport {
    for hook in closed_hooks {
        if catch_unwind(AssertUnwindSafe(|| hook(&report))).is_err() {
            report.closed_hook_panicked();
        }
    }
    report
}
