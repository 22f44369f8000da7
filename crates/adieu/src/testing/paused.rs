//! Applications in paused time.

use std::time::Duration;

use tokio::runtime::Builder;

use crate::app::App;
use crate::app::run::run_closed_hooks;
use crate::control::{Control, Stage};
use crate::report::StopReport;

/// Runs an application on one thread in paused time, with `script` beside it, and returns the report of its stop.
///
/// Whenever everything waits, time jumps to the next moment that something waits for (`tokio::time::pause`). So a
/// deadline of 30 s takes no time, and the durations in the report are exact.
///
/// ```
/// use std::time::Duration;
///
/// use adieu::testing::{Fault, paused};
/// use adieu::{App, Outcome};
///
/// let app = App::new("shop").grace(Duration::from_secs(30));
/// app.component("feed").stop(|_, _| Fault::Hangs.happen());
/// let report = paused(app, |control| async move {
///     control.serving().await;
///     control.close();
/// });
/// assert_eq!(report.outcome, Outcome::Forced);
/// assert!(report.took > Duration::from_secs(28), "{report}");
/// ```
///
/// The plan, the budgets and the order are those of [`App::run`]. Two things are missing: workers that a test could
/// block, and the watch over the end of the process. Real I/O works, but time does not wait for it. An application that
/// nothing stops runs for ever, also when the script has ended.
///
/// # Panics
///
/// When no runtime can be made, and when a task of a runtime calls it.
pub fn paused<F, Fut>(app: App, script: F) -> StopReport
where
    F: FnOnce(Control) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let name = app.name().to_owned();
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime of one thread");
    let ready = match app.make_ready(runtime.handle()) {
        Ok(ready) => ready,
        Err(error) => return StopReport::refused(&name, &error),
    };
    let control = ready.control.clone();
    let report = runtime.block_on(async {
        let scripted = tokio::spawn(script(control.clone()));
        let (report, left) = ready.conductor.run_here().await;
        scripted.abort();
        drop(left);
        report
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    let report = run_closed_hooks(report, ready.closed_hooks);
    drop(ready.registration);
    control.move_on(Stage::Closed);
    report
}
