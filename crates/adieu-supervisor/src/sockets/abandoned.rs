//! Abandoned duplicates: no process of their generation has the socket any more, as the program has closed its own or died.
//!
//! A listener without anybody who accepts must not keep clients waiting. It is closed, unless its program binds the same
//! address again: then it is given that socket back, and whoever waits in its queue is served.

use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::address::Endpoint;
use adieu_core::group::SocketId;
use adieu_core::switch::Generation;

use super::Sockets;
use super::groups::{Holder, Socket};
use crate::process_table::ProcessTable;
use crate::view::{Out, View};

/// A program that binds an address again within this time gets the socket that it has closed, with all who wait.
const REBIND: Duration = Duration::from_secs(1);

impl Sockets {
    /// The sockets that the program of `generation` has bound and no process of it has any more; none where that cannot be
    /// seen.
    fn abandoned(&self, table: &dyn ProcessTable, generation: Generation) -> Vec<SocketId> {
        if self.groups.of(generation).next().is_none() {
            return Vec::new();
        }
        let bound = self.groups.of(generation).filter(|(_, socket)| socket.bound.is_some());
        let mut ids: Vec<SocketId> = bound.filter(|(_, socket)| !has_it(table, socket)).map(|(id, _)| id).collect();
        // One look at a tree that changes may miss a process.
        for _ in 0..2 {
            if ids.is_empty() {
                break;
            }
            let Some(present) = table.own_inodes(generation) else { return Vec::new() };
            ids.retain(|id| self.groups.get(*id).is_some_and(|socket| !present.contains(&socket.inode)));
        }
        if table.is_about_to_end(generation) { Vec::new() } else { ids }
    }

    /// Closes all that `generation` has abandoned.
    pub(crate) fn drop_abandoned(&mut self, table: &dyn ProcessTable, generation: Generation, out: &mut Out) {
        for id in self.abandoned(table, generation) {
            self.drop_socket(id, out);
        }
        self.drop_abandoned_paths(table, generation);
    }

    /// The main process has ended: what nobody has now is closed, unless the next generation is to inherit it.
    pub(crate) fn drop_left(
        &mut self,
        view: &View<'_>,
        table: &dyn ProcessTable,
        generation: Generation,
        out: &mut Out,
    ) {
        if self.ends_first != Some(generation) || view.switch.is_stopping() {
            self.drop_abandoned(table, generation, out);
        }
    }

    /// As [`Self::drop_abandoned`], for every generation.
    pub(crate) fn drop_all_abandoned(&mut self, table: &dyn ProcessTable, out: &mut Out) {
        for generation in table.generations() {
            self.drop_abandoned(table, generation, out);
        }
    }

    /// Closes what nobody has had for a while: a program may be about to bind the address again.
    pub(super) fn look_for_abandoned(
        &mut self,
        table: &dyn ProcessTable,
        generation: Generation,
        now: Timestamp,
        out: &mut Out,
    ) {
        self.drop_abandoned_paths(table, generation);
        let abandoned = self.abandoned(table, generation);
        let ids: Vec<SocketId> = self.groups.of(generation).map(|(id, _)| id).collect();
        for id in ids {
            let Some(socket) = self.groups.get_mut(id) else { continue };
            if !abandoned.contains(&id) {
                socket.abandoned_since = None;
            } else if now - *socket.abandoned_since.get_or_insert(now) >= REBIND {
                self.drop_socket(id, out);
            }
        }
    }

    /// Makes room for a socket that is about to be bound to `endpoint`, and says which one may be given instead.
    pub(super) fn abandoned_at(
        &mut self,
        table: &dyn ProcessTable,
        generation: Generation,
        endpoint: &Endpoint,
        out: &mut Out,
    ) -> Option<SocketId> {
        let mut same = None;
        for id in self.abandoned(table, generation) {
            let Some(socket) = self.groups.get(id) else { continue };
            match socket.endpoint {
                Some(there) if there == *endpoint => same = same.or(Some(id)),
                // It is in the way: `bind` or `listen` would fail.
                Some(there) if there.overlaps(endpoint) => self.drop_socket(id, out),
                Some(_) => {}
                None => self.drop_socket(id, out),
            }
        }
        same
    }

    /// A process that had bound a listener has ended. Others may have it still; if not, and if it was one of several, the
    /// others get all new connections from now on.
    pub(crate) fn holder_ended(&mut self, view: &View<'_>, table: &dyn ProcessTable, id: SocketId, out: &mut Out) {
        let Some(socket) = self.groups.get_mut(id) else { return };
        socket.holder = None;
        let (owner, endpoint) = (socket.owner, socket.endpoint);
        let Some(generation) = owner.generation() else { return };
        let is_only = self.groups.of(owner).filter(|(_, socket)| socket.endpoint == endpoint).count() < 2;
        if is_only {
            self.look_for_abandoned(table, generation, view.now, out);
        } else {
            self.drop_abandoned(table, generation, out);
        }
    }

    /// Closes Unix listeners that no process of `generation` has any more.
    pub(super) fn drop_abandoned_paths(&mut self, table: &dyn ProcessTable, generation: Generation) {
        let mut inodes: Vec<u64> = self.paths.of(generation).map(|listener| listener.inode).collect();
        for _ in 0..2 {
            if inodes.is_empty() {
                return;
            }
            let Some(present) = table.own_inodes(generation) else { return };
            inodes.retain(|inode| !present.contains(inode));
        }
        if !table.is_about_to_end(generation) {
            self.paths.forget(generation, &inodes);
        }
    }

    fn drop_socket(&mut self, id: SocketId, out: &mut Out) {
        for error in self.groups.forget(id) {
            out.note(format!("closing a socket that nobody has any more: {error}"));
        }
    }
}

/// Whether the process that bound the socket still has it where it had it. Usually it has, and no tree needs to be looked
/// through.
fn has_it(table: &dyn ProcessTable, socket: &Socket) -> bool {
    let has = |holder: &Holder| table.socket_inode(holder.process, holder.fd).ok().flatten() == Some(socket.inode);
    socket.holder.as_ref().is_some_and(has)
}
