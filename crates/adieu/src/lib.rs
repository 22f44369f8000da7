//! Stops a tokio service in order and on time, and says what happened.
//!
//! **A stop is a plan with a deadline, run by one state machine, and it leaves a timeline.** An [`App`] owns `main`.
//! Its components start in order and stop in reverse. It handles signals, and its [`run`](App::run) returns a
//! [`StopReport`], whose exit code is 0 (clean), 1 (failed) or 124 (forced).
//!
//! ```
//! use adieu::App;
//! # struct Redis;
//! # impl Redis {
//! #     async fn connect() -> std::io::Result<Self> { Ok(Self) }
//! #     async fn remove_routes(&self) -> std::io::Result<()> { Ok(()) }
//! #     async fn quit(&self) -> std::io::Result<()> { Ok(()) }
//! # }
//!
//! fn main() -> adieu::StopReport {
//!     let app = App::new("shop"); // signals are handled from here on
//!     let redis = app
//!         .component("redis")
//!         .start(|_| Redis::connect())
//!         .stop(|redis, _| async move { redis.quit().await });
//!     let client = redis.handle();
//!     let routes = app
//!         .component("routes")
//!         .after(&redis) // so redis is still up here:
//!         .cleanup(move |_, _| async move { client.get().expect("after").remove_routes().await });
//!     app.main_task("work", |context| async move {
//!         let _guard = context.in_flight().guard("one piece of work");
//!     })
//!     .after(&routes);
//!     println!("{}", app.plan().expect("no contradiction"));
//!     app.run()
//! }
//! ```
//!
//! # The phases
//!
//! | phase | what a component may do in it | |
//! |---|---|---|
//! | announce | announce its end, while it still serves | [`Component::announce`] |
//! | quiesce | stop taking on new work | [`Component::quiesce`] |
//! | drain | finish the work that it has taken on | [`Component::drain`] |
//! | cleanup | do its farewell work, while everything that it needs is up | [`Component::cleanup`] |
//! | close | stop | [`Component::stop`] |
//! | force | nothing: what is left is cancelled, and the report names it | |
//!
//! In each phase, the hook of a component runs when the hooks of all components that come [`after`](Component::after)
//! it are over. Components without an order between them run at the same time. A phase ends as soon as its hooks are
//! over.
//!
//! A hook that returns an error or panics is over. A hook that does not return is cut in time for every other hook to
//! have its turn: its future is dropped, and the report names it as leaked if it still runs then.
//!
//! # Guarantees
//!
//! **The deadline holds.** A thread that waits for events and time only runs the stop. So the deadline holds although
//! all workers of the runtime are blocked, a hook never returns, or a blocking task never ends. A second signal, at
//! least a second after the first (senders repeat themselves), cuts the deadline to now. A third ends the process at
//! once, with exit code 128+n.
//!
//! **No work is overlooked.** Each piece of work is refused, or the drain waits for it: see [`InFlight`].
//!
//! # When not to use it
//!
//! A command-line program that can be killed at any time needs none of this. To keep your own `main` and only add
//! signals, a deadline and a report to it, use [`Shutdown`].

// One idiom for a result that does not matter: `let _why = ..`, with a comment where it may hide a real failure.
// `drop(..)` ends the life of a value here and now; of a task's handle, it detaches the task.

mod app;
mod builtin;
mod catch_unwind;
mod child;
mod children;
mod clock;
mod component;
mod component_report;
mod conductor;
mod context;
mod control;
mod counter;
mod delivery;
mod dump;
mod environment;
mod error;
mod fd_reserve;
mod fence;
mod gate;
mod guard;
mod hook;
mod in_flight;
mod last_resort;
mod lock;
mod notify;
mod owned_runtime;
mod parent;
mod publisher;
mod record;
mod registry;
mod report;
#[cfg(all(feature = "http", unix))]
pub mod serve;
mod shutdown;
pub mod signals;
mod spans;
mod summary;
mod task;
mod temp;
#[cfg(feature = "testing")]
pub mod testing;
mod work;

pub use adieu_core::signal::Signal;
pub use adieu_core::stop_plan::{Phase, Plan, PlanError, Verdict, Why, WorstCase};

pub use self::app::App;
pub use self::child::Child;
pub use self::component::{Component, Handle};
pub use self::component_report::ComponentReport;
pub use self::context::{StartContext, StopContext};
pub use self::control::{Control, Stage};
pub use self::counter::{InFlightCounter, InFlightToken};
pub use self::error::{BoxError, BuildError, NotRunning, Stopping};
pub use self::guard::Guard;
pub use self::hook::{ComponentHook, HookResult};
pub use self::in_flight::InFlight;
pub use self::registry::Registry;
pub use self::report::{Cause, HookReport, Outcome, PhaseReport, StillInFlight, StopReport};
pub use self::shutdown::Shutdown;
pub use self::task::TaskContext;

/// The code of the first page is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

/// The guide's code is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
mod guide {}
