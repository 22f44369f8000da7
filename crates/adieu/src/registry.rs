//! Service registries, which a stop leaves first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::app::App;
use crate::component::Component;
use crate::error::BoxError;

/// A service registry, a load balancer or a DNS name, by which clients find this service. See [`App::registry`].
///
/// ```
/// use std::io;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// use adieu::testing::paused;
/// use adieu::{App, Registry};
///
/// /// Stands for a client of a real one.
/// #[derive(Default)]
/// struct Consul(AtomicBool);
///
/// impl Registry for Consul {
///     type Error = io::Error;
///
///     async fn register(&self) -> io::Result<()> {
///         self.0.store(true, Ordering::SeqCst);
///         Ok(())
///     }
///
///     async fn deregister(&self) -> io::Result<()> {
///         self.0.store(false, Ordering::SeqCst);
///         Ok(())
///     }
///
///     async fn is_seen(&self) -> io::Result<bool> {
///         Ok(self.0.load(Ordering::SeqCst))
///     }
/// }
///
/// let app = App::new("shop");
/// let api = app.task("api", |context| async move { context.asked_to_end().await });
/// app.registry("consul", Consul::default()).after(&api);
/// let report = paused(app, |control| async move {
///     control.serving().await;
///     control.close();
/// });
/// assert_eq!(report.code(), 0, "{report}");
/// ```
pub trait Registry: Send + Sync + 'static {
    /// The error of a call to the registry.
    type Error: Into<BoxError> + Send;

    /// Registers the service.
    ///
    /// # Cancel safety
    ///
    /// When a stop begins during the start, the future is dropped, and [`deregister`](Self::deregister) is not called:
    /// dropped, the future must leave nothing registered.
    fn register(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Deregisters the service. Also called when [`register`](Self::register) has failed, as it may have failed half
    /// way.
    fn deregister(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whether clients still see the service. An error ends the wait.
    fn is_seen(&self) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// The time between two calls of [`is_seen`](Self::is_seen). Default: 100 ms.
    fn poll_every(&self) -> Duration {
        Duration::from_millis(100)
    }

    /// How long the service still serves when it is not seen any more, for clients that have looked just before.
    /// Default: no time.
    fn linger(&self) -> Duration {
        Duration::ZERO
    }
}

/// A registry, and whether the service has left it.
struct Registered<R> {
    registry: R,
    left: AtomicBool,
}

impl<R: Registry> Registered<R> {
    async fn join(&self) -> Result<(), BoxError> {
        let Err(error) = self.registry.register().await else { return Ok(()) };
        // A second error would hide why the registration failed.
        let _left = self.leave().await;
        Err(error.into())
    }

    async fn leave(&self) -> Result<(), BoxError> {
        if self.left.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.registry.deregister().await.map_err(Into::into)
    }

    async fn leave_and_wait(&self) -> Result<(), BoxError> {
        self.leave().await?;
        while self.registry.is_seen().await.map_err(Into::into)? {
            tokio::time::sleep(self.registry.poll_every()).await;
        }
        tokio::time::sleep(self.registry.linger()).await;
        Ok(())
    }
}

impl App {
    /// Registers the service in its turn of the start, and leaves the registry first in a stop.
    ///
    /// Let this component come [`after`](Component::after) what serves. In the announce phase it deregisters, and
    /// everything still serves until the service [is not seen](Registry::is_seen) any more. A registry that always sees
    /// the service costs the limit of the announce phase, and no more.
    ///
    /// When force was asked for there is no announce phase: then it deregisters when its turn to close comes.
    pub fn registry<R: Registry>(&self, name: impl Into<String>, registry: R) -> Component<'_, ()> {
        let registered = std::sync::Arc::new(Registered { registry, left: AtomicBool::new(false) });
        let (leaving, closing) = (registered.clone(), registered.clone());
        self.component(name)
            .start(move |_| async move { registered.join().await })
            .announce(move |_, _| async move { leaving.leave_and_wait().await })
            .stop(move |_, _| async move { closing.leave().await })
    }
}
