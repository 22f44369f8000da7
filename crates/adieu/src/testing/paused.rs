use std::time::Duration;

use tokio::runtime::Builder;

use crate::app::App;
use crate::app::run::run_closed_hooks;
use crate::control::{Control, Stage};
use crate::report::StopReport;

/// Runs an application on one thread and in paused time, with `script` beside it: whenever everything waits, time jumps to
/// the next moment that something waits for (`tokio::time::pause`). So a deadline of thirty seconds takes no time, and the
/// durations in the report are exact.
///
/// The plan, the budgets and the order are the real ones. What a real process has besides is not there: workers that can be
/// blocked and the watch over the end of the process. Real I/O works, but time does not wait for it. If the script ends, the
/// application does not, unless it was asked to: an application that nothing ends makes this run for ever.
///
/// # Panics
/// When there is no runtime to be had, and when a runtime calls this.
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
