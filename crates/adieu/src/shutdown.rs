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

/// Signals, a deadline, guards and a report for those who keep their own `main`.
///
/// ```no_run
/// use std::time::Duration;
///
/// #[tokio::main]
/// async fn main() -> std::io::Result<adieu::StopReport> {
///     let shutdown = adieu::Shutdown::install("shop", Duration::from_secs(30)).map_err(std::io::Error::other)?;
///     let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
///     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
///     axum::serve(listener, app).with_graceful_shutdown(shutdown.requested()).await?;
///     Ok(shutdown.finish().await)
/// }
/// ```
///
/// From the request on, the process has the grace period to end. Unless it has by then, it is ended: with the report on
/// standard error and exit code 124, by a thread that no runtime can block. This holds after [`finish`](Self::finish)
/// too, so a blocking task that keeps the runtime from being dropped does not keep the process.
///
/// SIGTERM, SIGINT and SIGHUP ask for the stop ([`stop_signals`](Self::stop_signals) changes that), SIGUSR1 writes to
/// standard error what is running ([`Control::dump`]), and any other can have a [hook](Self::on_signal) of its own.
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
    /// Installs the handlers of SIGTERM, SIGINT, SIGHUP and SIGUSR1. To be called first in `main`, within a tokio runtime.
    ///
    /// # Errors
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
            // Signals are counted to the very end of the process.
            let _registration = kept;
            conductor.run(move |end| {
                // Nobody waits for it if `main` has not come to `finish`: the deadline does the rest.
                let _delivered = deliver.send(end);
            });
        };
        let thread = std::thread::Builder::new().name("adieu-stop".to_owned()).spawn(conduct);
        drop(thread.map_err(BuildError::Thread)?);
        Ok(Self { control, runtime, registration, stop_signals, dump_signals, finished, report, name })
    }

    /// The signals that ask for the stop. Default: SIGTERM, SIGINT and SIGHUP.
    ///
    /// # Errors
    /// As [`signals::subscribe`]; the signals are those of before then.
    pub fn stop_signals(mut self, signals: impl IntoIterator<Item = Signal>) -> io::Result<Self> {
        let signals: Vec<Signal> = signals.into_iter().collect();
        let _inherited = self.registration.change(&signals, &self.dump_signals)?;
        self.stop_signals = signals;
        Ok(self)
    }

    /// The signals upon which it writes to standard error what is running. Default: SIGUSR1.
    ///
    /// # Errors
    /// As [`signals::subscribe`]; the signals are those of before then.
    pub fn dump_signals(mut self, signals: impl IntoIterator<Item = Signal>) -> io::Result<Self> {
        let signals: Vec<Signal> = signals.into_iter().collect();
        let _inherited = self.registration.change(&self.stop_signals, &signals)?;
        self.dump_signals = signals;
        Ok(self)
    }

    /// `hook` runs at each of these signals, until the runtime ends: SIGUSR2 switches a profile on and off, SIGHUP reads the
    /// configuration again (if it is no [stop signal](Self::stop_signals)). One at a time; signals that come meanwhile are
    /// one more. A panic ends only that run of the hook.
    ///
    /// # Errors
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

    /// Returns when a stop is asked for: for `with_graceful_shutdown` and the like. Borrows nothing; cancel safe.
    pub fn requested(&self) -> impl Future<Output = ()> + Send + 'static {
        let control = self.control.clone();
        async move { control.stopping().await }
    }

    /// Tells whoever started the process that it serves (`READY=1`: systemd's `Type=notify`, `adieu run --ready notify`). To be
    /// called when `main` listens, and nothing without such a one. That it stops is told without this.
    pub fn ready(&self) {
        notify::serving();
    }

    /// A handle to ask for a stop and to wait for it.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Work that [`finish`](Self::finish) waits for.
    #[must_use]
    pub fn in_flight(&self) -> &InFlight {
        self.control.in_flight()
    }

    /// `main` is through: waits for what is in flight, until the deadline, and returns the report. Without a request this
    /// is one. Not cancel safe: dropped, the process is ended at the deadline.
    pub async fn finish(self) -> StopReport {
        let Self { control, finished, report, name, registration, .. } = self;
        // The conductor has it too, to the end of the process.
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
