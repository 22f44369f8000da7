//! Starting a generation, and what its keeper and its program say while it starts.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use adieu_core::ids::Pid;
use adieu_core::outcome::code;
use adieu_core::signal::Signal;
use adieu_core::switch::{Generation, RequestId};
use adieu_linux::pidfd::Pidfd;
use adieu_linux::poll::{Readiness, poll};
use adieu_linux::seccomp::Watch;
use adieu_linux::spawn::{Fork, Program, Report, exit_now, fork};
use adieu_linux::{process, scm_rights, tty};

use super::Processes;
use super::keeper::{self, Message};
use super::launch::{self, Change, LaunchError, Resolved};
use super::output::{self, Relay, Tail};
use super::terminal::Terminal;
use super::tree::{Reach, Root, Tree};
use crate::options::Sockets;
use crate::view::{Out, View};

/// What a generation is started with, besides its command.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) generation: Generation,
    pub(crate) request: Option<RequestId>,
    /// What the reload that asked for it changes.
    pub(crate) change: Option<&'a Change>,
    /// Variables for its environment.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// Descriptors that it gets as 3, 4, ...
    pub(crate) pass: Vec<OwnedFd>,
    /// Whether `connect` of Unix sockets is reported too.
    pub(crate) watch_connects: bool,
}

/// Why a generation cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("cannot listen: {0}")]
    Listen(std::io::Error),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Self::Launch(error) => error.exit_code(),
            Self::Listen(_) | Self::System(_) => code::RUN_FAILED,
        }
    }
}

/// The standard outputs of a program, where they are relayed, and our ends of them.
type Outputs = ([Option<OwnedFd>; 2], Vec<Relay>);

impl Processes {
    /// Prepares for a start: finds out whether descriptors can be duplicated, which the program is told.
    pub(crate) fn prepare(&mut self, view: &View<'_>) {
        self.start_failure = None;
        self.childless = false;
        if view.options.sockets != Sockets::Off && self.may_duplicate.is_none() {
            self.may_duplicate = Some(may_duplicate());
        }
    }

    /// Starts a generation. Without a keeper, what kept the program from being executed is known at once.
    pub(crate) fn start(&mut self, view: &View<'_>, start: Start<'_>) -> Result<Option<Report>, StartError> {
        let Start { generation, request, change, variables, pass, watch_connects } = start;
        let spec = self.spec_for(change);
        let direct = view.options.sockets == Sockets::Off;
        let resolved = launch::resolve(&spec, self.directory.as_deref(), &variables)?;
        // Only what a reload starts is relayed: its last words explain a failure.
        let (outputs, relays) = if request.is_some() { relays()? } else { Outputs::default() };
        let (channel, reports) =
            if direct { (None, None) } else { scm_rights::pair().map(|(a, b)| (Some(a), Some(b)))? };
        let watch = Watch { options: self.may_duplicate != Some(true), connects: watch_connects };
        let watch = (view.options.sockets == Sockets::Auto).then_some(watch);
        let program = self.program(view, generation, resolved, (outputs, pass, reports, watch));
        let mut tree = Tree {
            request,
            spec,
            root: Root::Direct,
            channel,
            main: None,
            reach: Reach::NotYet(Vec::new()),
            keeps_stops: direct && self.terminal.is_none(),
            outcome: None,
            starts_again: false,
            started: adieu_linux::clock::now(),
            relays,
            tail: Tail::default(),
            // Its own cgroup is looked at while it lives; until then it is ours. Under a plain init, where only a line of
            // the log depends on it, not before it has lived for a moment: reading costs as much as starting it.
            oom: if direct && view.options.post_stop.is_none() { None } else { process::oom_kills(process::own_pid()) },
            not_executed: None,
            said_killed: false,
        };
        let mut failure = None;
        if direct {
            let main;
            (main, failure) = program.spawn()?;
            (tree.main, tree.reach) = (Some(main), Reach::Child);
            if let Some(terminal) = &self.terminal {
                terminal.started(main);
            }
        } else {
            let stop = view.options.stop_signal.unwrap_or(Signal::TERM);
            tree.root = Root::Keeper(keeper::start(&program, stop, view.options.grace)?);
        }
        self.trees.insert(generation, tree);
        Ok(failure)
    }

