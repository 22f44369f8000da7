//! The stop: of one generation, and of everything.

use std::time::Duration;

use adieu_core::signal::Signal;
use adieu_core::switch::{Event, Generation};

use super::state::Supervisor;
use super::steps::{Step, Steps};
use crate::view::Out;

impl Supervisor {
    /// Begins the stop of everything; `signal` is what the program gets.
    pub(super) fn stop(&mut self, signal: Signal) -> Steps {
        if !self.machine.view().switch.is_stopping() {
            self.ending.begin(signal);
            self.systemd.stopping();
        }
        Step::Tell(Event::Stop).into()
    }

    pub(super) fn run_pre_stop(&mut self, generation: Generation, budget: Duration) -> Steps {
        let mut out = Out::default();
        let view = self.machine.view();
        let main = self.processes.main(generation);
        let mut shell = self.processes.shell(&view, generation);
        self.hooks.run_pre_stop(&view, generation, main, budget, &mut shell, &mut out);
        out.into()
    }

    /// Asks the main process of `generation` to end. Its drain is over.
    pub(super) fn ask_main(&mut self, generation: Generation) -> Steps {
        let mut out = Out::default();
        let view = self.machine.view();
        self.connections.end_owed_watch(&view, generation, &mut out);
        self.sockets.refuse_waiting_listens(generation);
        if view.switch.is_stopping() {
            // Nothing will be switched any more: what the program closes shall be closed.
            self.sockets.release(generation);
        }
        let signal = self.ending.stop_signal();
        if let Some(Err(error)) = self.processes.signal_main(generation, signal) {
            out.note(format!("generation {generation}: cannot send {signal}: {error}"));
        }
        out.into()
    }

    /// Asks everything else of `generation` to end.
    pub(super) fn ask_rest(&self, generation: Generation) -> Steps {
        self.processes.signal_all(generation, self.ending.stop_signal());
        Steps::none()
    }

    pub(super) fn kill(&mut self, generation: Generation) -> Steps {
        let mut out = Out::default();
        self.processes.kill(generation, &mut out);
        // A keeper says it when it has nobody left.
        let direct = (!self.processes.has_keeper(generation)).then_some(Step::CheckTree(generation));
        Steps::from(out).then_all(direct)
    }

    /// Everything has ended.
    pub(super) fn finish(&mut self, code: i32) -> Steps {
        self.ending.is_over(code, &self.machine.view().options.map_exit);
        Steps::none()
    }
}
