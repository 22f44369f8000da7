//! The runtime that an application owns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio_util::sync::CancellationToken;

/// How long the end waits for tasks and blocking work that belong to no component.
const JOIN: Duration = Duration::from_millis(100);

/// With this number of tasks the end does not wait: they are idle connections mostly, which the end of the process
/// closes faster than their tasks do.
const MANY: usize = 1_000;

/// A runtime, and the number of its threads.
#[derive(Debug)]
pub(crate) struct OwnedRuntime {
    runtime: Runtime,
    /// Number of threads. `None` for a given builder, whose thread hooks may be in use.
    threads: Option<Arc<AtomicUsize>>,
}

impl OwnedRuntime {
    /// Builds the runtime by `builder`, or a multi-threaded one, with time and I/O enabled.
    pub(crate) fn new(builder: Option<Builder>) -> std::io::Result<Self> {
        if let Some(mut given) = builder {
            return Ok(Self { runtime: given.enable_all().build()?, threads: None });
        }
        let threads = Arc::new(AtomicUsize::new(0));
        let (begun, ended) = (Arc::clone(&threads), Arc::clone(&threads));
        let runtime = Builder::new_multi_thread()
            .on_thread_start(move || {
                begun.fetch_add(1, Ordering::Relaxed);
            })
            .on_thread_stop(move || {
                ended.fetch_sub(1, Ordering::Relaxed);
            })
            .enable_all()
            .build()?;
        Ok(Self { runtime, threads: Some(threads) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Whether this thread may block. A task of another runtime may not, and tokio tells so only by a panic of
    /// `block_on`.
    pub(crate) fn may_wait_here(&self) -> bool {
        Handle::try_current().is_err() || catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(async {}))).is_ok()
    }

    /// Whether the runtime has no thread of its own.
    pub(crate) fn needs_this_thread(&self) -> bool {
        self.handle().runtime_flavor() == RuntimeFlavor::CurrentThread
    }

    /// Runs the runtime on this thread until `then` is cancelled.
    pub(crate) fn run_until(&self, then: CancellationToken) {
        self.runtime.block_on(then.cancelled_owned());
    }

    /// Ends a runtime that was not used. A task of another runtime cannot end it in any other way.
    pub(crate) fn abandon(self) {
        self.runtime.shutdown_background();
    }

    /// Whether no task and no thread for blocking work is left.
    fn is_empty(&self) -> bool {
        let metrics = self.runtime.metrics();
        let workers_only = |threads: &Arc<AtomicUsize>| threads.load(Ordering::Relaxed) <= metrics.num_workers();
        metrics.num_alive_tasks() == 0 && self.threads.as_ref().is_some_and(workers_only)
    }

    /// Ends the runtime, and waits a moment for tasks that are left, unless they are many.
    pub(crate) fn end(self) {
        let many = self.runtime.metrics().num_alive_tasks() >= MANY;
        if many || self.is_empty() {
            self.runtime.shutdown_background();
        } else {
            self.runtime.shutdown_timeout(JOIN);
        }
    }
}
