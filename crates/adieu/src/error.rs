//! Errors of this crate.

use adieu_core::stop_plan::PlanError;

/// Any error of a start, a hook or a task.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The drain has begun, so the service takes on no new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the service is stopping")]
pub struct Stopping;

/// A component has not started yet, or has stopped already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" is not running")]
pub struct NotRunning {
    /// Name of the component.
    pub name: String,
}

/// An application cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The components contradict each other.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A component comes after a component of another [`App`](crate::App).
    #[error("\"{component}\" comes after \"{after}\", which belongs to another app")]
    OtherApp {
        /// Name of the component of this app.
        component: String,
        /// Name of the component of the other app.
        after: String,
    },
    /// A component has two starts, or a start that was set after hooks, which would not get its value.
    #[error("\"{component}\" says how it starts twice, or after its hooks")]
    LateStart {
        /// Name of the component.
        component: String,
    },
    /// The runtime could not be made.
    #[error("no runtime: {0}")]
    Runtime(std::io::Error),
    /// [`App::run`](crate::App::run) was called by a task of another runtime, which may not wait.
    #[error("called within a runtime: call it in a `main` that is not async, or use `adieu::Shutdown`")]
    WithinRuntime,
    /// A thread could not be started.
    #[error("no thread: {0}")]
    Thread(std::io::Error),
}
