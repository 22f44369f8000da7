//! Duplicates that no process of their generation has any more: the program has closed its own, or has died.
//!
//! A listener without anybody who accepts must not keep clients waiting. It is closed, unless its program binds the same
//! address again: then it is given that socket back, and whoever waits in its queue is served.

use std::time::Duration;

use adieu_core::address::Endpoint;
use adieu_core::group::SocketId;
use adieu_core::switch::Generation;
use adieu_linux::{clock, descriptors, process};

use crate::groups::{HELD, Holder, Socket};
use crate::supervisor::Supervisor;

/// A program that binds an address again within this time gets the socket that it has closed, with all who wait.
const REBIND: Duration = Duration::from_secs(1);

impl Supervisor {
    /// The sockets that the program of `generation` has bound and no process of it has any more; none where that cannot be
    /// seen.
    fn unheld(&self, generation: Generation) -> Vec<SocketId> {
        if generation == HELD || self.groups.of(generation).next().is_none() {
            return Vec::new();
        }
        let bound = self.groups.of(generation).filter(|(_, socket)| socket.bound.is_some());
        let mut ids: Vec<SocketId> = bound.filter(|(_, socket)| !has_it(socket)).map(|(id, _)| id).collect();
        // One look at a tree that changes may miss a process.
        for _ in 0..2 {
            if ids.is_empty() {
                break;
            }
            let Some(present) = self.own_inodes(generation) else { return Vec::new() };
            ids.retain(|id| self.groups.get(*id).is_some_and(|socket| !present.contains(&socket.inode)));
        }
        if self.is_about_to_end(generation) { Vec::new() } else { ids }
    }

    /// Whether the main process has ended without our having heard of it: who takes over is decided first.
    pub(crate) fn is_about_to_end(&self, generation: Generation) -> bool {
        let ended = |pid: i32| process::stat(pid).map_or(true, |stat| stat.exiting);
        self.running.get(&generation).is_some_and(|running| running.is_alive() && ended(running.main))
    }

    /// Closes all that nobody has.
    pub(crate) fn drop_unheld(&mut self, generation: Generation) {
        for id in self.unheld(generation) {
            self.drop_socket(id);
        }
        self.drop_unheld_paths(generation);
    }

    /// The main process has ended: what nobody has now is closed, unless the next generation is to inherit it.
    pub(crate) fn drop_left(&mut self, generation: Generation) {
        if self.inherited_from != Some(generation) || self.switch.is_stopping() {
            self.drop_unheld(generation);
        }
    }

    /// As [`Self::drop_unheld`], for every generation.
    pub(crate) fn drop_all_unheld(&mut self) {
        for generation in self.running.keys().copied().collect::<Vec<_>>() {
            self.drop_unheld(generation);
        }
    }

    /// Closes what nobody has had for a while: a program may be about to bind the address again.
    pub(crate) fn look_for_unheld(&mut self, generation: Generation) {
        self.drop_unheld_paths(generation);
        let (unheld, now) = (self.unheld(generation), clock::now());
        let ids: Vec<SocketId> = self.groups.of(generation).map(|(id, _)| id).collect();
        for id in ids {
            let Some(socket) = self.groups.get_mut(id) else { continue };
            if !unheld.contains(&id) {
                socket.unheld_since = None;
            } else if now - *socket.unheld_since.get_or_insert(now) >= REBIND {
                self.drop_socket(id);
            }
        }
    }

    /// Makes room for a socket that is about to be bound to `endpoint`, and says which one may be given instead.
    pub(crate) fn unheld_at(&mut self, generation: Generation, endpoint: &Endpoint) -> Option<SocketId> {
        let mut same = None;
        for id in self.unheld(generation) {
            let Some(socket) = self.groups.get(id) else { continue };
            match socket.endpoint {
                Some(there) if there == *endpoint => same = same.or(Some(id)),
                // It is in the way: `bind` or `listen` would fail.
                Some(there) if there.overlaps(endpoint) => self.drop_socket(id),
                Some(_) => {}
                None => self.drop_socket(id),
            }
        }
        same
    }

    /// A process that had bound a listener has ended. Others may have it still; if not, and if it was one of several, the
    /// others get all new connections from now on.
    pub(crate) fn holder_ended(&mut self, id: SocketId) {
        let Some(socket) = self.groups.get_mut(id) else { return };
        socket.holder = None;
        let (generation, endpoint) = (socket.generation, socket.endpoint);
        let alone = self.groups.of(generation).filter(|(_, socket)| socket.endpoint == endpoint).count() < 2;
        if alone {
            self.look_for_unheld(generation);
        } else {
            self.drop_unheld(generation);
        }
    }

    fn drop_socket(&mut self, id: SocketId) {
        for error in self.groups.forget(id) {
            self.note(format!("closing a socket that nobody has any more: {error}"));
        }
    }
}

/// Whether the process that bound the socket still has it where it had it. Usually it has, and no tree needs to be looked
/// through.
fn has_it(socket: &Socket) -> bool {
    let has =
        |holder: &Holder| descriptors::socket_inode(holder.process, holder.fd).ok().flatten() == Some(socket.inode);
    socket.holder.as_ref().is_some_and(has)
}
