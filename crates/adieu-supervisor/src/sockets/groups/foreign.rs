//! Members of our groups that are somebody else's: a program of the same user that asks for SO_REUSEPORT gets into the
//! group of any socket that has it. The kernel counts it among the members, so the model has to know of it.

use adieu_core::address::Endpoint;
use adieu_core::group::{Owner, SocketId};
use adieu_linux::diag::{self, LocalPort, state};

use super::Groups;

impl Groups {
    /// Listeners of others at `endpoint`, by inode. Programs that ask for SO_REUSEPORT themselves may share it.
    pub(in crate::sockets) fn others_at(&self, endpoint: &Endpoint) -> Vec<u64> {
        let listeners = diag::tcp_sockets(&[LocalPort::of(endpoint.address)], &[state::LISTEN]).unwrap_or_default();
        let there = listeners.iter().filter(|listener| listener.endpoint() == *endpoint);
        there.map(|listener| listener.inode).filter(|inode| !self.has(*inode)).collect()
    }

    /// Brings the model of each group up to date with members that are not ours: they have joined after those that were
    /// known before. The endpoints where somebody new was found.
    pub(in crate::sockets) fn find_foreign(&mut self) -> Vec<Endpoint> {
        let mut found = Vec::new();
        for endpoint in self.groups.keys().copied().collect::<Vec<_>>() {
            let others = self.others_at(&endpoint);
            let known = |id: &SocketId| self.foreign.get(id);
            let Some(group) = self.groups.get(&endpoint) else { continue };
            let members: Vec<SocketId> = group.members().iter().map(|member| member.id).collect();
            let left: Vec<SocketId> =
                members.iter().copied().filter(|id| known(id).is_some_and(|inode| !others.contains(inode))).collect();
            let new: Vec<u64> =
                others.into_iter().filter(|inode| !members.iter().any(|id| known(id) == Some(inode))).collect();
            if left.is_empty() && new.is_empty() {
                continue;
            }
            if !new.is_empty() {
                found.push(endpoint);
            }
            let Some(group) = self.groups.get_mut(&endpoint) else { continue };
            for id in left {
                self.foreign.remove(&id);
                group.left(id);
            }
            for inode in new {
                self.last = self.last.next();
                self.foreign.insert(self.last, inode);
                group.listened(self.last, Owner::Foreign);
            }
            drop(self.attach(&endpoint));
        }
        found
    }
}
