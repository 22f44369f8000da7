//! Listeners that we were started with. They stay members of their groups for ever, as whoever has them needs them after us;
//! but each generation after the first gets a socket of its own beside them, so that it can be switched to.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use adieu_core::group::{Owner, SocketId};
use adieu_core::switch::Generation;
use adieu_linux::{reuseport, sockets};

use super::Groups;

impl Groups {
    /// Takes a listener that we were started with into the model, as one of `generation`.
    fn take_in(&mut self, generation: Generation, listener: OwnedFd) -> io::Result<()> {
        let endpoint = Self::endpoint_of(listener.as_fd()).ok_or(io::ErrorKind::Unsupported)?;
        let id = self.keep(generation, listener, None)?;
        if let Some(socket) = self.sockets.get_mut(&id) {
            (socket.endpoint, socket.inherited) = (Some(endpoint), true);
        }
        let group = self.groups.entry(endpoint).or_default();
        group.listened(id, Owner::Of(generation));
        // It cannot be steered while it is alone: the kernel makes a group of it when a second one joins.
        if group.target().is_none() {
            group.set_target(Owner::Of(generation));
        }
        Ok(())
    }

    /// The socket that `generation` gets for a listener that we were started with.
    ///
    /// # Errors
    /// Where it cannot have one of its own: not TCP, or another user's.
    pub(in crate::sockets) fn beside(
        &mut self,
        generation: Generation,
        listener: &OwnedFd,
        backlog: i32,
    ) -> io::Result<OwnedFd> {
        if !sockets::is_tcp(listener.as_fd()) || sockets::accept_queue(listener.as_fd()).is_none() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let endpoint = Self::endpoint_of(listener.as_fd()).ok_or(io::ErrorKind::Unsupported)?;
        if !self.is_steered(&endpoint) {
            self.take_in(generation, listener.as_fd().try_clone_to_owned()?)?;
            return listener.try_clone();
        }
        if let Some(held) = self.held_at(&endpoint) {
            self.pass_on(held, generation);
            let held = self.get(held).map(|socket| socket.fd.try_clone());
            return held.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()));
        }
        let own = sockets::tcp_socket(sockets::family(listener.as_fd())?)?;
        sockets::copy_listener_options(listener.as_fd(), own.as_fd());
        sockets::set_nonblocking(own.as_fd(), sockets::is_nonblocking(listener.as_fd()))?;
        sockets::share_port(listener.as_fd())?;
        sockets::share_port(own.as_fd())?;
        self.give_to_owner(own.as_fd(), &endpoint)?;
        sockets::bind(own.as_fd(), endpoint.address)?;
        let given = own.try_clone()?;
        let id = self.keep(generation, own, None)?;
        self.join(id, backlog, given.as_fd())?;
        Ok(given)
    }

    /// Lets a socket listen in a group that may not be steered yet: from its `listen` until it is, it takes nothing, and
    /// clients that it would have been given ask again.
    fn join(&mut self, id: SocketId, backlog: i32, socket: BorrowedFd<'_>) -> io::Result<()> {
        reuseport::drop_new(socket)?;
        self.listen(id, backlog, false)?;
        if let Some(endpoint) = self.get(id).and_then(|socket| socket.endpoint) {
            self.attach(&endpoint)?;
        }
        reuseport::take_new(socket)
    }
}
