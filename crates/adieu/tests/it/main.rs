//! Real processes that get real signals.
//!
//! A *scene* is a test with two sides: the service, which is the test program run again, and what happens to it.

#[cfg(unix)]
mod scene;

#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod order;
#[cfg(unix)]
mod own_main;
#[cfg(all(unix, feature = "http"))]
mod serve;
#[cfg(unix)]
mod signals;
