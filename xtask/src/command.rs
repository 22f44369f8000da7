//! Running commands so that the reader of a log sees which, in what order, and how long each took.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Why a chore stopped: one sentence for the person who started it.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<nix::Error> for Failure {
    fn from(error: nix::Error) -> Self {
        Self(error.to_string())
    }
}

/// What a chore returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// The directory of the workspace; chores run there, wherever they were called.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Where cargo builds to: `CARGO_TARGET_DIR` or `target`.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// A command that will run in the workspace's directory.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// The cargo that started this chore.
pub(crate) fn cargo(args: &[&str]) -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), args)
}

/// Prints the command, runs it, and fails with its name when it fails.
pub(crate) fn step(command: &mut Command) -> Outcome {
    let line = shown(command);
    println!("\n==> {line}");
    let began = Instant::now();
    let status = command.status().map_err(|e| Failure(format!("cannot start `{line}`: {e}")))?;
    if !status.success() {
        return Err(Failure(format!("`{line}` failed: {status}")));
    }
    println!("    took {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Whether the command can be started and succeeds, without showing anything of it.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The file that a command name stands for, also in the directories of administration tools, which are not in
/// every user's `PATH`.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    std::env::split_paths(&path)
        .chain(more.iter().map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    let variables = command
        .get_envs()
        .filter_map(|(key, value)| Some((key.to_string_lossy(), value?.to_string_lossy())))
        .map(|(key, value)| if value.contains(' ') { format!("{key}='{value}'") } else { format!("{key}={value}") });
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    variables.chain([name]).chain(args).collect::<Vec<_>>().join(" ")
}
