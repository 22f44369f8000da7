//! The supervisor behind `adieu run`: one thread, one poll loop, generations of any program.
//!
//! [`run`] does it all; [`client`] and [`connect`] reach an instance that runs.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing))]

pub mod client;
mod connections;
mod control;
#[cfg(feature = "failpoints")]
mod failpoint;
mod hooks;
mod http;
mod interests;
mod journal;
pub mod options;
mod process_table;
mod processes;
mod readiness;
mod sockets;
mod supervisor;
mod systemd;
#[cfg(test)]
mod testing;
mod view;

use std::path::Path;

use adieu_core::signal::Signal;
use adieu_linux::signals::{self, SignalFd};
use adieu_linux::spawn::exit_now;
use adieu_linux::wait;

use crate::control::Instance;
pub use crate::control::{InstanceError, connect, names};
use crate::options::Options;
pub use crate::processes::LaunchError;
use crate::sockets::Inherited;
use crate::supervisor::Supervisor;

/// `adieu run` itself could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No name, or no place for the control socket.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// A system call that everything needs was refused.
    #[error("cannot {0}: {1}")]
    System(&'static str, std::io::Error),
    /// Nothing to run.
    #[error("there is no command: adieu run [OPTIONS] -- CMD ARGS")]
    NoCommand,
}

/// Runs a program until everything of it has ended, and then ends this process with the program's exit code, 128+n for
/// signal n, 126 or 127 when it could not be started (changed by `--map-exit`). Returns only when it cannot begin, before
/// anything has been started.
///
/// Takes over this process: all signals are blocked and read here, children are reaped, and exit handlers do not run. Call it
/// once, from the main thread, before any other thread exists.
pub fn run(options: Options) -> RunError {
    match supervise(options) {
        // Whoever waits for us waits for the program: nothing is left to be written or cleaned up.
        Ok(code) => exit_now(code & 0xff),
        Err(error) => error,
    }
}

fn supervise(options: Options) -> Result<i32, RunError> {
    let program = options.command.first().ok_or(RunError::NoCommand)?.clone();
    // Before anything is opened, which might get the number of one that was not passed after all.
    let inherited = Inherited::from_environment();
    let ignored_hangup = signals::is_ignored(Signal::HUP);
    let signals = SignalFd::block_all().map_err(|error| RunError::System("read signals", error))?;
    wait::become_subreaper().map_err(|error| RunError::System("become the reaper of orphans", error))?;
    let base = Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if options.sockets != options::Sockets::Off {
        // A second net under the switch, where we may; it does without.
        drop(adieu_linux::reuseport::allow_migration());
    }
    let instance = Instance::take(options.name.as_deref(), &base)?;
    let mut supervisor = Supervisor::new(options, instance, inherited, signals, ignored_hangup);
    let code = supervisor.run();
    let (terminal, last_signal) = supervisor.close();
    // This process ends now: the kernel closes and frees the rest at once, whoever waits for the end should not wait for us
    // to do it one by one.
    std::mem::forget(supervisor);
    if let Some(terminal) = terminal {
        terminal.take_back();
        // A shell tells Ctrl-C from an exit code by the wait status: give it the one the program had.
        if let Some(signal) =
            last_signal.filter(|signal| code == 128 + signal.number() && [Signal::INT, Signal::QUIT].contains(signal))
        {
            signals::die_of(signal);
        }
    }
    Ok(code)
}
