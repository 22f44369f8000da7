//! Clients that load a service during its stop.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The results of a [`Load`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Number of requests that succeeded.
    pub done: u64,
    /// Number of requests that failed, by their error.
    pub failed: BTreeMap<String, u64>,
}

/// Clients that send one request after the other, for a stop under load.
///
/// ```
/// use adieu::App;
/// use adieu::testing::Load;
///
/// # async fn request() -> Result<(), std::io::Error> { Ok(()) }
/// let app = App::new("shop");
/// app.task("test", |context| async move {
///     let load = Load::start(8, request);
///     load.answered(100).await; // the stop comes in the middle of it
///     context.close();
///     let counts = load.finish().await;
///     assert!(counts.failed.is_empty(), "{counts:?}");
/// });
/// assert_eq!(app.run().code(), 0);
/// ```
///
/// A client ends with its first request that fails. `request` decides what a failure is: for a refusal that the test
/// expects it returns `Ok`.
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<Result<(), String>>,
    done: Arc<AtomicU64>,
    progress: Arc<Notify>,
    end: CancellationToken,
}

impl Load {
    /// Starts this number of clients on the current runtime.
    pub fn start<F, Fut, E>(clients: usize, request: F) -> Self
    where
        F: Fn() -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send,
    {
        let (done, progress, end) = (Arc::<AtomicU64>::default(), Arc::<Notify>::default(), CancellationToken::new());
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let (request, done, progress, end) = (request.clone(), done.clone(), progress.clone(), end.clone());
            set.spawn(async move {
                while !end.is_cancelled() {
                    request().await.map_err(|error| error.to_string())?;
                    done.fetch_add(1, Ordering::Relaxed);
                    progress.notify_waiters();
                    // A request that never waits would not let other tasks run.
                    tokio::task::yield_now().await;
                }
                Ok(())
            });
        }
        Self { clients: set, done, progress, end }
    }

    /// Returns when this number of requests have succeeded in all. Never returns if they fail.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn answered(&self, requests: u64) {
        loop {
            // Before the look at `done`: a request that ends after the look wakes it.
            let progress = self.progress.notified();
            if self.done.load(Ordering::Relaxed) >= requests {
                return;
            }
            progress.await;
        }
    }

    /// Lets every client finish its last request, and returns the results.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropped, it ends the clients in the middle of a request.
    pub async fn finish(self) -> Counts {
        let Self { mut clients, done, end, .. } = self;
        end.cancel();
        let mut failed = BTreeMap::new();
        while let Some(ended) = clients.join_next().await {
            if let Err(error) = ended.unwrap_or_else(|error| Err(error.to_string())) {
                *failed.entry(error).or_insert(0) += 1;
            }
        }
        Counts { done: done.load(Ordering::Relaxed), failed }
    }
}
