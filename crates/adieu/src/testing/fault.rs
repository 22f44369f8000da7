//! Hooks that go wrong on purpose.

use std::time::Duration;

use adieu_core::stop_plan::Phase;

use crate::app::App;
use crate::catch_unwind::BoxFuture;
use crate::error::BoxError;
use crate::hook::HookFn;

/// A way in which a hook goes wrong. See [`inject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The hook panics.
    Panics,
    /// The hook returns an error.
    Errs,
    /// The hook never returns. Its future can be dropped.
    Hangs,
    /// The hook never returns and blocks its worker for ever. For a test with a process of its own, which must end
    /// nevertheless; not for [`paused`](super::paused), which has one thread.
    BlocksWorker,
    /// The hook waits for work in `spawn_blocking` that never returns.
    BlocksOutside,
    /// The hook ends after this time.
    Takes(Duration),
}

impl Fault {
    /// Goes wrong. For hooks and tasks that are written for a test.
    ///
    /// # Errors
    ///
    /// For [`Errs`](Self::Errs).
    ///
    /// # Panics
    ///
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

/// The application has no such hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{component}\" has no {phase} hook")]
pub struct NoSuchHook {
    /// Name of the component.
    pub component: String,
    /// Phase of the hook.
    pub phase: Phase,
}

/// Returns all hooks of an application, in the order of registration. [`inject`] can replace each of them.
#[must_use]
pub fn hooks(app: &App) -> Vec<(String, Phase)> {
    app.all_hooks()
}

/// Replaces a hook by a fault.
///
/// # Errors
///
/// [`NoSuchHook`].
pub fn inject(app: &App, component: &str, phase: Phase, fault: Fault) -> Result<(), NoSuchHook> {
    let hook: HookFn = Box::new(move |_| -> BoxFuture<Result<(), BoxError>> { Box::pin(fault.happen()) });
    let replaced = app.replace_hook(component, phase, hook);
    if replaced { Ok(()) } else { Err(NoSuchHook { component: component.to_owned(), phase }) }
}
