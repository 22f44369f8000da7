//! Signals that we have received: ours, the terminal's, the program's.

use adieu_core::signal::Signal;
use adieu_linux::errno;
use adieu_linux::signals::Received;

use super::state::Supervisor;
use super::steps::{Step, Steps};
use crate::options::Sockets;
use crate::processes::Change;
use crate::view::Out;

impl Supervisor {
    /// Takes the next signal. When there is none left, our children are looked at if one of them has changed.
    pub(super) fn read_signal(&mut self, children: bool) -> Steps {
        let Ok(Some(received)) = self.signals.read() else {
            return if children { self.reap() } else { Steps::none() };
        };
        if received.signal == Signal::CHLD {
            return Step::ReadSignal { children: true }.into();
        }
        self.on_signal(&received).then(Step::ReadSignal { children })
    }

    fn on_signal(&mut self, received: &Received) -> Steps {
        let Received { signal: received, from_kernel } = *received;
        if self.is_for_terminal(received, from_kernel) {
            return Steps::none();
        }
        let options = self.machine.view().options;
        let rewritten = options.rewrite.iter().find(|(from, _)| *from == received).map(|(_, to)| *to);
        let signal = rewritten.unwrap_or(received);
        // The signal that stops the program stops us too: an image's STOPSIGNAL is sent to PID 1.
        let stop_signal = options.stop_signal;
        // A terminal's end and a plain init's SIGHUP are the program's affair.
        let reloads = options.sockets != Sockets::Off && self.processes.terminal().is_none();
        let asks = |signal: Signal| [Signal::TERM, Signal::INT].contains(&signal) || stop_signal == Some(signal);
        if asks(received) || asks(signal) {
            self.stop(stop_signal.unwrap_or(signal))
        } else if signal == Signal::HUP && reloads {
            self.ask_reload(None, Change::default())
        } else if ![Signal::PIPE, Signal::TTIN, Signal::TTOU].contains(&signal) {
            self.forward(signal)
        } else {
            Steps::none()
        }
    }

    /// Whether the signal belongs to the job control of our terminal, which is done here.
    fn is_for_terminal(&self, received: Signal, from_kernel: bool) -> bool {
        let Some(terminal) = self.processes.terminal() else { return false };
        let main = self.machine.view().switch.serving().and_then(|serving| self.processes.main(serving));
        let typed = [Signal::INT, Signal::QUIT, Signal::TSTP, Signal::WINCH].contains(&received);
        if from_kernel && typed {
            if let Some(main) = main.filter(|_| !terminal.is_shared()) {
                terminal.pass_on(main, received);
            }
            return true;
        }
        let continued = received == Signal::CONT && !terminal.is_shared();
        if let Some(main) = main.filter(|_| continued) {
            terminal.continued(main);
        }
        continued
    }

    fn forward(&mut self, signal: Signal) -> Steps {
        let mut out = Out::default();
        let serving = self.machine.view().switch.serving();
        let sent = serving.and_then(|serving| self.processes.signal_main(serving, signal));
        // One that has just ended misses nothing.
        if let Some(Err(error)) = sent
            && error.raw_os_error() != Some(errno::ESRCH)
        {
            out.note(format!("cannot forward {signal}: {error}"));
        }
        out.into()
    }
}
