//! What clients of the control socket ask for.

use adieu_core::outcome::code;
use adieu_core::signal::Signal;
use adieu_core::wire::{Reply, Request};
use adieu_linux::clock;

use super::state::Supervisor;
use super::steps::{Step, Steps};
use crate::control::ClientId;
use crate::processes::Change;
use crate::view::Out;

impl Supervisor {
    /// Lets new clients in.
    pub(super) fn accept_clients(&mut self) -> Steps {
        self.control.accept();
        Steps::none()
    }

    pub(super) fn read_clients(&self) -> Steps {
        Steps::none().then_all(self.control.clients().map(Step::ReadClient))
    }

    /// Reads what a client has sent, and does what it asks for once that is known.
    pub(super) fn read_client(&mut self, client: ClientId) -> Steps {
        let Some(request) = self.control.read(client) else { return Steps::none() };
        match request {
            Request::Status {} => {
                let mut out = Out::default();
                let reply = Reply::Status(self.status(&mut out));
                self.answer(client, &reply);
                out.into()
            }
            Request::Timeline {} => {
                let epoch = clock::wall().as_secs_f64() - clock::now().since_origin().as_secs_f64();
                let entries = self.journal.entries().cloned().collect();
                self.answer(client, &Reply::Timeline { entries, dropped: self.journal.dropped(), epoch });
                Steps::none()
            }
            Request::Reload { wait, set, unset, command } => {
                let set = set.into_iter().map(|(key, value)| (key, Some(value)));
                let unset = unset.into_iter().map(|key| (key, None));
                self.ask_reload(Some((client, wait)), Change { environment: set.chain(unset).collect(), command })
            }
            Request::Stop {} => {
                self.control.wait_for_end(client);
                self.stop(self.machine.view().options.stop_signal.unwrap_or(Signal::TERM))
            }
            Request::Send { signal } => {
                self.send(client, signal);
                Steps::none()
            }
        }
    }

    fn answer(&mut self, client: ClientId, reply: &Reply) {
        self.control.say(client, reply);
        self.control.done(client, code::DONE, None);
    }

    fn send(&mut self, client: ClientId, signal: Signal) {
        let serving = self.machine.view().switch.serving();
        let (code, message) = match serving.and_then(|serving| self.processes.signal_main(serving, signal)) {
            Some(Ok(())) => (code::DONE, None),
            Some(Err(error)) => (code::NOT_PERMITTED, Some(format!("cannot send {signal}: {error}"))),
            None => (code::NO_TARGET, Some("no generation serves now".to_owned())),
        };
        self.control.done(client, code, message);
    }
}
