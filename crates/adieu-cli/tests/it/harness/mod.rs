//! What the tests stand on: servers, ports, processes that do not outlive their test, and a load.

mod adieu;
pub(crate) mod build;
mod http;
mod load;
mod lock;
mod port;
mod postgres;
mod process;
pub(crate) mod servers;

pub(crate) use adieu::{Adieu, Place, Setup};
pub(crate) use build::{make_from, tool};
pub(crate) use http::{get, get_at, wait_until_it_answers};
pub(crate) use load::Load;
pub(crate) use lock::the_machine;
pub(crate) use port::Port;
pub(crate) use postgres::Postgres;
pub(crate) use process::{Process, descendants};
pub(crate) use servers::{Server, for_each_server};

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a test waits for anything before it calls it a failure. Long, because two cores also build and load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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
