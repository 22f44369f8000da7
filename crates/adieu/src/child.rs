//! Components that are child processes.

use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};

use adieu_core::signal::Signal;
use rustix::process::Pid;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use crate::app::App;
use crate::children::ChildProcess;
use crate::component::Component;
use crate::control::{Control, Message};
use crate::error::BoxError;
use crate::lock::lock;
use crate::report::Cause;

/// A child process that runs: the value of an [`App::child`] component.
#[derive(Debug)]
pub struct Child {
    process: Arc<ChildProcess>,
    stop_signal: Mutex<Signal>,
    stdin: Mutex<Option<ChildStdin>>,
    stdout: Mutex<Option<ChildStdout>>,
    stderr: Mutex<Option<ChildStderr>>,
    ended: watch::Receiver<Option<Result<ExitStatus, String>>>,
}

/// Kills the child if the hook that waits for it is cut.
struct KillUnlessEnded<'a>(&'a ChildProcess);

impl Drop for KillUnlessEnded<'_> {
    fn drop(&mut self) {
        self.0.kill();
    }
}

impl Child {
    /// Returns the process id, or `None` when the child has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Takes the child's standard input, if the command has a pipe there and it was not taken before.
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        lock(&self.stdin).take()
    }

    /// Takes the child's standard output, if the command has a pipe there and it was not taken before.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        lock(&self.stdout).take()
    }

    /// Takes the child's standard error, if the command has a pipe there and it was not taken before.
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        lock(&self.stderr).take()
    }

    /// Sets the signal that ends the child in its turn. Default: SIGTERM.
    pub fn set_stop_signal(&self, signal: Signal) {
        *lock(&self.stop_signal) = signal;
    }

    /// Returns how the child ended, when it has.
    ///
    /// # Errors
    ///
    /// The runtime has gone before the child has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn ended(&self) -> Result<ExitStatus, BoxError> {
        let mut ended = self.ended.clone();
        let ended = ended.wait_for(Option::is_some).await.map(|ended| (*ended).clone());
        match ended {
            Ok(Some(status)) => status.map_err(Into::into),
            Ok(None) | Err(_) => Err("it is not waited for any more".into()),
        }
    }

    /// Ends the child and waits. Not cancel safe: dropped before the child has ended, it kills the child.
    async fn stop(&self) -> Result<(), BoxError> {
        let signal = *lock(&self.stop_signal);
        let _kill = KillUnlessEnded(&self.process);
        self.process.signal(signal);
        let status = self.ended().await?;
        if was_ended_by(status, signal) { Ok(()) } else { Err(status.to_string().into()) }
    }
}

/// Whether `status` is how a process ends that `signal` has asked to end.
fn was_ended_by(status: ExitStatus, signal: Signal) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.success() || status.signal() == Some(signal.number()) || status.code() == Some(128 + signal.number())
}

impl App {
    /// Registers a child process: started in its turn, asked to end (SIGTERM) in its turn, and awaited.
    ///
    /// When there is no more time, the child is killed with everything in its process group. A child does not outlive
    /// the application, unless SIGKILL ends the application itself (`adieu run` covers this case).
    ///
    /// The child leads a process group of its own, so a Ctrl-C in a terminal does not end it before its turn. When it
    /// ends by itself, the application has failed, unless the exit code is 0.
    ///
    /// ```
    /// # use adieu::App;
    /// let app = App::new("shop");
    /// let converter = app.child("converter", std::process::Command::new("image-converter"));
    /// app.task("api", |_| async {}).after(&converter);
    /// # drop(app);
    /// ```
    pub fn child(&self, name: impl Into<String>, command: impl Into<Command>) -> Component<'_, Child> {
        let name = name.into();
        let mut command: Command = command.into();
        command.process_group(0).kill_on_drop(true);
        self.component(name.clone())
            .start(move |context| async move {
                let program = command.as_std().get_program().display().to_string();
                // The error alone does not say what is not there.
                spawn(name, &mut command, &context)
                    .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))
            })
            .stop(|child, _| async move { child.stop().await })
    }
}

fn spawn(name: String, command: &mut Command, control: &Control) -> io::Result<Child> {
    let mut spawned = command.spawn()?;
    let pid = spawned.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let process = Arc::new(ChildProcess::new(name.clone(), pid));
    control.children().add(&process);
    let (stdin, stdout, stderr) = (spawned.stdin.take(), spawned.stdout.take(), spawned.stderr.take());
    let (end, ended) = watch::channel(None);
    let (held, control) = (Arc::clone(&process), control.clone());
    tokio::spawn(async move {
        let status = held.reaped(spawned).await.map_err(|error| error.to_string());
        let failure = match &status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(status.to_string()),
            Err(error) => Some(error.clone()),
        };
        end.send_replace(Some(status));
        // Once a stop has begun this is no cause any more.
        if let Some(error) = failure {
            control.send(Message::Close(Cause::Fatal { component: name, error }));
        }
    });
    let stop_signal = Mutex::new(Signal::TERM);
    let (stdin, stdout, stderr) = (Mutex::new(stdin), Mutex::new(stdout), Mutex::new(stderr));
    Ok(Child { process, stop_signal, stdin, stdout, stderr, ended })
}
