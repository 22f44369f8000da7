//! Tests of an application's stop: paused time, faults, a notify socket, a load. Feature `testing`, for
//! `dev-dependencies`.
//!
//! | to test | use |
//! |---|---|
//! | a whole stop with its deadline, in no time | [`paused`] |
//! | a hook that hangs, errs, panics or blocks a worker | [`hooks`] and [`inject`], [`Fault`] |
//! | what a supervisor is told | [`NotifySocket`] |
//! | what clients notice | [`Load`] |
//!
//! # Examples
//!
//! The stop ends by the deadline, whichever hook hangs:
//!
//! ```
//! use adieu::testing::{self, Fault};
//! use adieu::{App, Outcome};
//!
//! # async fn close_pool() {}
//! fn shop() -> App {
//!     let app = App::new("shop");
//!     let pool = app.component("pool").stop(|_, _| async { close_pool().await });
//!     app.component("api").after(&pool).drain(|_, _| async {}).stop(|_, _| async {});
//!     app
//! }
//!
//! for (component, phase) in testing::hooks(&shop()) {
//!     let app = shop();
//!     testing::inject(&app, &component, phase, Fault::Hangs).expect("it is there");
//!     let report = testing::paused(app, |control| async move {
//!         control.serving().await;
//!         control.close();
//!     });
//!     assert_eq!(report.outcome, Outcome::Forced, "{report}");
//!     // The hook that hangs does not take the turn of another.
//!     assert_eq!(report.hooks.iter().filter(|hook| hook.verdict.was_forced()).count(), 1, "{report}");
//! }
//! ```

mod fault;
mod load;
mod notify_socket;
mod paused;

pub use self::fault::{Fault, NoSuchHook, hooks, inject};
pub use self::load::{Counts, Load};
pub use self::notify_socket::NotifySocket;
pub use self::paused::paused;
