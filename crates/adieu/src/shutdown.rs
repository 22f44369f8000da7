//! The stop of a program that keeps its own `main`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use adieu_core::signal::Signal;
use adieu_core::stop_plan::{Plan, Policy};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::conductor::{Conductor, plan_time};
use crate::control::{Control, Message, Stage};
use crate::delivery::{Delivery, PUBLISH_TIMEOUT};
use crate::error::BuildError;
use crate::in_flight::InFlight;
use crate::report::{Cause, StopReport};
use crate::signals::Registration;
use crate::{builtin, environment, notify, signals};

/// Adds signals, a deadline, work in flight and a report to a program that keeps its own `main` and runtime.
///
/// # Guarantees
///
/// - From the request for a stop on, the process has the grace period to end. If it has not ended by then, a thread
///   that no runtime can block ends it, with the report on standard error and exit code 124. This holds after
///   [`finish`](Self::finish) too, so a blocking task that keeps the runtime from being dropped does not keep the
///   process.
/// - SIGTERM, SIGINT and SIGHUP ask for the stop ([`stop_signals`](Self::stop_signals) changes that). A second signal,
///   at least a second after the first, cuts the deadline to now. A third ends the process at once with exit code
///   128+n.
/// - SIGUSR1 writes to standard error what is running ([`Control::dump`]).
/// - From the request on, [`InFlight::guard`] is refused, and `finish` waits for all guards taken before.
///
/// # When not to use it
///
/// For parts that must start and stop in an order, use [`App`](crate::App). It owns `main` and the runtime.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// #[tokio::main]
/// async fn main() -> std::io::Result<adieu::StopReport> {
///     let shutdown = adieu::Shutdown::install("shop", Duration::from_secs(30)).map_err(std::io::Error::other)?;
///     let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
///     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
///     shutdown.ready();
/// #   shutdown.control().close(); // stands for SIGTERM
///     axum::serve(listener, app).with_graceful_shutdown(shutdown.requested()).await?;
///     Ok(shutdown.finish().await)
/// }
/// ```
#[derive(Debug)]
pub struct Shutdown {
    control: Control,
    runtime: Handle,
    registration: Arc<Registration>,
    stop_signals: Vec<Signal>,
    dump_signals: Vec<Signal>,
    finished: CancellationToken,
    report: oneshot::Receiver<Delivery>,
    name: String,
}

impl Shutdown {
    /// Installs the handlers of SIGTERM, SIGINT, SIGHUP and SIGUSR1. Call it first in `main`, within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BuildError::Thread`] when a thread could not be started, [`BuildError::Runtime`] outside of a runtime.
    pub fn install(name: impl Into<String>, grace: Duration) -> Result<Self, BuildError> {
        let name = name.into();
        let runtime = Handle::try_current().map_err(|error| BuildError::Runtime(std::io::Error::other(error)))?;
        let (control, messages) = Control::new();
        let registration = Registration::of_application(control.mailbox(), control.children().clone());
        let (stop_signals, dump_signals) = (vec![Signal::TERM, Signal::INT, Signal::HUP], vec![Signal::USR1]);
        let inherited = registration.change(&stop_signals, &dump_signals);
        let registration = Arc::new(registration);
        let finished = CancellationToken::new();
        let entries = vec![builtin::main_entry(finished.clone()), builtin::in_flight_entry()];
        let specs = entries.iter().map(|entry| entry.spec.clone()).collect();
        let plan = Plan::new(specs, Policy { grace: plan_time(grace), ..Policy::default() })?;
        let plan = Arc::new(plan);
        let mut conductor =
            Conductor::new(name.clone(), plan, entries, control.clone(), runtime.clone(), messages, grace)
                .map_err(BuildError::Thread)?;
        conductor.leave_ready_to_main();
        environment::warnings(grace, &inherited).into_iter().for_each(|note| conductor.note(note));
        notify::connect();
        let (deliver, report) = oneshot::channel();
        let kept = Arc::clone(&registration);
        let conduct = move || {
            // Signals are counted to the end of the process, also after `finish`.
            let _registration = kept;
            conductor.run(move |end| {
                // Fails if `main` has dropped the `Shutdown`: then the deadline ends the process.
                let _delivered = deliver.send(end);
            });
        };
        let thread = std::thread::Builder::new().name("adieu-stop".to_owned()).spawn(conduct);
        drop(thread.map_err(BuildError::Thread)?);
        Ok(Self { control, runtime, registration, stop_signals, dump_signals, finished, report, name })
    }

