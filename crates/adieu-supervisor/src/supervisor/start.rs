//! The start of a generation: its sockets, its notify socket and its process are made, then it is listened to until it is
//! ready.

use std::os::fd::OwnedFd;

use adieu_core::group::SocketId;
use adieu_core::ids::Pid;
use adieu_core::outcome::{Outcome, code};
use adieu_core::switch::{Event, Generation, RequestId};
use adieu_linux::spawn::Report;
use adieu_linux::wait::Change;

use super::state::Supervisor;
use super::steps::{Step, Steps};
use crate::options::Sockets;
use crate::process_table::ProcessTable;
use crate::processes::{Message, Start, StartError};
use crate::view::{Note, Out};

/// What a keeper reports when it could not even fork.
const NOT_STARTED: Change = Change::Exited(code::RUN_FAILED);

impl Supervisor {
    /// Starts a generation. What fails is told as the end of its main process.
    pub(super) fn spawn(&mut self, generation: Generation, request: Option<RequestId>) -> Steps {
        self.processes.prepare(&self.machine.view());
        let mut out = Out::default();
        match self.try_spawn(generation, request, &mut out) {
            Ok(failure) => self.after_spawn(generation, failure, out),
            Err(error) => {
                self.readiness.forget(generation);
                self.processes.start_failed(&error);
                self.ending.start_failed(generation, error.exit_code());
                out.note(format!("generation {generation} cannot start: {error}"));
                out.event(Event::MainExited(generation, Outcome::Exited(error.exit_code())));
                out.event(Event::TreeGone(generation));
                out.into()
            }
        }
    }

    fn try_spawn(
        &mut self,
        generation: Generation,
        request: Option<RequestId>,
        out: &mut Out,
    ) -> Result<Option<Report>, StartError> {
        let view = self.machine.view();
        let mut variables = self.processes.facts(&view, generation);
        variables.extend(self.readiness.begin(&view, generation));
        let (pass, told) = self.sockets.pass(&view, generation, out).map_err(StartError::Listen)?;
        variables.extend(told);
        let change = self.control.change(request);
        let watch_connects = self.sockets.hides_paths();
        self.processes.start(&view, Start { generation, request, change, variables, pass, watch_connects })
    }

    fn after_spawn(&mut self, generation: Generation, failure: Option<Report>, out: Out) -> Steps {
        let view = self.machine.view();
        self.sockets.begin(generation, view.now);
        self.housekeeping.soon(view.now);
        self.readiness.begin_probing(&view, &self.sockets, generation);
        let mut steps = Steps::from(out);
        // Without a keeper, what went wrong on the way is known by now; its end must not be heard first.
        if let Some(report) = failure {
            steps = steps.then_all(self.child_reported(generation, report, None));
        }
        if self.machine.view().options.sockets == Sockets::Off {
            steps = steps.then(Step::CheckReady(generation));
        }
        steps
    }

    /// Takes the next thing that a keeper or a starting program says.
    pub(super) fn hear_keeper(&mut self, generation: Generation) -> Steps {
        let Some((message, descriptor)) = self.processes.hear(generation) else { return Steps::none() };
        let steps = match message {
            Message::Empty => return Step::TreeGone(generation).into(),
            Message::Gone if self.processes.has_keeper(generation) => return Step::KeeperLost(generation).into(),
            Message::Gone => return Steps::none(),
            Message::Started(main) => self.main_started(generation, main),
            Message::NotStarted(errno) => {
                let error = std::io::Error::from_raw_os_error(errno);
                let note = Note::Plain(format!("generation {generation} cannot start: {error}"));
                Steps::from(Step::Note(note)).then(Step::MainChanged(generation, NOT_STARTED))
            }
            Message::Child(report) => self.child_reported(generation, report, descriptor),
            Message::Main(change) => Step::MainChanged(generation, change).into(),
        };
        steps.then(Step::HearKeeper(generation))
    }

    pub(super) fn main_started(&mut self, generation: Generation, main: Pid) -> Steps {
        self.processes.main_started(generation, main);
        Step::CheckReady(generation).into()
    }

    /// A child says, before it becomes the program, whether it is watched, or why it never will be the program.
    fn child_reported(&mut self, generation: Generation, report: Report, descriptor: Option<OwnedFd>) -> Steps {
        let mut out = Out::default();
        let mut then = None;
        match report {
            Report::Watching(no_new_privs) => {
                self.sockets.watch(generation, descriptor);
                if no_new_privs {
                    out.note_quietly(
                        "no_new_privs is set, as adieu lacks CAP_SYS_ADMIN: setuid programs and file capabilities do not work \
                         below it (--sockets pass or off avoids it)",
                    );
                }
            }
            Report::WatchRefused(errno) => {
                self.sockets.watch_refused(generation, errno, self.machine.view().now, &mut out);
                then = Some(Step::CheckReady(generation));
            }
            Report::ExecFailed(errno) | Report::DirectoryFailed(errno) => {
                let error = std::io::Error::from_raw_os_error(errno);
                let why = match report {
                    Report::DirectoryFailed(_) => format!("the working directory cannot be entered: {error}"),
                    _ => format!("it cannot be executed: {error}"),
                };
                self.processes.exec_failed(generation, why, &mut out);
            }
        }
        Steps::from(out).then_all(then)
    }

    /// Passes on what the program has written.
    pub(super) fn relay(&mut self, generation: Generation, at: usize) -> Steps {
        self.processes.relay(generation, at);
        Steps::none()
    }

    /// Answers the next socket call of `generation`: it may be ready by that.
    pub(super) fn on_call(&mut self, generation: Generation) -> Steps {
        let mut out = Out::default();
        let listens = self.sockets.on_call(&self.machine.view(), &self.processes, generation, &mut out);
        Steps::from(out).then_all(listens.then_some(Step::CheckReady(generation)))
    }

    /// A process that had bound a listener has ended.
    pub(super) fn holder_ended(&mut self, socket: SocketId) -> Steps {
        let mut out = Out::default();
        self.sockets.holder_ended(&self.machine.view(), &self.processes, socket, &mut out);
        out.into()
    }

    /// Takes the next message that `generation` has sent to its notify socket.
    pub(super) fn hear_notify(&mut self, generation: Generation) -> Steps {
        let Some(message) = self.readiness.hear(generation) else { return Steps::none() };
        let mut steps = Steps::none();
        if message.ready() {
            self.readiness.said_ready(generation, self.processes.command(generation));
            self.connections.drains_itself(generation, message.drains_itself());
            steps = steps.then(Step::CheckReady(generation));
        }
        let lines = message.lines_to_pass_on();
        if !lines.is_empty() {
            steps = steps.then(Step::PassOn(generation, lines));
        }
        steps.then(Step::HearNotify(generation))
    }

    /// Only the serving generation speaks for the service.
    pub(super) fn pass_on(&mut self, generation: Generation, lines: &[String]) -> Steps {
        if self.machine.view().switch.serving() == Some(generation) {
            lines.iter().for_each(|line| self.systemd.pass_on(line));
        }
        Steps::none()
    }

    pub(super) fn check_ready(&mut self, generation: Generation) -> Steps {
        let view = self.machine.view();
        if self.readiness.is_ready(&view, &self.processes, &self.sockets, generation) {
            return Step::Tell(Event::Ready(generation)).into();
        }
        Steps::none()
    }
}
