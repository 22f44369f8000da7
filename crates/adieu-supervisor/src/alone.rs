//! Programs that want to be alone: that look whether somebody listens on their Unix socket, and give up when somebody does.
//!
//! Puma, MariaDB and php-fpm connect to their path before they bind it, and find the generation before, or what is held of
//! it. So a generation that ends before it is ready, and before it has bound the Unix sockets that it is waited for, is
//! started once more, and its `connect` to those names is answered as if nobody were there. From then on that goes for all
//! generations of this run. Nobody else's `connect` is looked at: it would wait for us.

use adieu_core::outcome::Outcome;
use adieu_core::switch::{Event, Generation};
use adieu_linux::seccomp::Call;
use adieu_linux::{memory, process, sockaddr};

use crate::options::Sockets;
use crate::paths::Name;
use crate::running::signal_each;
use crate::supervisor::Supervisor;

const ECONNREFUSED: i32 = 111;
const LONGEST_ADDRESS: usize = 128;

impl Supervisor {
    /// Whether `generation`, whose main process has ended, is started once more. The machine does not hear of it then.
    pub(crate) fn may_start_again(&mut self, generation: Generation, outcome: Outcome) -> bool {
        let failed = self.switch.starting() == Some(generation) && !self.switch.is_stopping();
        let by_itself = matches!(outcome, Outcome::Exited(code) if code != 0)
            && self.running.get(&generation).is_some_and(|running| running.not_executed.is_none());
        if self.alone_at_paths || !failed || !by_itself || self.options.sockets != Sockets::Auto {
            return false;
        }
        let bound: Vec<&Name> = self.paths.of(generation).map(|listener| &listener.name).collect();
        let missed = self.wanted_paths(generation).into_iter().find(|name| !bound.contains(&name));
        let Some(missed) = missed else { return false };
        self.note(format!(
            "generation {generation} ended ({outcome}) without binding {missed}, as a program does that finds somebody there: \
             it is started again and will find nobody"
        ));
        self.alone_at_paths = true;
        signal_each(&self.members(generation), self.stop_signal);
        if let Some(running) = self.running.get_mut(&generation) {
            running.starts_again = true;
        }
        true
    }

    /// No process of `generation` is left.
    pub(crate) fn tree_gone(&mut self, generation: Generation) {
        let again = self.running.get(&generation).filter(|running| running.starts_again);
        let Some((request, outcome)) = again.map(|running| (running.request, running.outcome)) else {
            return self.tell(Event::TreeGone(generation));
        };
        if self.switch.starting() != Some(generation) || self.switch.is_stopping() {
            // It has been given up meanwhile.
            self.tell(Event::MainExited(generation, outcome.unwrap_or(Outcome::Exited(1))));
            return self.tell(Event::TreeGone(generation));
        }
        if self.switch.serving().is_none_or(|serving| serving == generation) {
            // What was held for it is held again.
            self.keep_listeners(generation);
        }
        for error in self.groups.retire(generation) {
            self.note(format!("generation {generation}: closing its sockets: {error}"));
        }
        self.paths.retire(generation);
        self.running.remove(&generation);
        self.spawn(generation, request);
    }

    /// Answers a `connect` of a generation that starts; true when it has been answered here.
    pub(crate) fn on_connect(&self, generation: Generation, call: Call) -> bool {
        if self.switch.starting() != Some(generation) {
            return false;
        }
        let length = (call.args[2] as usize).min(LONGEST_ADDRESS);
        let (Ok(process), Ok(bytes)) = (process::thread_group(call.tid), memory::read(call.tid, call.args[1], length))
        else {
            return false;
        };
        let name = sockaddr::parse_unix_address(&bytes).and_then(|name| Name::resolve(process, &name));
        let theirs = |name: &Name| {
            let own = self.paths.of(generation).any(|listener| listener.name == *name);
            !own && (self.paths.held_at(name).is_some() || self.paths.served_at(name, generation).is_some())
        };
        name.is_some_and(|name| theirs(&name))
            && self.listener(generation).is_some_and(|listener| listener.reply(call.id, Err(ECONNREFUSED)).is_ok())
    }
}
