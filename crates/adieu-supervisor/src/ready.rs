//! When a generation counts as ready: it listens where the one before listened, says so, or answers a probe.

use std::os::fd::AsFd;

use adieu_core::address::{Endpoint, missing};
use adieu_core::switch::{Event, Generation};
use adieu_core::{Timestamp, duration};
use adieu_linux::clock;

use crate::groups::{Groups, HELD};
use crate::options::{ReadyWhen, Sockets};
use crate::paths::Name;
use crate::probe::Probe;
use crate::running::Running;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Looks whether `generation` has become ready by what is known of it.
    pub(crate) fn check_ready(&mut self, generation: Generation) {
        if self.switch.starting() != Some(generation) {
            return;
        }
        let ready = match &self.options.ready {
            ReadyWhen::Notify => self.running.get(&generation).is_some_and(|running| running.said_ready),
            ReadyWhen::Auto => self.is_ready_by_itself(generation),
            ReadyWhen::Http(_) | ReadyWhen::Tcp(_) | ReadyWhen::Exec(_) => false,
        };
        if ready {
            self.tell(Event::Ready(generation));
        }
    }

    fn is_ready_by_itself(&self, generation: Generation) -> bool {
        let Some(running) = self.running.get(&generation).filter(|running| running.is_alive()) else { return false };
        if self.owes_ready(running) {
            return false;
        }
        match self.options.sockets {
            Sockets::Off => true,
            // Our own sockets listen before the program runs: it has to accept a probe, or say READY=1.
            _ if self.has_passed(generation) => running.said_ready,
            Sockets::Pass => true,
            Sockets::Auto if running.listener.is_none() && !running.unseen => false,
            Sockets::Auto => self.listens(generation, running),
        }
    }

    /// Whether READY=1 is still to come: this very command has sent it before. Another command may be of those that never do;
    /// and one that is held at its `listen` cannot.
    fn owes_ready(&self, running: &Running) -> bool {
        let sends_it = self.says_ready.as_ref() == Some(&running.spec.command);
        sends_it && !running.said_ready && running.waiting_listens.is_empty()
    }

    /// Where the one before listens; the first one of all, somewhere. READY=1 does not stand for that: it may come from a
    /// supervisor in between, which does not see it.
    fn listens(&self, generation: Generation, running: &Running) -> bool {
        let wanted = self.wanted(generation);
        let present = self.present(generation);
        let paths = self.wanted_paths(generation);
        if !wanted.is_empty() || !paths.is_empty() || self.switch.serving() != Some(generation) {
            return missing(&wanted, &present).is_empty() && self.missing_paths(generation).is_empty();
        }
        let unknown = || running.unseen && self.unseen_listeners(generation).is_none();
        running.said_ready || !present.is_empty() || !self.paths.names(generation).is_empty() || unknown()
    }

    /// Where the generation before listens, or listened.
    pub(crate) fn wanted(&self, generation: Generation) -> Vec<Endpoint> {
        let serving = self.switch.serving().filter(|serving| *serving != generation);
        let mut wanted = serving.map(|old| self.groups.endpoints(old)).unwrap_or_default();
        wanted.extend(self.groups.endpoints(HELD));
        if serving.is_none() {
            wanted.extend(&self.unseen_wanted.endpoints);
        }
        wanted
    }

    /// As [`Self::wanted`], of Unix sockets.
    pub(crate) fn wanted_paths(&self, generation: Generation) -> Vec<Name> {
        let serving = self.switch.serving().filter(|serving| *serving != generation);
        let mut wanted = serving.map(|old| self.paths.lasting_names(old)).unwrap_or_default();
        wanted.extend(self.paths.lasting_names(HELD));
        wanted
    }

    /// Where the generation before listens, and this one not yet. Names of its own are only counted, and only where there is
    /// nothing else to go by.
    pub(crate) fn missing_paths(&self, generation: Generation) -> Vec<Name> {
        let (there, mut missing) = (self.paths.names(generation), self.wanted_paths(generation));
        let nothing_else = missing.is_empty() && self.wanted(generation).is_empty();
        missing.retain(|path| !there.contains(path));
        let serving = self.switch.serving().filter(|serving| *serving != generation && nothing_else);
        let own = serving.map(|old| self.paths.names(old)).unwrap_or_default();
        missing.extend(own.into_iter().skip(there.len()));
        missing
    }

    /// Where it listens, or wants to and is held.
    pub(crate) fn present(&self, generation: Generation) -> Vec<Endpoint> {
        let mut present = self.groups.endpoints(generation);
        let waiting =
            self.running.get(&generation).map(|running| running.waiting_listens.as_slice()).unwrap_or_default();
        let held = waiting.iter().filter_map(|waiting| self.groups.get(waiting.socket));
        present.extend(held.filter_map(|socket| Groups::endpoint_of(socket.fd.as_fd())));
        present.extend(self.present_unseen(generation));
        present
    }

    /// Whether it was given listeners: they listen from the start.
    fn has_passed(&self, generation: Generation) -> bool {
        self.groups.of(generation).any(|(_, socket)| socket.bound.is_none() && socket.endpoint.is_some())
    }

    /// Begins probing, where readiness is found out that way.
    pub(crate) fn begin_probing(&mut self, generation: Generation) {
        let by_accept = self.options.ready == ReadyWhen::Auto && self.has_passed(generation);
        if by_accept || matches!(self.options.ready, ReadyWhen::Http(_) | ReadyWhen::Tcp(_) | ReadyWhen::Exec(_)) {
            self.probe = Some(Probe::new(generation, clock::now()));
        }
    }

    /// What a generation that is not ready has failed to do, with what the last probe came to.
    pub(crate) fn why_unready(&self, generation: Generation) -> String {
        if self.options.ready == ReadyWhen::Auto {
            let (present, missing) =
                (self.present(generation), missing(&self.wanted(generation), &self.present(generation)));
            let list = |of: &[Endpoint]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            if !missing.is_empty() {
                let there = if present.is_empty() { "nowhere".to_owned() } else { format!("on {}", list(&present)) };
                return format!("it listens {there}, the one before it on {}", list(&missing));
            }
            if let Some(path) = self.missing_paths(generation).first() {
                return format!("it does not listen on {path}, as the one before it does");
            }
            if self.running.get(&generation).is_some_and(|running| self.owes_ready(running)) {
                return "it did not send READY=1, as the same command did before".to_owned();
            }
        }
        let unmet = self.options.ready.unmet();
        let why = self.probe.as_ref().and_then(|probe| probe.failure.as_ref());
        why.map_or(unmet.clone(), |why| format!("{unmet} ({why})"))
    }

    /// The serving generation, if it has not yet become ready as the options say.
    fn unready(&self) -> Option<&Running> {
        let serving = self.switch.serving().filter(|serving| self.switch.starting() == Some(*serving))?;
        let running = self.running.get(&serving).filter(|running| !running.said_unready && running.is_alive());
        running.filter(|_| self.options.ready != ReadyWhen::Auto && !self.switch.is_stopping())
    }

    /// When it is to be said that the serving generation is not ready.
    pub(crate) fn next_unready(&self) -> Option<Timestamp> {
        self.unready().map(|running| running.started + self.options.ready_timeout)
    }

    /// A generation that nobody can go back from may take as long as it wants, but not in silence.
    pub(crate) fn say_unready(&mut self) {
        if self.next_unready().is_none_or(|at| clock::now() < at) {
            return;
        }
        let Some(generation) = self.unready().map(|running| running.generation) else { return };
        if let Some(running) = self.running.get_mut(&generation) {
            running.said_unready = true;
        }
        let after = duration::format(self.options.ready_timeout);
        self.note(format!(
            "generation {generation} is not ready after {after}, and goes on: {}",
            self.why_unready(generation)
        ));
    }
}
