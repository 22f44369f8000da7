//! Everything in flight of one application: guards and counters behind one gate.

use std::borrow::Cow;
use std::panic::Location;
use std::sync::{Arc, Mutex};

use adieu_core::Timestamp;

use crate::clock;
use crate::counter::{InFlightCounter, Shards};
use crate::error::Stopping;
use crate::gate::Gate;
use crate::guard::{Guard, Guards};
use crate::lock::lock;
use crate::report::StillInFlight;

#[cfg(test)]
mod tests;

/// All work that a stop waits for before it closes what the work needs. Cheap to clone; see [`Control::in_flight`].
///
/// A [`Guard`] stands for one piece of work and has a name, a place in the source and an exact age. An
/// [`InFlightCounter`] counts many small pieces, such as requests.
///
/// # Guarantees
///
/// - The gate closes when the drain begins. From then on [`guard`](Self::guard) and [`InFlightCounter::token`] return
///   [`Stopping`]; every guard and token that they returned before is waited for. No work is both accepted and
///   overlooked, whichever threads take guards while the gate closes.
/// - Work that belongs to work in flight is never refused: [`Guard::nested`], [`InFlightCounter::nested_token`].
/// - The drain waits until the last guard and token are dropped, or until its time is up. Then the report names what
///   was left ([`StopReport::in_flight`](crate::StopReport::in_flight)).
/// - Guards do not cancel work. A task that should end early listens to
///   [`Control::stopping`](crate::Control::stopping).
///
/// # When not to use it
///
/// A task that runs as long as the service is a component: [`App::task`](crate::App::task). Requests of
/// [`App::serve`](crate::App::serve) are counted already.
///
/// # Examples
///
/// Take the guard first, and then the message off the queue: what was taken without a guard is lost when the drain
/// begins in between.
///
/// ```
/// use adieu::testing::paused;
/// use adieu::{App, Stopping};
///
/// let app = App::new("worker");
/// app.main_task("consume", |context| async move {
///     let mut queue = vec!["first", "second", "third"];
///     loop {
///         let Ok(_guard) = context.in_flight().guard("a message") else { return };
///         let Some(message) = queue.pop() else { return };
///         println!("{message}");
///     }
/// });
/// app.component("late").cleanup(|_, context| async move {
///     assert_eq!(context.in_flight().guard("too late").err(), Some(Stopping));
/// });
/// let report = paused(app, |_| async {}); // the main task ends the application
/// assert_eq!(report.code(), 0, "{report}");
/// ```
///
/// # Compared with `TaskTracker`, `CancellationToken` and `GracefulShutdown`
///
/// | | `InFlight` | `TaskTracker` | `CancellationToken` | `hyper_util` `GracefulShutdown` |
/// |---|---|---|---|---|
/// | waits for | guards and tokens | tasks and tokens | nothing | connections that it watches |
/// | new work after the close | refused, with an error | accepted, and waited for | – | – |
/// | cancels | no | no | yes | HTTP connections, gracefully |
/// | says what is left | name, source line, age | a number | no | a number |
/// | who ends the wait | the plan's deadline | the caller | – | the caller |
/// | one token, on two threads at once | 2 ns, 4 ns | 13 ns, 149 ns | – | 18 ns, 184 ns |
///
/// (Times: `cargo xtask bench guards`; the tokens of an `InFlightCounter`.)
///
/// - `tokio_util::task::TaskTracker` knows when tasks have ended. It has no gate: between `close` and `wait` a task can
///   still be spawned, and keeps the wait up. Use it inside of one component, to wait for the tasks of that component.
/// - `tokio_util::sync::CancellationToken` tells tasks to end, and does not know when they have. Use both: a token to
///   tell, a guard in the task to be waited for. [`TaskContext::token`](crate::TaskContext::token) is such a token.
/// - `hyper_util::server::graceful::GracefulShutdown` ends connections of a hand-written accept loop. It counts
///   connections, not requests, and waits without a limit. [`App::serve`](crate::App::serve) does this and its
///   deadline.
///
/// [`Control::in_flight`]: crate::Control::in_flight
#[derive(Debug, Clone)]
pub struct InFlight {
    inner: Arc<InFlightInner>,
}

