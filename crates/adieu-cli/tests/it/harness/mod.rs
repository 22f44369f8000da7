//! What the tests stand on: one way to start `adieu run` and whatever else is an init ([`Scene`], [`Run`], [`Instance`]),
//! the servers that it runs, ports, processes that do not outlive their test, clients, and waiting.

mod asking;
pub(crate) mod build;
pub(crate) mod crowd;
pub(crate) mod engine;
mod http;
mod instance;
mod load;
mod lock;
pub(crate) mod network;
mod port;
mod postgres;
pub(crate) mod proc;
mod process;
mod pulse;
mod run;
mod scene;
pub(crate) mod servers;
pub(crate) mod terminal;
mod told;
pub(crate) mod unix;
mod wait;

pub(crate) use build::{make_from, tool};
pub(crate) use http::{get, get_at, wait_until_it_answers};
pub(crate) use instance::{Instance, code_of};
pub(crate) use load::Load;
pub(crate) use lock::the_machine;
pub(crate) use port::Port;
pub(crate) use postgres::Postgres;
pub(crate) use process::Process;
pub(crate) use pulse::Pulse;
pub(crate) use run::Run;
pub(crate) use scene::Scene;
pub(crate) use servers::{Server, for_each_server};
pub(crate) use told::{Begun, Told};
pub(crate) use wait::{NEVER, NEVER_AND_MORE, PATIENCE, come, come_within, until};

use std::path::{Path, PathBuf};

/// The command.
pub(crate) const ADIEU: &str = env!("CARGO_BIN_EXE_adieu");

/// Debian's own: its packages belong to it, and whatever else comes first in `PATH` may start itself through a shell script.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// The directory of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is where it was built")
}

/// The build directory: `target`, or what `CARGO_TARGET_DIR` said when the tests were built.
pub(crate) fn target() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().expect("cargo's directory for tests is in its build directory").to_path_buf()
}

/// The ordinary count, or under `cargo xtask prove` the one that is a proof.
pub(crate) fn count(ordinary: usize, proof: usize) -> usize {
    if std::env::var_os("ADIEU_PROVE").is_some() { proof } else { ordinary }
}
