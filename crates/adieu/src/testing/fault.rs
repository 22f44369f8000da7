use std::time::Duration;

use adieu_core::stop_plan::Phase;

use crate::app::App;
use crate::catch_unwind::BoxFuture;
use crate::error::BoxError;
use crate::hook::HookFn;

/// A way of going wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It panics.
    Panics,
    /// It returns an error.
    Errs,
    /// It never returns; dropped, it is gone.
    Hangs,
    /// It never returns and keeps its worker; nothing ends that. Not for [`paused`](super::paused) time, where there is one
    /// thread for everything: a real process must end in spite of it.
    BlocksWorker,
    /// It has work in `spawn_blocking` that never returns.
    BlocksOutside,
    /// It ends after this time.
    Takes(Duration),
}

impl Fault {
    /// Goes wrong.
    ///
    /// # Errors
    /// For [`Errs`](Self::Errs).
    ///
    /// # Panics
    /// For [`Panics`](Self::Panics).
    pub async fn happen(self) -> Result<(), BoxError> {
        match self {
            Self::Panics => std::panic::panic_any("an injected panic"),
            Self::Errs => Err("an injected error".into()),
            Self::Hangs => std::future::pending().await,
            Self::BlocksWorker => forever(),
            Self::BlocksOutside => Ok(tokio::task::spawn_blocking(forever).await?),
            Self::Takes(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }
}

fn forever<T>() -> T {
    loop {
        std::thread::park();
    }
}

/// There is no such hook to break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{component}\" has no {phase} hook")]
pub struct NoSuchHook {
    /// Of which component.
    pub component: String,
    /// Of which phase.
    pub phase: Phase,
}

/// All hooks of an application, in the order of registration: what [`inject`] can break.
#[must_use]
pub fn hooks(app: &App) -> Vec<(String, Phase)> {
    app.all_hooks()
}

/// Puts a fault in the place of a hook.
///
/// # Errors
/// [`NoSuchHook`].
pub fn inject(app: &App, component: &str, phase: Phase, fault: Fault) -> Result<(), NoSuchHook> {
    let hook: HookFn = Box::new(move |_| -> BoxFuture<Result<(), BoxError>> { Box::pin(fault.happen()) });
    let replaced = app.replace_hook(component, phase, hook);
    if replaced { Ok(()) } else { Err(NoSuchHook { component: component.to_owned(), phase }) }
}