    /// Sets the signals that ask for the stop. Default: SIGTERM, SIGINT and SIGHUP.
    ///
    /// # Errors
    ///
    /// As [`signals::subscribe`]. Then the signals are those of before.
    pub fn stop_signals(mut self, signals: impl IntoIterator<Item = Signal>) -> io::Result<Self> {
        let signals: Vec<Signal> = signals.into_iter().collect();
        let _inherited = self.registration.change(&signals, &self.dump_signals)?;
        self.stop_signals = signals;
        Ok(self)
    }

    /// Sets the signals that write to standard error what is running. Default: SIGUSR1.
    ///
    /// # Errors
    ///
    /// As [`signals::subscribe`]. Then the signals are those of before.
    pub fn dump_signals(mut self, signals: impl IntoIterator<Item = Signal>) -> io::Result<Self> {
        let signals: Vec<Signal> = signals.into_iter().collect();
        let _inherited = self.registration.change(&self.stop_signals, &signals)?;
        self.dump_signals = signals;
        Ok(self)
    }

    /// Runs `hook` at each of these signals, until the runtime ends.
    ///
    /// For example, SIGUSR2 switches a profile on and off, and SIGHUP reads the configuration again (if it is no [stop
    /// signal](Self::stop_signals)). The hook runs once at a time; any number of signals that come meanwhile cause one
    /// more run. A panic ends only that run.
    ///
    /// # Errors
    ///
    /// As [`signals::subscribe`].
    pub fn on_signal<F, Fut>(&self, signal: Signal, hook: F) -> io::Result<()>
    where
        F: Fn(Control) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let signals = signals::subscribe([signal], 1)?;
        drop(self.runtime.spawn(signals::run_at_each(signals, hook, self.control())));
        Ok(())
    }

    /// Returns when a stop is asked for: for `with_graceful_shutdown` and the like. The future borrows nothing.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub fn requested(&self) -> impl Future<Output = ()> + Send + 'static {
        let control = self.control.clone();
        async move { control.stopping().await }
    }

    /// Sends `READY=1` to the parent (systemd's `Type=notify`, `adieu run --ready notify`). Call it once `main` is
    /// listening.
    ///
    /// Does nothing when the parent has not asked to be notified. `STOPPING=1` is sent without a call.
    pub fn ready(&self) {
        notify::serving();
    }

    /// Returns a handle to ask for the stop and to wait for it.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Returns the work that [`finish`](Self::finish) waits for.
    #[must_use]
    pub fn in_flight(&self) -> &InFlight {
        self.control.in_flight()
    }

    /// Waits for what is in flight, until the deadline, and returns the report. Call it last in `main`.
    ///
    /// If no stop has been asked for, this asks for one.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once it has been dropped, the process is ended at the deadline.
    pub async fn finish(self) -> StopReport {
        let Self { control, finished, report, name, registration, .. } = self;
        // The conductor's thread keeps another reference to the end of the process.
        drop(registration);
        finished.cancel();
        control.send(Message::Close(Cause::Finished("main".to_owned())));
        let report = match report.await {
            Ok(Delivery { report, left, flushing }) => {
                drop(left);
                flushing.wait_async(PUBLISH_TIMEOUT).await;
                report
            }
            Err(_) => StopReport::refused(&name, &BuildError::Thread(std::io::Error::other("it has panicked"))),
        };
        control.move_on(Stage::Closed);
        report
    }
}
