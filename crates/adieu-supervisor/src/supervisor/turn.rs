//! One turn of the loop: wait, take what has come, let every part go on.

use std::os::fd::AsFd;
use std::time::Duration;

use adieu_core::switch::Event;
use adieu_linux::clock;
use adieu_linux::poll::poll;

use super::housekeeping::release_code;
use super::state::Supervisor;
use super::steps::{Step, Steps};
use crate::interests::{Interests, Source};
use crate::view::{Note, Out, View};

/// Waking just before a moment would only turn the loop: timeouts are rounded up to this.
const SHORTEST_WAIT: Duration = Duration::from_micros(200);
/// Out of memory or descriptors: a pause, so that it does not become a busy loop.
const PAUSE: Duration = Duration::from_millis(10);

impl Supervisor {
    /// Runs until everything has ended; returns the exit code.
    pub(crate) fn run(&mut self) -> i32 {
        #[cfg(feature = "failpoints")]
        crate::failpoint::prepare(self.control.name(), self.machine.view().switch);
        self.work(Step::Tell(Event::Start).into());
        loop {
            if let Some(code) = self.ending.exit()
                && self.hooks.are_over()
            {
                self.control.answer_at_end(self.ending.was_forced(), code);
                #[cfg(feature = "failpoints")]
                crate::failpoint::record(&self.journal, code);
                return code;
            }
            for source in self.wait() {
                let steps = self.hear(source);
                self.work(steps);
            }
            self.advance();
        }
    }

    /// Waits for the next thing to happen; what is ready comes in the order of [`Source`].
    fn wait(&mut self) -> Vec<Source> {
        let timeout = self.timeout();
        let mut interests = Interests::default();
        interests.read(Source::Signals, self.signals.as_fd());
        self.processes.interests(&mut interests);
        self.sockets.interests(&mut interests);
        self.readiness.interests(&mut interests);
        self.connections.interests(&mut interests);
        self.control.interests(&mut interests);
        self.hooks.interests(&mut interests);
        let ready = poll(interests.descriptors(), timeout);
        let sources = interests.into_sources();
        let ready = match ready {
            Ok(ready) => ready,
            Err(error) => {
                self.journal.note(clock::now(), Note::Once(format!("cannot wait for events: {error}")));
                // Nothing to wait for: only the time counts.
                drop(poll(&[], Some(PAUSE)));
                return vec![Source::Signals];
            }
        };
        let mut found = Vec::new();
        for (source, ready) in sources.into_iter().zip(ready) {
            match source {
                // Every process under this filter has ended.
                Source::Call(generation) if ready.hung_up && !ready.readable => self.sockets.unwatch(generation),
                source if ready.readable || ready.writable || ready.hung_up => found.push(source),
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// How long nothing is due.
    fn timeout(&self) -> Option<Duration> {
        let view = self.machine.view();
        let View { switch, now, .. } = view;
        let next = [
            switch.poll_timeout(),
            self.processes.next(&view),
            self.sockets.next(&view, &self.processes),
            self.readiness.next(&view, &self.processes),
            self.connections.next(&view),
            self.hooks.next(),
            self.housekeeping.next(),
        ];
        let next = next.into_iter().flatten().min();
        next.map(|at| if at <= now { Duration::ZERO } else { (at - now).max(SHORTEST_WAIT) })
    }

    /// Lets every part go on with what takes time, in this order: what makes a generation ready, what frees an old one, what
    /// only looks, and last what is over.
    fn advance(&mut self) {
        self.advance_sockets();
        self.advance_readiness();
        self.advance_connections();
        self.advance_hooks();
        self.processes.advance(&self.machine.view());
        if self.machine.is_due() {
            self.work(Step::Tell(Event::Timeout).into());
        }
        self.say_unready();
        self.control.advance();
        if self.housekeeping.is_due(clock::now()) {
            self.processes.look_at_memory();
            release_code();
        }
    }

    fn advance_sockets(&mut self) {
        let mut out = Out::default();
        let found = self.sockets.advance(&self.machine.view(), &self.processes, &mut out);
        if found.refuses {
            self.control.answer_failed(false);
        }
        self.work(Steps::from(out).then_all(found.may_be_ready.into_iter().map(Step::CheckReady)));
    }

    fn advance_readiness(&mut self) {
        let mut out = Out::default();
        let need = self.readiness.advance(&self.machine.view(), &self.processes, &self.sockets, &mut out);
        self.meet(need);
        self.work(out.into());
    }

    fn say_unready(&mut self) {
        let mut out = Out::default();
        self.readiness.say_unready(&self.machine.view(), &self.processes, &self.sockets, &mut out);
        self.work(out.into());
    }

    fn advance_connections(&mut self) {
        let mut out = Out::default();
        let view = self.machine.view();
        // Those that could not be hidden before they had settled get their last new connections.
        for generation in self.connections.due_to_hide(&view) {
            if let Some(Err(error)) = view.switch.serving().map(|serving| self.sockets.hide_covered(serving)) {
                out.note(format!("generation {generation}: its listeners cannot be hidden: {error}"));
            }
            self.connections.are_hidden(&self.sockets, generation);
        }
        self.connections.advance(&self.machine.view(), &self.processes, &self.sockets, &mut out);
        self.work(out.into());
    }

    fn advance_hooks(&mut self) {
        let mut out = Out::default();
        self.hooks.advance(&self.machine.view(), &mut out);
        self.work(out.into());
    }
}
