//! Deciding `connect` to a Unix socket, where a program shall not find the generation before it; why is in
//! [`super::second_try`].

use adieu_linux::seccomp::Call;
use adieu_linux::{errno, sockaddr};

use super::Sockets;
use super::answer::{Answer, Caller, LONGEST_ADDRESS};
use super::paths::Name;
use crate::view::View;

impl Sockets {
    /// Decides a `connect` of a generation that starts.
    pub(super) fn decide_connect(&self, view: &View<'_>, caller: &Caller<'_>, call: &Call) -> Answer {
        let length = (call.args[2] as usize).min(LONGEST_ADDRESS);
        if view.switch.starting() != Some(caller.generation) {
            return Answer::Continue;
        }
        let Ok(process) = caller.table.process_of(call.tid) else { return Answer::Continue };
        let Ok(bytes) = caller.table.memory(call.tid, call.args[1], length) else { return Answer::Continue };
        let name = sockaddr::parse_unix_address(&bytes).and_then(|name| Name::resolve(process, &name));
        let theirs = |name: &Name| {
            let own = self.paths.of(caller.generation).any(|listener| listener.name == *name);
            !own && (self.paths.held_at(name).is_some() || self.paths.served_at(name, caller.generation).is_some())
        };
        if name.is_some_and(|name| theirs(&name)) { Answer::Return(Err(errno::ECONNREFUSED)) } else { Answer::Continue }
    }
}