    fn program(
        &self,
        view: &View<'_>,
        generation: Generation,
        resolved: Resolved,
        (outputs, pass, reports, watch): ([Option<OwnedFd>; 2], Vec<OwnedFd>, Option<OwnedFd>, Option<Watch>),
    ) -> Program {
        let [output, error_output] = outputs;
        let terminal = self.terminal.as_ref().filter(|_| view.switch.serving() == Some(generation));
        Program {
            path: resolved.path,
            arguments: resolved.arguments,
            environment: resolved.environment,
            directory: self.directory.as_ref().and_then(|path| CString::new(path.as_os_str().as_bytes()).ok()),
            own_group: !self.terminal.as_ref().is_some_and(Terminal::is_shared),
            terminal: terminal.and_then(Terminal::duplicate),
            keep_ignoring: self.ignored_hangup.then_some(Signal::HUP),
            death_signal: (view.options.sockets == Sockets::Off).then_some(Signal::KILL),
            watch,
            input: None,
            output,
            error_output,
            pass,
            reports,
        }
    }

    /// `generation` could not be started: what was wrong, for whoever asked for it.
    pub(crate) fn start_failed(&mut self, error: &StartError) {
        self.start_failure = Some(error.to_string());
    }

    /// The next thing that the keeper of `generation` or its starting program says. After the last one the keeper is not
    /// listened to any more.
    pub(crate) fn hear(&mut self, generation: Generation) -> Option<(Message, Option<OwnedFd>)> {
        let tree = self.trees.get_mut(&generation)?;
        let heard = keeper::receive(tree.channel.as_ref()?.as_fd())?;
        if matches!(heard.0, Message::Empty | Message::Gone) {
            tree.channel = None;
        }
        Some(heard)
    }

    /// The program of `generation` runs as process `main`.
    pub(crate) fn main_started(&mut self, generation: Generation, main: Pid) {
        if let Some(tree) = self.trees.get_mut(&generation) {
            tree.main_started(main);
        }
        if let Some(terminal) = &self.terminal {
            terminal.started(main);
        }
    }

    /// The program of `generation` could not be executed.
    pub(crate) fn exec_failed(&mut self, generation: Generation, why: String, out: &mut Out) {
        let Some(tree) = self.trees.get_mut(&generation) else { return };
        out.note(format!("generation {generation}: {why}"));
        tree.not_executed = Some(why);
    }
}

/// Pipes for the outputs that are no terminal.
fn relays() -> std::io::Result<Outputs> {
    let mut outputs = [None, None];
    let mut relays = Vec::new();
    let standard =
        [(tty::is_terminal(std::io::stdout().as_fd()), false), (tty::is_terminal(std::io::stderr().as_fd()), true)];
    for (output, (is_terminal, is_error)) in outputs.iter_mut().zip(standard) {
        if !is_terminal {
            let (reader, writer) = output::pipe()?;
            relays.push(Relay::new(reader, is_error)?);
            *output = Some(writer);
        }
    }
    Ok((outputs, relays))
}

/// Whether `pidfd_getfd` works on our own children here: a default container refuses it.
fn may_duplicate() -> bool {
    // A child that does nothing but wait is enough to ask for.
    let Ok((ours, theirs)) = scm_rights::pair() else { return false };
    match fork() {
        Ok(Fork::Child) => {
            drop(ours);
            drop(poll(&[(theirs.as_fd(), Readiness::READ)], None));
            exit_now(0)
        }
        Ok(Fork::Parent(child)) => Pidfd::open(child).and_then(|child| child.get_fd(2)).is_ok(),
        Err(_) => false,
    }
}
