//! Stops a tokio service in order and on time, and says what happened.
//!
//! **A stop is a plan with a deadline, run by one state machine, and it leaves a timeline.** An [`App`] owns `main`. It has
//! components that start in order and stop in reverse, it takes the signals, and its [`run`](App::run) returns a
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
//! | announce | say that it is about to go, while it still serves | [`Component::announce`] |
//! | quiesce | take nothing new on | [`Component::quiesce`] |
//! | drain | finish what it has taken on | [`Component::drain`] |
//! | cleanup | its farewell work, while everything it needs is up | [`Component::cleanup`] |
//! | close | stop | [`Component::stop`] |
//! | force | nothing: what is left is cancelled and named | |
//!
//! In each phase a component's hook runs when those of all that come [`after`](Component::after) it are over; independent
//! ones run at the same time. A phase ends the moment its work is done. An error or a panic is an end, not a wait. A hook
//! that does not return is cut in time for every other to have its turn; its future is dropped, and what does not heed
//! that is named in the report as leaked.
//!
//! # What holds whatever the rest of the process does
//!
//! The deadline. The stop is run by a thread that waits for events and time only, so it holds although all workers of
//! the runtime are blocked, a hook never returns, or a blocking task never ends. A second signal (at least a second after
//! the first: senders duplicate) cuts the deadline to now; a third ends the process at once, with 128+n.
//!
//! # When not to use it
//!
//! A command-line program that can be killed at any time needs none of this. To keep your own `main` and only add
//! signals, a deadline and a report to it, use [`Shutdown`].

// One idiom for a result that does not matter: `let _why = ..`, with a comment where it may hide a real failure. `drop(..)`
// ends the life of a value here and now; of a task's handle, it detaches the task.

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
