//! Where a test's processes work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use rustix::process::Pid;
use tempfile::TempDir;

use super::proc::at_work_in;
use super::{ADIEU, Instance, Port, Process, Run, Told, until};

/// A directory of its own, working directory and runtime directory of everything that one test starts, and a port. Both are
/// there as long as the scene or an instance in it is.
#[derive(Debug, Clone)]
pub(crate) struct Scene(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    directory: TempDir,
    /// Claimed when it is first asked for: not everything listens.
    port: OnceLock<Port>,
}

/// The words that make the command behind them PID 1 of a namespace.
pub(super) const AS_PID_1: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

impl Scene {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        Self(Arc::new(Parts { directory, port: OnceLock::new() }))
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.directory.path()
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port.get_or_init(Port::claim).number()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// What is in a file; nothing when there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// Writes a file; its whole path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).expect("a test's own directory is writable");
        self.path(name).display().to_string()
    }

    /// Waits until a file has so many lines.
    pub(crate) fn wait_for(&self, name: &str, lines: usize) {
        until(&format!("{name} has {lines} lines"), || self.read(name).lines().count() >= lines);
    }

    /// A command that works here.
    pub(crate) fn command<W: AsRef<str>>(&self, words: &[W]) -> Command {
        let (program, arguments) = words.split_first().expect("a command has a first word");
        let mut command = Command::new(program.as_ref());
        command.args(arguments.iter().map(AsRef::as_ref));
        command.env("ADIEU_RUNTIME_DIR", self.directory()).current_dir(self.directory());
        command
    }

    /// Runs `adieu WORDS` to its end.
    pub(crate) fn adieu<W: AsRef<str>>(&self, words: &[W]) -> Told {
        Told::of(self.command(&[ADIEU]).args(words.iter().map(AsRef::as_ref)))
    }

    /// An `adieu run` that is to be started here.
    pub(crate) fn run(&self) -> Run {
        Run::new(self.clone())
    }

    /// Starts a command line, whichever init or program it begins with.
    pub(crate) fn start<W: AsRef<str>>(&self, name: &str, words: &[W]) -> Instance {
        self.begin(name, &self.command(words), None)
    }

    /// Starts a command line as PID 1 of a namespace of its own.
    pub(crate) fn start_as_pid1<W: AsRef<str>>(&self, name: &str, words: &[W]) -> Instance {
        let words: Vec<&str> = AS_PID_1.into_iter().chain(words.iter().map(AsRef::as_ref)).collect();
        self.start(name, &words).in_namespace()
    }

    /// `instance`: its name, if `adieu run` was given one.
    pub(super) fn begin(&self, process: &str, command: &Command, instance: Option<String>) -> Instance {
        Instance::new(Process::start(process, command, self.directory()), instance, self.clone())
    }

    /// Everybody who works in this directory.
    pub(crate) fn at_work(&self) -> Vec<Pid> {
        at_work_in(self.directory())
    }

    /// Waits until nobody works here.
    pub(crate) fn nobody_is_left(&self) {
        until("nobody is left", || self.at_work().is_empty());
    }
}
