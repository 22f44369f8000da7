//! The runtime that an application owns, from its making to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio_util::sync::CancellationToken;

/// How long tasks and blocking work that nobody has registered are awaited when everything else is over.
const JOIN: Duration = Duration::from_millis(100);

/// So many tasks are connections at rest, mostly: to drop them one by one takes longer than the process's end, which closes
/// them just as well.
const MANY: usize = 1_000;

/// A runtime and what is known of its threads.
#[derive(Debug)]
pub(crate) struct OwnedRuntime {
    runtime: Runtime,
    /// How many threads there are, if nobody else wanted to know: a builder takes one hook each.
    threads: Option<Arc<AtomicUsize>>,
}

impl OwnedRuntime {
    /// By `builder`, or tokio's multi-threaded one; with all of it enabled.
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

    /// Whether the caller is no task of another runtime, which may not wait. It would be told by a panic, but only when the
    /// stop is over. Only tokio knows, and it has no other answer.
    pub(crate) fn may_wait_here(&self) -> bool {
        Handle::try_current().is_err() || catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(async {}))).is_ok()
    }

    /// Whether it has no thread of its own.
    pub(crate) fn needs_this_thread(&self) -> bool {
        self.handle().runtime_flavor() == RuntimeFlavor::CurrentThread
    }

    /// Runs on this thread until then.
    pub(crate) fn run_until(&self, then: CancellationToken) {
        self.runtime.block_on(then.cancelled_owned());
    }

    /// Ends it before anything has run on it. Within another runtime nothing else is possible.
    pub(crate) fn abandon(self) {
        self.runtime.shutdown_background();
    }

    /// Whether no task is left and no thread for blocking work.
    fn is_empty(&self) -> bool {
        let metrics = self.runtime.metrics();
        let workers_only = |threads: &Arc<AtomicUsize>| threads.load(Ordering::Relaxed) <= metrics.num_workers();
        metrics.num_alive_tasks() == 0 && self.threads.as_ref().is_some_and(workers_only)
    }

    /// Ends it, and waits for what is left if that is worth it.
    pub(crate) fn end(self) {
        let many = self.runtime.metrics().num_alive_tasks() >= MANY;
        if many || self.is_empty() {
            self.runtime.shutdown_background();
        } else {
            self.runtime.shutdown_timeout(JOIN);
        }
    }
}
