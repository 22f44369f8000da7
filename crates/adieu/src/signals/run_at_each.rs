//! Hooks that run at each signal.

use super::subscription::Subscription;
use crate::catch_unwind::catch_unwind_future;
use crate::control::Control;

/// Runs `hook` at each signal, one run at a time. Signals that come during a run cause one more, as `signals` has room
/// for one. A panic ends only that run. Never returns.
pub(crate) async fn run_at_each<F, Fut>(mut signals: Subscription, hook: F, control: Control)
where
    F: Fn(Control) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    while let Some(signal) = signals.recv().await {
        let run = catch_unwind_future(|| {
            let running = hook(control.clone());
            Box::pin(async move {
                running.await;
                Ok(())
            })
        });
        if let Some(error) = run.await.error {
            tracing::error!(%signal, error, "the hook of a signal has panicked");
        }
    }
}
