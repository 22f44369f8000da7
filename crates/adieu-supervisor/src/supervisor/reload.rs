//! A reload: asked for, begun, switched, settled, told.
//!
//! It is asked for by a client (`requests`) or by SIGHUP (`signals`). The machine then says `Spawn` (`start`), `Switch`,
//! `Serving` or `Hold`, `WatchQueues` and `WatchOwed` (the connections), `AskMain` (`stop`), and `Progress` in between.

use adieu_core::switch::{Event, Failure, Generation, RequestId, Step as Progress};
use adieu_core::wire::Wait;

use super::state::Supervisor;
use super::steps::{Step, Steps};
use crate::control::ClientId;
use crate::processes::{Change, tells_of_another};
use crate::view::Out;

impl Supervisor {
    /// A reload, from a client or a signal. The serving generation may turn out not to stand another one beside it.
    pub(super) fn ask_reload(&mut self, from: Option<(ClientId, Wait)>, change: Change) -> Steps {
        let request = self.control.ask_reload(from, change);
        let mut out = Out::default();
        let exclusive = self.sockets.find_exclusive(&self.machine.view(), &self.processes, &mut out);
        if let Some(serving) = exclusive {
            out.event(Event::Exclusive(serving));
        }
        Steps::from(out).then(Step::BeginReload(request))
    }

    pub(super) fn begin_reload(&mut self, request: RequestId) -> Steps {
        self.systemd.reloading(self.machine.view().now);
        Step::Tell(Event::Reload(request)).into()
    }

    /// Prepares the serving generation for another one beside it.
    pub(super) fn secure(&mut self) -> Steps {
        let mut out = Out::default();
        self.sockets.secure_paths(&self.machine.view(), &mut out);
        out.into()
    }

    /// Sends new connections to `generation`.
    pub(super) fn switch_to(&mut self, generation: Generation) -> Steps {
        let mut out = Out::default();
        match self.sockets.switch_to(&self.machine.view(), generation, &mut out) {
            Ok(()) => out.event(Event::Switched(generation)),
            Err(error) => {
                out.note(format!("generation {generation}: cannot send connections to it: {error}"));
                out.event(Event::SwitchFailed(generation));
            }
        }
        out.into()
    }

    /// `generation` serves.
    pub(super) fn serving(&mut self, generation: Generation) -> Steps {
        let mut out = Out::default();
        self.processes.serving(generation);
        self.systemd.ready();
        // What was kept for this generation and not taken: it does not listen there any more.
        self.sockets.close_held(&mut out);
        self.control.answer_failed(true);
        out.into()
    }

    /// Keeps the listeners of `generation` for the next one.
    pub(super) fn hold(&mut self, generation: Generation) -> Steps {
        let mut out = Out::default();
        self.sockets.hold(&self.machine.view(), &self.processes, generation, &mut out);
        out.into()
    }

    pub(super) fn watch_queues(&mut self, generation: Generation) -> Steps {
        let mut out = Out::default();
        self.connections.watch_queues(&self.machine.view(), &self.sockets, generation, false, &mut out);
        out.into()
    }

    pub(super) fn watch_owed(&mut self, generation: Generation) -> Steps {
        let mut out = Out::default();
        self.connections.watch_owed(&self.machine.view(), &self.processes, &self.sockets, generation, &mut out);
        out.into()
    }

    /// Tells the clients of a reload how far it is.
    pub(super) fn progress(&mut self, request: RequestId, step: Progress) -> Steps {
        let mut out = Out::default();
        let Progress::Failed(failure) = step else {
            self.control.progress(&self.machine.view(), request, step, &step.text(), &[]);
            return out.into();
        };
        let (text, output) = self.explain(failure);
        self.systemd.ready();
        self.control.progress(&self.machine.view(), request, step, &text, &output);
        let failed = format!("reload failed: {text}");
        // The timeline has it already, unless there is more to say.
        if text == failure.text() {
            out.log(failed)
        } else {
            out.note(failed)
        }
        out.into()
    }

    /// Why a reload failed, as exactly as is known, with the end of the program's output.
    fn explain(&self, failure: Failure) -> (String, Vec<String>) {
        let mut text = failure.text();
        let generation = match failure {
            Failure::Exited(generation, _)
            | Failure::NotReady(generation)
            | Failure::NotSwitched(generation)
            | Failure::DiedSettling(generation, _)
            | Failure::Died(generation, _) => generation,
            Failure::Stopping | Failure::TooMany => return (text, Vec::new()),
        };
        let Some(lines) = self.processes.last_lines(generation) else {
            let why = self.processes.start_failure();
            return (why.map_or(text.clone(), |why| format!("{text}: {why}")), Vec::new());
        };
        if let Some(why) = self.processes.not_executed(generation) {
            text = format!("{text}: {why}");
        }
        let view = self.machine.view();
        if let Failure::NotReady(_) = failure {
            let why = self.readiness.why_unready(&view, &self.processes, &self.sockets, generation);
            text = format!("{text}: {why}");
        }
        let at_start = matches!(failure, Failure::Exited(..) | Failure::NotReady(_));
        if at_start && view.options.overlap && lines.iter().any(|line| tells_of_another(line)) {
            text = format!(
                "{text}; it seems to mind the one before it: give each generation a pid file or lock of its own \
                 ($ADIEU_GENERATION), or use --overlap no"
            );
        }
        (text, lines)
    }
}
