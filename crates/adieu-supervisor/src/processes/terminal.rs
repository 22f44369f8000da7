//! Job control: on a terminal everything is as if the program had been started directly.
//!
//! Started by a shell as a job of its own, we put the program in a process group of its own and hand the terminal's
//! foreground from one to the other: what is typed reaches the program alone, what is sent to the job reaches us alone.
//! As a part of something larger (a pipeline, a script, the leader of the session) the program stays in our process group,
//! or it would take the terminal from the others; then the terminal's signals reach us both, and we leave them to it.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_linux::{process, signals, tty};

/// The controlling terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    tty: tty::Terminal,
    /// The program is in our process group.
    shared: bool,
    /// A shell controls us: stopping ourselves gives it the terminal back.
    has_shell: bool,
    /// The program's group that we have put in front.
    front: Cell<Option<i32>>,
}

impl Terminal {
    pub(crate) fn take() -> Option<Self> {
        let tty = tty::Terminal::controlling()?;
        let own = process::own_pid();
        let has_shell = process::stat(own).ok()?.session != own.number();
        let piped = tty::is_pipe(std::io::stdin().as_fd()) || tty::is_pipe(std::io::stdout().as_fd());
        let shared = !has_shell || piped || tty::own_group() != own.number();
        Some(Self { tty, shared, has_shell, front: Cell::new(None) })
    }

    /// Whether the program is in our process group, so that the terminal's signals reach it by themselves.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Remembers that the program has made itself the foreground job at its start.
    pub(crate) fn started(&self, main: Pid) {
        if !self.shared && self.tty.foreground().is_ok_and(|group| group == main.number()) {
            self.front.set(Some(main.number()));
        }
    }

    /// Whether the foreground job is us, or a program that we have put there.
    fn is_ours(&self) -> bool {
        self.tty.foreground().is_ok_and(|group| group == tty::own_group() || Some(group) == self.front.get())
    }

    fn we_are_in_front(&self) -> bool {
        self.tty.foreground().is_ok_and(|group| group == tty::own_group())
    }

    /// A duplicate for a child that shall become the foreground job. `None` when that is not ours to give.
    pub(crate) fn duplicate(&self) -> Option<OwnedFd> {
        if !self.shared && self.is_ours() { self.tty.as_fd().try_clone_to_owned().ok() } else { None }
    }

    /// Puts the process group of `main` in the foreground, if it is ours to give.
    pub(crate) fn give_to(&self, main: Pid) {
        if !self.shared && self.is_ours() && self.tty.set_foreground(main.number()).is_ok() {
            self.front.set(Some(main.number()));
        }
    }

    /// Takes the terminal back from the program, also from a job that it has left in front.
    pub(crate) fn take_back(&self) {
        let Ok(group) = self.tty.foreground() else { return };
        if !self.shared && (Some(group) == self.front.get() || !tty::group_exists(group)) {
            drop(self.tty.set_foreground(tty::own_group()));
        }
    }

    /// The program was stopped. From the terminal (Ctrl-Z), so are we: the shell sees a stopped job.
    pub(crate) fn program_stopped(&self, main: Pid, by: Signal) {
        if !self.has_shell {
            return;
        }
        if !self.shared && [Signal::TTIN, Signal::TTOU].contains(&by) && self.we_are_in_front() {
            // Started in the background and brought to the front since: nobody told us, the program notices first.
            self.continued(main);
            return;
        }
        self.take_back();
        drop(signals::stop_self(by));
        if by == Signal::TSTP {
            // Without a shell that could continue us, nothing has stopped us.
            self.continued(main);
        }
    }

    /// Goes on after `fg` or `bg`.
    pub(crate) fn continued(&self, main: Pid) {
        if !self.shared {
            if self.we_are_in_front() {
                self.give_to(main);
            }
            drop(signals::signal_group(main.number(), Signal::CONT));
        }
    }

    /// The terminal has sent `signal` to our group, and the program is not in it.
    pub(crate) fn pass_on(&self, main: Pid, signal: Signal) {
        self.give_to(main);
        drop(signals::signal_group(main.number(), signal));
    }
}

#[cfg(test)]
mod tests;
