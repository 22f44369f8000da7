//! Real processes that get real signals.
//!
//! A *scene* is a test with two sides: the service, which is the test program run again, and what happens to it.

#[cfg(unix)]
mod scene;

#[cfg(unix)]
mod chores;
#[cfg(unix)]
mod descriptors;
#[cfg(unix)]
mod examples;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod generated;
#[cfg(unix)]
mod leaving;
#[cfg(unix)]
mod order;
#[cfg(unix)]
mod own_main;
#[cfg(unix)]
mod peers;
#[cfg(unix)]
mod reports;
#[cfg(unix)]
mod runtimes;
#[cfg(all(unix, feature = "http"))]
mod serve;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod spans;
#[cfg(unix)]
mod subscriptions;
#[cfg(unix)]
mod systemd;
#[cfg(unix)]
mod triggers;
