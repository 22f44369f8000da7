//! Readiness: when a generation counts as ready. It listens where the one before listened, says so, or answers a probe.
//!
//! Invariant: a probe reaches the generation that is asked, or nobody; what a generation says is taken from its own notify
//! socket only.

mod notify;
mod probe;
mod probing;
mod state;
#[cfg(test)]
mod tests;
mod ways;

use std::ffi::OsString;

use adieu_core::switch::Generation;
use adieu_core::{Timestamp, duration};

pub(crate) use self::notify::Message;
use self::notify::NotifyState;
pub(crate) use self::probe::Need;
use self::probe::Probe;
pub(crate) use self::state::Readiness;
use crate::interests::{Interests, Source};
use crate::options::{self, ReadyWhen};
use crate::process_table::ProcessTable;
use crate::sockets::Sockets;
use crate::view::{Out, View};

impl Readiness {
    pub(crate) fn interests<'a>(&'a self, interests: &mut Interests<'a>) {
        for (generation, told) in &self.told {
            if let Some(socket) = told.socket() {
                interests.read(Source::Notify(*generation), socket);
            }
        }
        if let Some((fd, readiness)) = self.probe.as_ref().and_then(Probe::interest) {
            interests.add(Source::Other, fd, readiness);
        }
    }

    /// When [`Self::advance`] or [`Self::say_unready`] has something to do.
    pub(crate) fn next(&self, view: &View<'_>, table: &dyn ProcessTable) -> Option<Timestamp> {
        let probe = self.probe.as_ref().map(|probe| probe.next);
        let unready = self.unready(view, table).map(|(_, at)| at);
        probe.into_iter().chain(unready).min()
    }

    /// Prepares for the start of `generation`: the variable that tells it where to say that it is ready.
    pub(crate) fn begin(&mut self, view: &View<'_>, generation: Generation) -> Option<(OsString, OsString)> {
        let listens = view.options.sockets != options::Sockets::Off || view.options.ready == ReadyWhen::Notify;
        let (told, value) = if listens { NotifyState::open(generation) } else { (NotifyState::default(), None) };
        self.told.insert(generation, told);
        value.map(|value| ("NOTIFY_SOCKET".into(), value.into()))
    }

    /// Forgets `generation`, which is gone.
    pub(crate) fn forget(&mut self, generation: Generation) {
        self.told.remove(&generation);
    }

    /// The next message that `generation` has sent.
    pub(crate) fn hear(&self, generation: Generation) -> Option<Message> {
        self.told.get(&generation)?.next()
    }

    /// `generation`, which runs this command, has sent READY=1.
    pub(crate) fn said_ready(&mut self, generation: Generation, command: Option<&[OsString]>) {
        if let Some(told) = self.told.get_mut(&generation) {
            told.ready = true;
            if let Some(command) = command {
                self.says_ready = Some(command.to_vec());
            }
        }
    }

    fn has_said_ready(&self, generation: Generation) -> bool {
        self.told.get(&generation).is_some_and(|told| told.ready)
    }

    /// Whether `generation`, which starts, has become ready by what is known of it.
    pub(crate) fn is_ready(
        &self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        sockets: &Sockets,
        generation: Generation,
    ) -> bool {
        if view.switch.starting() != Some(generation) {
            return false;
        }
        match &view.options.ready {
            ReadyWhen::Notify => self.has_said_ready(generation),
            ReadyWhen::Auto => self.is_ready_by_itself(view, table, sockets, generation),
            ReadyWhen::Http(_) | ReadyWhen::Tcp(_) | ReadyWhen::Exec(_) => false,
        }
    }

    fn is_ready_by_itself(
        &self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        sockets: &Sockets,
        generation: Generation,
    ) -> bool {
        if !table.is_alive(generation) || self.owes_ready(table, sockets, generation) {
            return false;
        }
        let said_ready = self.has_said_ready(generation);
        match view.options.sockets {
            options::Sockets::Off => true,
            // Our own sockets listen before the program runs: it has to accept a probe, or say READY=1.
            _ if sockets.has_passed(generation) => said_ready,
            options::Sockets::Pass => true,
            options::Sockets::Auto => {
                sockets.is_watch_decided(generation) && sockets.listens_as_expected(view, table, generation, said_ready)
            }
        }
    }

    /// Whether READY=1 is still to come: this very command has sent it before. Another command may be of those that never do;
    /// and one that is held at its `listen` cannot.
    fn owes_ready(&self, table: &dyn ProcessTable, sockets: &Sockets, generation: Generation) -> bool {
        let command = table.command(generation);
        let sends_it = command.is_some() && self.says_ready.as_deref() == command;
        sends_it && !self.has_said_ready(generation) && !sockets.waits_to_listen(generation)
    }

    /// What a generation that is not ready has failed to do, with what the last probe came to.
    pub(crate) fn why_unready(
        &self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        sockets: &Sockets,
        generation: Generation,
    ) -> String {
        if view.options.ready == ReadyWhen::Auto {
            if let Some(why) = sockets.why_not_as_expected(view, table, generation) {
                return why;
            }
            if self.owes_ready(table, sockets, generation) {
                return "it did not send READY=1, as the same command did before".to_owned();
            }
        }
        let unmet = view.options.ready.unmet();
        let why = self.probe.as_ref().and_then(|probe| probe.failure.as_ref());
        why.map_or(unmet.clone(), |why| format!("{unmet} ({why})"))
    }

    /// The serving generation, if it has not yet become ready as the options say, and when that is to be said.
    fn unready(&self, view: &View<'_>, table: &dyn ProcessTable) -> Option<(Generation, Timestamp)> {
        let serving = view.switch.serving().filter(|serving| view.switch.starting() == Some(*serving))?;
        let said = self.told.get(&serving).is_none_or(|told| told.said_unready);
        let silent = view.options.ready != ReadyWhen::Auto && !view.switch.is_stopping();
        let started = table.started(serving).filter(|_| silent && !said && table.is_alive(serving))?;
        Some((serving, started + view.options.ready_timeout))
    }

    /// A generation that nobody can go back from may take as long as it wants, but not in silence.
    /// To be asked when the probe has been gone on with: it may know why.
    pub(crate) fn say_unready(&mut self, view: &View<'_>, table: &dyn ProcessTable, sockets: &Sockets, out: &mut Out) {
        let Some((generation, _)) = self.unready(view, table).filter(|(_, at)| view.now >= *at) else { return };
        if let Some(told) = self.told.get_mut(&generation) {
            told.said_unready = true;
        }
        out.note(format!(
            "generation {generation} is not ready after {}, and goes on: {}",
            duration::format(view.options.ready_timeout),
            self.why_unready(view, table, sockets, generation)
        ));
    }
}
