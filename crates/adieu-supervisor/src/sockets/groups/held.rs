//! Listeners between two generations: they are held, and clients wait in their queues.

use std::io;
use std::os::fd::AsFd;

use adieu_core::address::Endpoint;
use adieu_core::group::{Owner, SocketId};
use adieu_core::switch::Generation;
use adieu_linux::sockets;

use super::{Groups, Socket};

impl Groups {
    /// A socket that waits for the next generation at this address.
    pub(in crate::sockets) fn held_at(&self, endpoint: &Endpoint) -> Option<SocketId> {
        self.of(Owner::Held).find(|(_, socket)| socket.endpoint.as_ref() == Some(endpoint)).map(|(id, _)| id)
    }

    /// Keeps the listeners of `generation` for the next one, which is given them at its `bind`; not where another one is held
    /// already.
    pub(in crate::sockets) fn hold(&mut self, generation: Generation) {
        let held = self.endpoints(Owner::Held);
        let kept = |socket: &Socket| socket.endpoint.is_some_and(|endpoint| !held.contains(&endpoint));
        let ids: Vec<SocketId> = self.of(generation).filter(|(_, s)| kept(s)).map(|(id, _)| id).collect();
        for id in ids {
            self.hand_over(id, Owner::Held);
        }
    }

    /// Gives a held socket to a generation that is passed it, instead of binding it.
    pub(in crate::sockets) fn pass_on(&mut self, id: SocketId, to: Generation) {
        self.hand_over(id, to);
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.bound = None;
        }
    }

    /// Gives a socket to another owner; its place in the group stays.
    pub(in crate::sockets) fn hand_over(&mut self, id: SocketId, to: impl Into<Owner>) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let to = to.into();
        let from = std::mem::replace(&mut socket.owner, to);
        (socket.holder, socket.abandoned_since) = (None, None);
        if let Some(group) = socket.endpoint.and_then(|endpoint| self.groups.get_mut(&endpoint)) {
            group.reassign(id, to);
            if group.target() == Some(from) && group.indices_of(from).is_empty() {
                group.set_target(to);
            }
        }
    }

    /// Makes a socket of our own at every address of `generation` and sends new connections there: they wait in its queue
    /// while the old generation ends. Where that is not permitted, the listener itself will be held after its end.
    pub(in crate::sockets) fn hold_in_advance(&mut self, generation: Generation) -> Vec<io::Error> {
        let mut failed = Vec::new();
        for endpoint in self.endpoints(generation) {
            if let Err(error) = self.spare(generation, endpoint) {
                failed.push(error);
            }
        }
        failed
    }

    fn spare(&mut self, generation: Generation, endpoint: Endpoint) -> io::Result<()> {
        let Some((_, model)) = self.of(generation).find(|(_, s)| s.endpoint == Some(endpoint)) else { return Ok(()) };
        let spare = sockets::tcp_socket(sockets::family(model.fd.as_fd())?)?;
        sockets::copy_listener_options(model.fd.as_fd(), spare.as_fd());
        let (_, owner) = sockets::inode_and_owner(model.fd.as_fd())?;
        if owner != sockets::inode_and_owner(spare.as_fd())?.1 {
            sockets::give_to(spare.as_fd(), owner)?;
        }
        // One that we were started with may not have been shared yet.
        sockets::share_port(model.fd.as_fd())?;
        sockets::share_port(spare.as_fd())?;
        sockets::bind(spare.as_fd(), endpoint.address)?;
        let id = self.keep(Owner::Held, spare, Some(endpoint.address))?;
        self.listen(id, 4096, true)
    }
}
