//! Components that are child processes.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, Weak};
use std::task::Poll;

use adieu_core::signal::Signal;
use rustix::process::{Pid, Signal as Raw, kill_process, kill_process_group};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use crate::app::App;
use crate::component::Component;
use crate::control::{Control, Message};
use crate::hook::{BoxError, lock};
use crate::report::Cause;

/// A child process that runs; see [`App::child`].
#[derive(Debug)]
pub struct Child {
    reins: Arc<Reins>,
    stop_signal: Mutex<Signal>,
    stdin: Mutex<Option<ChildStdin>>,
    stdout: Mutex<Option<ChildStdout>>,
    stderr: Mutex<Option<ChildStderr>>,
    ended: watch::Receiver<Option<Result<ExitStatus, String>>>,
}

/// What holds a child: its number, for as long as nobody else can have it.
#[derive(Debug)]
pub(crate) struct Reins {
    name: String,
    /// `None` once it has been reaped; the lock is held while it is.
    alive: Mutex<Option<Pid>>,
}

impl Reins {
    /// Sends a signal to the child itself; one that has ended needs none.
    fn tell(&self, signal: Signal) {
        let alive = lock(&self.alive);
        if let (Some(pid), Some(raw)) = (*alive, Raw::from_named_raw(signal.number())) {
            // Not reaped, so it is ours: no error is possible but its having changed to another user.
            let _sent = kill_process(pid, raw);
            // A stopped process acts on nothing else.
            let _continued = kill_process(pid, Raw::CONT);
        }
    }

    /// Kills the child and whatever it has started in its process group; false if it has ended already.
    fn kill(&self) -> bool {
        let alive = lock(&self.alive);
        let Some(pid) = *alive else { return false };
        let _killed = kill_process_group(pid, Raw::KILL).or_else(|_| kill_process(pid, Raw::KILL));
        true
    }
}

/// The children of one application, for whoever must end them at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Children(Arc<Mutex<Vec<Weak<Reins>>>>);

impl Children {
    fn add(&self, child: &Arc<Reins>) {
        let mut children = lock(&self.0);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(child));
    }

    /// Kills those that are still there and returns their names. Waits for nobody.
    pub(crate) fn kill(&self) -> Vec<String> {
        let children: Vec<Arc<Reins>> = lock(&self.0).iter().filter_map(Weak::upgrade).collect();
        children.iter().filter(|child| child.kill()).map(|child| child.name.clone()).collect()
    }
}

/// Kills the child if the hook that waits for it is cut.
struct KillUnlessEnded<'a>(&'a Reins);

impl Drop for KillUnlessEnded<'_> {
    fn drop(&mut self) {
        self.0.kill();
    }
}

impl Child {
    /// Its process id; `None` when it has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        lock(&self.reins.alive).map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Its standard input, if the command has a pipe there and nobody has taken it yet.
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        lock(&self.stdin).take()
    }

    /// Its standard output, if the command has a pipe there and nobody has taken it yet.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        lock(&self.stdout).take()
    }

    /// Its standard error, if the command has a pipe there and nobody has taken it yet.
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        lock(&self.stderr).take()
    }

    /// What it is told by in its turn, in place of SIGTERM.
    pub fn set_stop_signal(&self, signal: Signal) {
        *lock(&self.stop_signal) = signal;
    }

    /// Returns how it ended, when it has. Cancel safe.
    ///
    /// # Errors
    /// When nobody can know: the runtime has gone before the child.
    pub async fn ended(&self) -> Result<ExitStatus, BoxError> {
        let mut ended = self.ended.clone();
        let ended = ended.wait_for(Option::is_some).await.map(|ended| (*ended).clone());
        match ended {
            Ok(Some(status)) => status.map_err(Into::into),
            Ok(None) | Err(_) => Err("it is not waited for any more".into()),
        }
    }

    /// Not cancel safe: dropped before the child has ended, it kills it.
    async fn stop(&self) -> Result<(), BoxError> {
        let signal = *lock(&self.stop_signal);
        let _kill = KillUnlessEnded(&self.reins);
        self.reins.tell(signal);
        let status = self.ended().await?;
        if told(status, signal) { Ok(()) } else { Err(status.to_string().into()) }
    }
}

/// Whether this is how a process ends that has been told to by `signal`.
fn told(status: ExitStatus, signal: Signal) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.success() || status.signal() == Some(signal.number()) || status.code() == Some(128 + signal.number())
}

impl App {
    /// Registers a child process: started in its turn, told to end (SIGTERM) in its turn, and awaited; when there is no more
    /// time it is killed, with everything in its process group. It does not outlive the application, unless that is itself
    /// ended by SIGKILL (`adieu run` covers this).
    ///
    /// It is the leader of a process group of its own, so that a Ctrl-C in a terminal does not end it before its turn. If it
    /// ends by itself, that is a failure of the application unless its exit code is 0; standard input is as the command says.
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
    let mut process = command.spawn()?;
    let pid = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let reins = Arc::new(Reins { name: name.clone(), alive: Mutex::new(pid) });
    control.children().add(&reins);
    let (stdin, stdout, stderr) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
    let (end, ended) = watch::channel(None);
    let (held, control) = (Arc::clone(&reins), control.clone());
    tokio::spawn(async move {
        let status = reaped(process, &held).await.map_err(|error| error.to_string());
        let failure = match &status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(status.to_string()),
            Err(error) => Some(error.clone()),
        };
        end.send_replace(Some(status));
        // Once a stop has begun this is no cause any more.
        if let Some(error) = failure {
            control.tell(Message::Close(Cause::Fatal { component: name, error }));
        }
    });
    let stop_signal = Mutex::new(Signal::TERM);
    let (stdin, stdout, stderr) = (Mutex::new(stdin), Mutex::new(stdout), Mutex::new(stderr));
    Ok(Child { reins, stop_signal, stdin, stdout, stderr, ended })
}

/// Waits for the child. Until it is reaped its number is its own, so signals are sent under the same lock.
async fn reaped(mut process: tokio::process::Child, reins: &Reins) -> io::Result<ExitStatus> {
    let mut wait = pin!(process.wait());
    poll_fn(|context| {
        let mut alive = lock(&reins.alive);
        let polled = wait.as_mut().poll(context);
        if polled.is_ready() {
            *alive = None;
        }
        match polled {
            Poll::Ready(status) => Poll::Ready(status),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
