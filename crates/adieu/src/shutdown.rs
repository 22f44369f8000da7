use std::sync::Arc;
use std::time::Duration;

use adieu_core::signal::Signal;
use adieu_core::stop_plan::{Phase, Plan, Policy};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::conductor::{Conductor, Delivery, TELL, plan_time};
use crate::control::{Control, Message, Stage};
use crate::error::BuildError;
use crate::guard::InFlight;
use crate::hook::Entry;
use crate::report::{Cause, StopReport};
use crate::signals::Seat;
use crate::{builtin, grants};

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
#[derive(Debug)]
pub struct Shutdown {
    control: Control,
    finished: CancellationToken,
    report: oneshot::Receiver<Delivery>,
    name: String,
}

impl Shutdown {
    /// Installs the handlers of SIGTERM, SIGINT and SIGHUP. To be called first in `main`, within a tokio runtime.
    ///
    /// # Errors
    /// [`BuildError::Thread`] when a thread could not be started, [`BuildError::Runtime`] outside of a runtime.
    pub fn install(name: impl Into<String>, grace: Duration) -> Result<Self, BuildError> {
        let name = name.into();
        let runtime = Handle::try_current().map_err(|error| BuildError::Runtime(std::io::Error::other(error)))?;
        let (control, messages) = Control::new();
        let seat = Seat::of_application(control.post(), control.children().clone());
        let inherited = seat.change(&[Signal::TERM, Signal::INT, Signal::HUP], &[]);
        let finished = CancellationToken::new();
        let entries = vec![main_entry(finished.clone()), builtin::in_flight_entry()];
        let specs = entries.iter().map(|entry| entry.spec.clone()).collect();
        let plan = Plan::new(specs, Policy { grace: plan_time(grace), ..Policy::default() })?;
        let plan = Arc::new(plan);
        let mut conductor = Conductor::new(name.clone(), plan, entries, control.clone(), runtime, messages, grace)
            .map_err(BuildError::Thread)?;
        grants::notes(grace, &inherited).into_iter().for_each(|note| conductor.note(note));
        let (deliver, report) = oneshot::channel();
        let conduct = move || {
            // Signals are counted to the very end of the process.
            let _seat = seat;
            conductor.run(move |end| {
                // Nobody waits for it if `main` has not come to `finish`: the deadline does the rest.
                let _delivered = deliver.send(end);
            });
        };
        let thread = std::thread::Builder::new().name("adieu-stop".to_owned()).spawn(conduct);
        drop(thread.map_err(BuildError::Thread)?);
        Ok(Self { control, finished, report, name })
    }

    /// Returns when a stop is asked for: for `with_graceful_shutdown` and the like. Borrows nothing; cancel safe.
    pub fn requested(&self) -> impl Future<Output = ()> + Send + 'static {
        let control = self.control.clone();
        async move { control.stopping().await }
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
        let Self { control, finished, report, name } = self;
        finished.cancel();
        control.tell(Message::Close(Cause::Finished("main".to_owned())));
        let report = match report.await {
            Ok(Delivery { report, left, telling }) => {
                drop(left);
                telling.told(TELL).await;
                report
            }
            Err(_) => StopReport::refused(&name, &BuildError::Thread(std::io::Error::other("it has panicked"))),
        };
        control.move_on(Stage::Closed);
        report
    }
}

/// The application itself, which the drain waits for.
fn main_entry(finished: CancellationToken) -> Entry {
    let mut entry = Entry::new("main".to_owned());
    entry.hook(
        Phase::Drain,
        Box::new(move |_| {
            Box::pin(async move {
                finished.cancelled().await;
                Ok(())
            })
        }),
    );
    entry
}
