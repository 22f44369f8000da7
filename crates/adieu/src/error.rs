use adieu_core::stop_plan::PlanError;

/// Any error of a start or a hook.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The service is stopping: nothing new is taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the service is stopping")]
pub struct Stopping;

/// A component that has not started yet, or has stopped already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" is not running")]
pub struct NotRunning {
    /// Its name.
    pub name: String,
}

/// Why an application cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The components contradict each other.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An edge to a component of another [`App`](crate::App).
    #[error("\"{component}\" comes after \"{after}\", which belongs to another app")]
    OtherApp {
        /// Whose edge.
        component: String,
        /// The other app's component.
        after: String,
    },
    /// A second start, or one that comes after hooks which would not get its value.
    #[error("\"{component}\" says how it starts twice, or after its hooks")]
    LateStart {
        /// Whose start.
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
