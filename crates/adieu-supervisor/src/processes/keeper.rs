//! The keeper: a small process between the supervisor and the program.
//!
//! It is the reaper of its generation's orphans, so whatever a generation leaves behind stays below its keeper and can be
//! told from other generations' processes, without any cgroup. When the supervisor is gone, it ends its generation.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_linux::poll::{Readiness, poll};
use adieu_linux::signals::SignalFd;
use adieu_linux::spawn::{Fork, Program, Report, exit_now, fork};
use adieu_linux::wait::{Change, Reaped};
use adieu_linux::{clock, descriptors, process, scm_rights, wait};

use super::kill::{kill_all, signal_each};

/// What a keeper or its child tells the supervisor.
#[derive(Debug)]
pub(crate) enum Message {
    /// The child, before it became the program.
    Child(Report),
    /// The program's process has this pid.
    Started(Pid),
    /// Fork failed with this errno.
    NotStarted(i32),
    /// The main process changed.
    Main(Change),
    /// No process is left; the keeper ends.
    Empty,
    /// The keeper is gone.
    Gone,
}

const STARTED: u8 = 10;
const NOT_STARTED: u8 = 11;
const MAIN: u8 = 12;
const EMPTY: u8 = 13;

fn encode(tag: u8, value: i32) -> [u8; 5] {
    let [a, b, c, d] = value.to_le_bytes();
    [tag, a, b, c, d]
}

/// Takes the next message from a keeper; `None` when there is none yet.
pub(super) fn receive(channel: BorrowedFd<'_>) -> Option<(Message, Option<OwnedFd>)> {
    let mut buffer = [0; 16];
    let (length, descriptor) = match scm_rights::receive(channel, &mut buffer) {
        Ok(Some(got)) => got,
        Ok(None) => return None,
        Err(_) => return Some((Message::Gone, None)),
    };
    let bytes = buffer.get(..length).unwrap_or_default();
    if let Some(report) = Report::decode(bytes) {
        return Some((Message::Child(report), descriptor));
    }
    let [tag, rest @ ..] = bytes else { return Some((Message::Gone, None)) };
    let value = rest.try_into().map_or(0, i32::from_le_bytes);
    let message = match *tag {
        STARTED => Message::Started(Pid::new(value)),
        NOT_STARTED => Message::NotStarted(value),
        MAIN => Message::Main(wait::decode(value)),
        EMPTY => Message::Empty,
        _ => Message::Gone,
    };
    Some((message, descriptor))
}

/// Forks a keeper that starts `program`; returns the keeper's pid. Everything else arrives over the channel that is the
/// other end of `program.reports`. Without its supervisor the keeper stops the program with `stop`.
pub(super) fn start(program: &Program, stop: Signal, grace: Duration) -> std::io::Result<Pid> {
    match fork()? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => keep(program, stop, grace),
    }
}

fn keep(program: &Program, stop: Signal, grace: Duration) -> ! {
    let Some(channel) = program.reports.as_ref().map(AsFd::as_fd) else { exit_now(1) };
    let standard = [program.output.as_ref(), program.error_output.as_ref(), program.terminal.as_ref()];
    let mut needed: Vec<i32> = standard.into_iter().flatten().chain(&program.pass).map(AsRawFd::as_raw_fd).collect();
    needed.push(channel.as_raw_fd());
    let ready = descriptors::close_all_but(&needed)
        .and_then(|()| wait::become_subreaper())
        .and_then(|()| SignalFd::block_all());
    let started = ready.and_then(|signals| program.spawn().map(|(main, _)| (signals, main)));
    let (signals, main) = match started {
        Ok(started) => started,
        Err(error) => {
            drop(scm_rights::send(channel, &encode(NOT_STARTED, error.raw_os_error().unwrap_or(0)), None));
            exit_now(1);
        }
    };
    // The program has its copies; the keeper must not hold its output or its listeners open.
    drop(descriptors::close_all_but(&[channel.as_raw_fd(), signals.as_fd().as_raw_fd()]));
    drop(scm_rights::send(channel, &encode(STARTED, main.number()), None));
    let mut keeper = Keeper { main, main_alive: true, ending: None, stop, grace };
    loop {
        keeper.reap(channel);
        let interests = [(signals.as_fd(), Readiness::READ), (channel, Readiness::READ)];
        let watched = if keeper.ending.is_some() { &interests[..1] } else { &interests[..] };
        let ready = poll(watched, keeper.ending.map(|_| Duration::from_millis(20))).unwrap_or_default();
        while let Ok(Some(_)) = signals.read() {}
        if ready.get(1).is_some_and(|channel| channel.hung_up || channel.readable) {
            keeper.supervisor_gone();
        }
        keeper.end_rest();
    }
}

struct Keeper {
    main: Pid,
    main_alive: bool,
    /// The supervisor is gone: everything is killed at this moment.
    ending: Option<adieu_core::Timestamp>,
    stop: Signal,
    grace: Duration,
}

impl Keeper {
    fn reap(&mut self, channel: BorrowedFd<'_>) {
        loop {
            match wait::reap(true) {
                Ok(Reaped::Child(pid, change)) if pid == self.main => {
                    self.main_alive &= matches!(change, Change::Stopped(_) | Change::Continued);
                    drop(scm_rights::send(channel, &encode(MAIN, wait::encode(change)), None));
                    if self.ending.is_some() && !self.main_alive {
                        self.ask_rest();
                    }
                }
                Ok(Reaped::Child(..)) => {}
                Ok(Reaped::Nothing) | Err(_) => return,
                Ok(Reaped::NoChildren) => {
                    drop(scm_rights::send(channel, &encode(EMPTY, 0), None));
                    exit_now(0);
                }
            }
        }
    }

    /// "Children follow": the program is asked to stop, in the usual order and with the usual grace.
    fn supervisor_gone(&mut self) {
        self.ending = Some(clock::now() + self.grace);
        if self.main_alive {
            signal_each(&[self.main], self.stop);
        } else {
            self.ask_rest();
        }
    }

    fn ask_rest(&self) {
        signal_each(&process::descendants(process::own_pid()), self.stop);
    }

    fn end_rest(&self) {
        if self.ending.is_some_and(|deadline| clock::now() >= deadline) {
            kill_all(Some(self.main), || process::descendants(process::own_pid()));
        }
    }
}

#[cfg(test)]
mod tests;
