//! Job control: on a terminal the program is the foreground job, as if it had been started directly.

use adieu_core::signal::Signal;
use adieu_linux::{process, signals, tty};

/// The controlling terminal, when we were its foreground job at the start.
#[derive(Debug)]
pub(crate) struct Terminal {
    tty: tty::Terminal,
    /// A shell controls us: stopping ourselves gives it the terminal back.
    has_shell: bool,
}

impl Terminal {
    pub(crate) fn take() -> Option<Self> {
        let tty = tty::Terminal::controlling()?;
        let own = tty::own_group();
        let in_front = tty.foreground().is_ok_and(|group| group == own);
        let session = process::stat(process::own_pid()).ok()?.session;
        in_front.then(|| Self { tty, has_shell: session != process::own_pid() })
    }

    /// A duplicate for a child that shall be the foreground job.
    pub(crate) fn duplicate(&self) -> Option<std::os::fd::OwnedFd> {
        use std::os::fd::AsFd;
        self.tty.as_fd().try_clone_to_owned().ok()
    }

    /// Puts the process group of `main` in the foreground, if we or one of ours have it.
    pub(crate) fn give_to(&self, main: i32) {
        if main != 0 {
            drop(self.tty.set_foreground(main));
        }
    }

    /// Takes the terminal back at the end.
    pub(crate) fn take_back(&self) {
        drop(self.tty.set_foreground(tty::own_group()));
    }

    /// The program was stopped from the terminal (Ctrl-Z): so are we, and with `fg` both go on.
    pub(crate) fn program_stopped(&self, main: i32, by: Signal) {
        if !self.has_shell || ![Signal::TSTP, Signal::TTIN, Signal::TTOU, Signal::STOP].contains(&by) {
            return;
        }
        self.take_back();
        drop(signals::stop_self());
        if self.tty.foreground().is_ok_and(|group| group == tty::own_group()) {
            self.give_to(main);
        }
        drop(signals::signal_group(main, Signal::CONT));
    }
}
