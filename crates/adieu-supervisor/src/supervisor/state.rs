//! The parts, together.

use adieu_core::signal::Signal;
use adieu_linux::clock;
use adieu_linux::signals::SignalFd;

use super::ending::Ending;
use super::housekeeping::Housekeeping;
use super::machine::Machine;

use crate::connections::Connections;
use crate::control::{Control, Instance};
use crate::hooks::Hooks;
use crate::journal::Journal;
use crate::options::Options;
use crate::processes::{Processes, Terminal};
use crate::readiness::Readiness;
use crate::sockets::{Inherited, Sockets};
use crate::systemd::Systemd;

/// Everything of one run.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(super) machine: Machine,
    pub(super) journal: Journal,
    pub(super) signals: SignalFd,
    pub(super) processes: Processes,
    pub(super) sockets: Sockets,
    pub(super) readiness: Readiness,
    pub(super) connections: Connections,
    pub(super) control: Control,
    pub(super) hooks: Hooks,
    pub(super) systemd: Systemd,
    pub(super) ending: Ending,
    pub(super) housekeeping: Housekeeping,
}

impl Supervisor {
    pub(crate) fn new(
        options: Options,
        instance: Instance,
        inherited: Inherited,
        signals: SignalFd,
        ignored_hangup: bool,
    ) -> Self {
        let (now, name) = (clock::now(), instance.name().to_owned());
        Self {
            journal: Journal::new(options.json_log, &name),
            processes: Processes::new(&name, &options.command, ignored_hangup, now),
            sockets: Sockets::new(inherited, now),
            readiness: Readiness::default(),
            connections: Connections::default(),
            control: Control::new(Some(instance)),
            hooks: Hooks::new(&name),
            systemd: Systemd::from_environment(),
            ending: Ending::new(options.stop_signal.unwrap_or(Signal::TERM)),
            housekeeping: Housekeeping::default(),
            signals,
            machine: Machine::new(options, now),
        }
    }

    /// The run is over: frees the name, and gives back the terminal and the signal that ended the program, if one did.
    pub(crate) fn close(&mut self) -> (Option<Terminal>, Option<Signal>) {
        // The name is free again before anybody hears of our end.
        self.control.close();
        (self.processes.take_terminal(), self.ending.last_signal())
    }
}
