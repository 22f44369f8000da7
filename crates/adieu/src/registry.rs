//! Places where others find this service, and which it leaves first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::app::App;
use crate::component::Component;
use crate::error::BoxError;

/// A place where others find this service: a service registry, a load balancer, a DNS name. See [`App::registry`].
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
    /// What can go wrong.
    type Error: Into<BoxError> + Send;

    /// Makes the service known. Cancelled by being dropped.
    fn register(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Takes the service out. May be asked although the registration has failed half way.
    fn deregister(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whether those who send requests still know of the service. An error ends the wait.
    fn is_seen(&self) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// How long after one question the next is asked.
    fn poll_every(&self) -> Duration {
        Duration::from_millis(100)
    }

    /// How long the service goes on serving when it is not seen any more: somebody may have looked just before. Default:
    /// nothing.
    fn linger(&self) -> Duration {
        Duration::ZERO
    }
}

/// A registry and what has been done with it.
struct Registered<R> {
    registry: R,
    left: AtomicBool,
}

impl<R: Registry> Registered<R> {
    async fn join(&self) -> Result<(), BoxError> {
        let Err(error) = self.registry.register().await else { return Ok(()) };
        // Half way in is out again; why it failed is what matters.
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
    /// Registers the service, in its turn of the start (so let this come [`after`](Component::after) whatever serves), and
    /// leaves first: in the announce phase it is taken out, and then everything goes on serving until nobody sees it any
    /// more. Whoever sees it for ever costs the announce phase's limit and no more.
    ///
    /// If there is no announce phase because force was asked for, it is taken out when this component's turn to close comes.
    pub fn registry<R: Registry>(&self, name: impl Into<String>, registry: R) -> Component<'_, ()> {
        let registered = std::sync::Arc::new(Registered { registry, left: AtomicBool::new(false) });
        let (leaving, closing) = (registered.clone(), registered.clone());
        self.component(name)
            .start(move |_| async move { registered.join().await })
            .announce(move |_, _| async move { leaving.leave_and_wait().await })
            .stop(move |_, _| async move { closing.leave().await })
    }
}
