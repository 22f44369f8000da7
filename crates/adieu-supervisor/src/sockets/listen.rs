//! Deciding `listen`: it is done here, in the program's place, so that the order of a group's members is known.

use std::os::fd::AsFd;

use adieu_core::group::SocketId;
use adieu_core::switch::Generation;
use adieu_linux::errno;
use adieu_linux::seccomp::Call;

use super::Sockets;
use super::answer::{Answer, Caller};
use super::groups::Groups;
use crate::view::{Out, View};

impl Sockets {
    pub(super) fn decide_listen(&mut self, view: &View<'_>, caller: &Caller<'_>, call: &Call, out: &mut Out) -> Answer {
        let (generation, fd, backlog) = (caller.generation, call.args[0] as i32, call.args[1] as i32);
        let backlog = view.options.backlog.map_or(backlog, |least| backlog.max(least));
        let Ok(process) = caller.table.process_of(call.tid) else { return Answer::Continue };
        let Ok(Some(inode)) = caller.table.socket_inode(process, fd) else { return Answer::Continue };
        if self.paths.await_listen(generation, inode, view.now) {
            return Answer::Continue;
        }
        let Some(id) = self.groups.find(generation, inode) else {
            // Never bound: the kernel chooses the port. Unless its `bind` could not be seen.
            if !self.is_unseen(generation) {
                self.loosen(caller.table, generation, process, fd);
            }
            return Answer::Continue;
        };
        let Some(endpoint) = self.groups.get(id).and_then(|socket| Groups::endpoint_of(socket.fd.as_fd())) else {
            // Its bind has failed: the kernel says what `listen` does then.
            drop(self.groups.forget(id));
            return Answer::Continue;
        };
        // Where the serving one listens too, their group decides.
        let there = view.serving_before(generation).map(|old| self.groups.endpoints(old)).unwrap_or_default();
        let takes_traffic = !there.contains(&endpoint) && there.iter().any(|there| endpoint.steals_from(there));
        if takes_traffic {
            out.note_once(format!(
                "generation {generation} listens on {endpoint}, inside what the serving one has: held until it is ready"
            ));
            return Answer::Later { socket: id, backlog };
        }
        self.find_foreign(out);
        if !self.groups.is_steered(&endpoint) && !self.groups.others_at(&endpoint).is_empty() {
            out.note_once(format!(
                "another program of this user listens on {endpoint} already, and this one asks to share it (SO_REUSEPORT): its \
                 reloads are not seamless"
            ));
            // It is not in a group yet: nothing can fail.
            drop(self.groups.forget(id));
            self.loosen(caller.table, generation, process, fd);
            return Answer::Continue;
        }
        Answer::Return(self.listen(view, generation, id, backlog, out))
    }

    /// Listens in the program's place; what its call returns.
    pub(super) fn listen(
        &mut self,
        view: &View<'_>,
        generation: Generation,
        id: SocketId,
        backlog: i32,
        out: &mut Out,
    ) -> Result<(), i32> {
        let steers = view.switch.serving() == Some(generation);
        self.groups.listen(id, backlog, steers).map_err(|error| {
            out.note(format!("generation {generation}: listen failed: {error}"));
            error.raw_os_error().unwrap_or(errno::EINVAL)
        })
    }
}