#[derive(Debug)]
struct InFlightInner {
    gate: &'static Gate,
    guards: Arc<Guards>,
    counters: Mutex<Vec<InFlightCounter>>,
}

impl InFlight {
    pub(crate) fn new() -> Self {
        let gate = Gate::leak();
        Self { inner: Arc::new(InFlightInner { gate, guards: Guards::new(gate), counters: Mutex::default() }) }
    }

    /// Puts a named piece of work in flight, until the guard is dropped. The name may be a literal or a `String`.
    ///
    /// # Errors
    ///
    /// [`Stopping`] when the drain has begun.
    #[track_caller]
    pub fn guard(&self, name: impl Into<Cow<'static, str>>) -> Result<Guard, Stopping> {
        let guard = self.inner.guards.add(name.into(), Location::caller());
        if self.inner.gate.is_closed() { Err(Stopping) } else { Ok(guard) }
    }

    /// Makes a counter of many small pieces of work. Make it once and keep it: its memory (2 KiB) is never freed.
    #[track_caller]
    #[must_use]
    pub fn counter(&self, name: &'static str) -> InFlightCounter {
        self.counter_at(name, Location::caller())
    }

    pub(crate) fn counter_at(&self, name: &'static str, at: &'static Location<'static>) -> InFlightCounter {
        let counter = InFlightCounter::new(name, at, Shards::leak(), self.inner.gate);
        lock(&self.inner.counters).push(counter);
        counter
    }

    /// How many guards and tokens exist now. While other threads take and drop them, the number may be out of date at
    /// once.
    #[must_use]
    pub fn count(&self) -> usize {
        let small: usize = lock(&self.inner.counters).iter().map(InFlightCounter::count).sum();
        self.inner.guards.count() + small
    }

    /// Whether nothing is in flight. The gate must be closed.
    ///
    /// The order of the three reads matters (see `counter`, "Reading a sum of shards"): ends, guards, beginnings.
    /// - A token hands over to a guard: the guard is inserted before the token's end is stored with `Release`. If the
    ///   first read sees the end, the second sees the guard.
    /// - A guard hands over to a token: the token's beginning is stored before the guard is removed under the lock. If
    ///   the second read misses the guard, the third sees the beginning.
    fn is_empty(&self) -> bool {
        let ended = self.sum(InFlightCounter::ended);
        let named = self.inner.guards.count();
        named == 0 && self.sum(InFlightCounter::begun) == ended
    }

    fn sum(&self, of: impl Fn(&InFlightCounter) -> usize) -> usize {
        lock(&self.inner.counters).iter().fold(0, |sum, counter| sum.wrapping_add(of(counter)))
    }

    /// Closes the gate: what is not counted yet is refused from now on.
    pub(crate) fn close(&self) {
        self.inner.gate.close();
    }

    /// Returns when nothing is in flight. The gate must be closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn drained(&self) {
        loop {
            // Before the look: see `gate`.
            let ended = self.inner.gate.next_end();
            if self.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// What is in flight, the oldest first. `closed`: when the gate was closed, which bounds the age of counted work.
    pub(crate) fn list(&self, closed: Timestamp) -> Vec<StillInFlight> {
        let now = clock::now();
        let mut list = self.inner.guards.list(now);
        for counter in lock(&self.inner.counters).iter().filter(|counter| counter.count() > 0) {
            list.push(StillInFlight {
                name: counter.name().to_owned(),
                place: counter.at().to_string(),
                count: counter.count(),
                age: now.since(closed),
                exact: false,
            });
        }
        list.sort_by_key(|of| std::cmp::Reverse(of.age));
        list
    }
}
