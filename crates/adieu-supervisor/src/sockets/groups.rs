//! The listening sockets of all generations: duplicates that are held, and the reuseport groups they form.
//!
//! Invariant: the model in [`adieu_core::group`] lists the members of a group in the kernel's order. It can, because every
//! `listen` that adds a member is made here, one at a time, and every close that removes one too.

mod foreign;
mod held;
mod inherited;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use adieu_core::Timestamp;
use adieu_core::address::Endpoint;
use adieu_core::group::{CloseStep, Group, Owner, Route, SocketId};
use adieu_core::ids::Pid;
use adieu_core::switch::Generation;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::{errno, reuseport, sockets};

/// An interface that does not exist: a listener bound to it is invisible to new connections.
const NOWHERE: u32 = 0x7fff_fffe;

/// A process that has a socket, and the descriptor that it had it as.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) process: Pid,
    pub(super) fd: i32,
    pub(super) pidfd: Pidfd,
}

/// One socket that is held in duplicate.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    pub(super) inode: u64,
    pub(super) owner: Owner,
    /// Where it listens, once it does.
    pub(super) endpoint: Option<Endpoint>,
    /// What its program bound it to.
    pub(super) bound: Option<std::net::SocketAddr>,
    /// The process that bound it, until it ends.
    pub(super) holder: Option<Holder>,
    /// No process has had it since.
    pub(super) abandoned_since: Option<Timestamp>,
    hidden: bool,
    /// Whoever started us has it too, and needs it after us.
    inherited: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Groups {
    sockets: BTreeMap<SocketId, Socket>,
    groups: BTreeMap<Endpoint, Group>,
    /// Members of our groups that are somebody else's, by inode.
    foreign: BTreeMap<SocketId, u64>,
    /// A source port whose connections reach a generation that is not the target.
    probe: Option<(u16, Generation)>,
    /// Whether what was hidden can be shown again; found out when it matters.
    can_show: Option<bool>,
    last: SocketId,
}

impl Groups {
    /// Keeps `fd`, a duplicate of a socket of `generation` that is about to be bound to `bound`.
    pub(super) fn keep(
        &mut self,
        owner: impl Into<Owner>,
        fd: OwnedFd,
        bound: Option<std::net::SocketAddr>,
    ) -> io::Result<SocketId> {
        let (owner, (inode, _)) = (owner.into(), sockets::inode_and_owner(fd.as_fd())?);
        if let Some(id) = self.find(owner, inode) {
            return Ok(id);
        }
        self.last = self.last.next();
        let socket = Socket {
            fd,
            inode,
            owner,
            endpoint: None,
            bound,
            holder: None,
            abandoned_since: None,
            hidden: false,
            inherited: false,
        };
        self.sockets.insert(self.last, socket);
        Ok(self.last)
    }

    pub(super) fn find(&self, owner: impl Into<Owner>, inode: u64) -> Option<SocketId> {
        let owner = owner.into();
        self.sockets.iter().find(|(_, s)| s.owner == owner && s.inode == inode).map(|(id, _)| *id)
    }

    pub(super) fn get(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.sockets.get_mut(&id)
    }

    /// Whether a socket with this inode is held, for whichever generation.
    pub(super) fn has(&self, inode: u64) -> bool {
        self.sockets.values().any(|socket| socket.inode == inode)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (SocketId, &Socket)> {
        self.sockets.iter().map(|(id, socket)| (*id, socket))
    }

    pub(super) fn of(&self, owner: impl Into<Owner>) -> impl Iterator<Item = (SocketId, &Socket)> {
        let owner = owner.into();
        self.sockets.iter().filter(move |(_, s)| s.owner == owner).map(|(id, s)| (*id, s))
    }

    /// Where `owner` listens.
    pub(super) fn endpoints(&self, owner: impl Into<Owner>) -> Vec<Endpoint> {
        let mut all: Vec<Endpoint> = self.of(owner).filter_map(|(_, socket)| socket.endpoint).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether another generation listens somewhere that `endpoint` overlaps.
    pub(super) fn is_shared(&self, generation: Generation, endpoint: &Endpoint) -> bool {
        self.sockets
            .values()
            .any(|s| s.owner != Owner::Of(generation) && s.endpoint.is_some_and(|other| other.overlaps(endpoint)))
    }

    /// The endpoint that this socket would listen on now; `None` while it is not bound to a port.
    pub(super) fn endpoint_of(fd: BorrowedFd<'_>) -> Option<Endpoint> {
        let address = sockets::local_address(fd).ok()??;
        let v6_only = address.is_ipv6() && sockets::is_v6_only(fd);
        let endpoint = Endpoint { address, v6_only, interface: sockets::interface(fd) };
        (address.port() != 0).then_some(endpoint)
    }

    /// Makes a kept socket listen as a member of its group. `steers`: new connections shall go to its owner.
    pub(super) fn listen(&mut self, id: SocketId, backlog: i32, steers: bool) -> io::Result<()> {
        let invalid = || io::Error::from_raw_os_error(errno::EINVAL);
        let socket = self.sockets.get(&id).ok_or_else(invalid)?;
        let owner = socket.owner;
        if socket.endpoint.is_some() {
            return sockets::listen(socket.fd.as_fd(), backlog);
        }
        let endpoint = Self::endpoint_of(socket.fd.as_fd()).ok_or_else(invalid)?;
        sockets::share_port(socket.fd.as_fd())?;
        let first = self.member(&endpoint).is_none();
        sockets::listen(socket.fd.as_fd(), backlog)?;
        let group = self.groups.entry(endpoint).or_default();
        group.listened(id, owner);
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.endpoint = Some(endpoint);
        }
        // Pinned from the first member on: a second one would take half of the connections at its `listen` otherwise. Not
        // before this one listens: the kernel takes one with a program for one that has listened already, and refuses it
        // beside a listener on an address that overlaps.
        if first || steers {
            self.steer(&endpoint, owner)?;
        } else if self.probe.is_some_and(|(_, probed)| Owner::Of(probed) == owner) {
            self.attach(&endpoint)?;
        }
        Ok(())
    }

    /// Sends new connections at `endpoint` to `owner`.
    fn steer(&mut self, endpoint: &Endpoint, owner: Owner) -> io::Result<()> {
        let Some(group) = self.groups.get_mut(endpoint) else { return Ok(()) };
        group.set_target(owner);
        self.attach(endpoint)
    }

    fn attach(&self, endpoint: &Endpoint) -> io::Result<()> {
        match self.groups.get(endpoint).and_then(Group::route) {
            Some(route) => self.attach_route(endpoint, &route),
            None => Ok(()),
        }
    }

    fn attach_route(&self, endpoint: &Endpoint, route: &Route) -> io::Result<()> {
        let probed = |(port, generation)| {
            let group = self.groups.get(endpoint)?;
            Some((port, *group.indices_of(Owner::Of(generation)).first()?))
        };
        let Some(member) = self.member(endpoint) else { return Ok(()) };
        let program = route.program(self.probe.and_then(probed));
        let alone = self.groups.get(endpoint).is_some_and(|group| group.members().len() == 1);
        match reuseport::steer(member.fd.as_fd(), &program) {
            // One that we were started with, and that nothing has joined yet: there is nothing to choose from.
            Err(_) if alone && member.inherited => Ok(()),
            attached => attached,
        }
    }

    /// A socket of ours in the group: through it the whole group is steered.
    fn member(&self, endpoint: &Endpoint) -> Option<&Socket> {
        self.groups.get(endpoint)?.members().iter().find_map(|member| self.sockets.get(&member.id))
    }

    /// Only sockets of one user share an address: gives `socket`, which is about to be bound, to the user of those that
    /// are there.
    pub(super) fn give_to_owner(&self, socket: BorrowedFd<'_>, endpoint: &Endpoint) -> io::Result<()> {
        let there = self.sockets.values().find(|s| s.endpoint.is_some_and(|other| other.overlaps(endpoint)));
        let Some(there) = there else { return Ok(()) };
        let (_, owner) = sockets::inode_and_owner(there.fd.as_fd())?;
        if sockets::inode_and_owner(socket)?.1 != owner {
            sockets::give_to(socket, owner)?;
        }
        Ok(())
    }

    /// The switch: new connections at every address where `generation` listens go to it. Others' sockets that it covers
    /// without sharing a group are hidden from new connections; or later, by [`Self::hide_covered`], if they could not be
    /// shown again.
    pub(super) fn target(&mut self, generation: Generation) -> io::Result<()> {
        let endpoints = self.endpoints(generation);
        for endpoint in &endpoints {
            self.steer(endpoint, Owner::Of(generation))?;
        }
        let can_show = *self.can_show.get_or_insert_with(sockets::may_change_interface);
        self.set_visibility(generation, can_show)
    }

    /// Hides whatever `generation` covers.
    pub(super) fn hide_covered(&mut self, generation: Generation) -> io::Result<()> {
        self.set_visibility(generation, true)
    }

    fn set_visibility(&mut self, generation: Generation, may_hide: bool) -> io::Result<()> {
        for (id, endpoint, hide) in self.visibility(generation) {
            let Some(socket) = self.sockets.get_mut(&id).filter(|_| may_hide || !hide) else { continue };
            sockets::set_interface(socket.fd.as_fd(), if hide { NOWHERE } else { endpoint.interface })?;
            socket.hidden = hide;
        }
        Ok(())
    }

    /// Where `old` still gets new connections although `generation` covers it.
    pub(super) fn still_visible(&self, generation: Generation, old: Generation) -> Vec<Endpoint> {
        let visibility = self.visibility(generation).into_iter();
        let of_old = |id: &SocketId| self.sockets.get(id).is_some_and(|socket| socket.owner == Owner::Of(old));
        visibility.filter(|(id, _, hide)| *hide && of_old(id)).map(|(_, endpoint, _)| endpoint).collect()
    }

    /// What has to be hidden or shown for `generation` to get all new connections where it listens.
    fn visibility(&self, generation: Generation) -> Vec<(SocketId, Endpoint, bool)> {
        let endpoints = self.endpoints(generation);
        let wanted = |socket: &Socket| {
            let endpoint = socket.endpoint.filter(|_| !socket.inherited)?;
            let covered = endpoints.iter().any(|wide| *wide != endpoint && wide.covers(&endpoint));
            let hide = socket.owner != Owner::Of(generation) && covered && !endpoints.contains(&endpoint);
            (hide != socket.hidden).then_some((endpoint, hide))
        };
        self.sockets
            .iter()
            .filter_map(|(id, socket)| wanted(socket).map(|(endpoint, hide)| (*id, endpoint, hide)))
            .collect()
    }

    /// Whether there is a group of ours at `endpoint`.
    pub(super) fn is_steered(&self, endpoint: &Endpoint) -> bool {
        self.groups.contains_key(endpoint)
    }

    /// Whether new connections at `endpoint` go to `generation`.
    pub(super) fn is_target(&self, endpoint: &Endpoint, generation: Generation) -> bool {
        self.groups.get(endpoint).and_then(Group::target) == Some(Owner::Of(generation))
    }

    /// Lets connections from a source port reach a generation whatever the others do; `None` ends it.
    pub(super) fn steer_probe(&mut self, probe: Option<(u16, Generation)>) -> io::Result<()> {
        let before = std::mem::replace(&mut self.probe, probe);
        let generations = [before, probe].into_iter().flatten().map(|(_, generation)| generation);
        let endpoints: Vec<Endpoint> = generations.flat_map(|generation| self.endpoints(generation)).collect();
        endpoints.iter().try_for_each(|endpoint| self.attach(endpoint))
    }

    /// All endpoints where new connections are taken.
    pub(super) fn visible(&self) -> Vec<Endpoint> {
        self.sockets.values().filter(|socket| !socket.hidden).filter_map(|socket| socket.endpoint).collect()
    }

    /// How many connections wait in the accept queues of `owner`.
    pub(super) fn waiting(&self, owner: impl Into<Owner>) -> u32 {
        self.of(owner).filter_map(|(_, socket)| sockets::accept_queue(socket.fd.as_fd())).sum()
    }

    /// Closes what is held of `owner`, group by group, so that no new connection meets a socket that goes. Where a step
    /// fails, the rest of that group stays as it is: nothing is sent there any more, and closing could lose connections.
    pub(super) fn retire(&mut self, owner: impl Into<Owner>) -> Vec<io::Error> {
        let owner = owner.into();
        self.put_by(owner);
        let mut failed = Vec::new();
        for endpoint in self.groups.keys().copied().collect::<Vec<_>>() {
            let plan = self.groups.get(&endpoint).map(|group| group.close_plan(owner)).unwrap_or_default();
            let performed = plan.into_iter().try_for_each(|step| self.perform(&endpoint, step));
            failed.extend(performed.err());
        }
        self.sockets.retain(|_, socket| socket.owner != owner || socket.endpoint.is_some());
        self.forget_empty();
        failed
    }

    fn perform(&mut self, endpoint: &Endpoint, step: CloseStep) -> io::Result<()> {
        match step {
            CloseStep::Route(route) => self.attach_route(endpoint, &route),
            CloseStep::DropNew(id) => {
                self.sockets.get(&id).map_or(Ok(()), |socket| reuseport::drop_new(socket.fd.as_fd()))
            }
            CloseStep::Close(id) => {
                if let Some(socket) = self.sockets.remove(&id)
                    && socket.owner != Owner::Gone
                {
                    // Whoever else may hold it: out of the group it goes now.
                    drop(sockets::shut_down(socket.fd.as_fd()));
                }
                if let Some(group) = self.groups.get_mut(endpoint) {
                    group.left(id);
                }
                Ok(())
            }
        }
    }

    /// Closes one socket that its program does not hold any more. New connections go to those beside it first.
    pub(super) fn forget(&mut self, id: SocketId) -> Vec<io::Error> {
        let Some(socket) = self.sockets.get_mut(&id) else { return Vec::new() };
        let Some(endpoint) = socket.endpoint else {
            self.sockets.remove(&id);
            return Vec::new();
        };
        socket.owner = Owner::Gone;
        if let Some(group) = self.groups.get_mut(&endpoint) {
            group.reassign(id, Owner::Gone);
            let heir =
                group.members().iter().map(|member| member.owner).filter(|owner| owner.takes_connections()).max();
            if let (None, Some(heir)) = (group.route(), heir) {
                group.set_target(heir);
            }
        }
        self.retire(Owner::Gone)
    }

    /// Lets go of the sockets of `generation` and leaves the groups as they are: nothing will be switched any more, and
    /// what its program closes shall be closed.
    pub(super) fn release(&mut self, generation: Generation) {
        let ids: Vec<SocketId> = self.of(generation).map(|(id, _)| id).collect();
        for id in ids {
            let endpoint = self.sockets.remove(&id).and_then(|socket| socket.endpoint);
            if let Some(group) = endpoint.and_then(|endpoint| self.groups.get_mut(&endpoint)) {
                group.left(id);
            }
        }
        self.forget_empty();
    }

    /// Takes what we were started with out of the hands of an owner that ends, instead of closing it.
    fn put_by(&mut self, owner: Owner) {
        let ids: Vec<SocketId> = self.of(owner).filter(|(_, socket)| socket.inherited).map(|(id, _)| id).collect();
        for id in ids {
            let endpoint = self.sockets.get_mut(&id).and_then(|socket| {
                socket.owner = Owner::PutBy;
                socket.endpoint
            });
            if let Some(group) = endpoint.and_then(|endpoint| self.groups.get_mut(&endpoint)) {
                group.reassign(id, Owner::PutBy);
            }
        }
    }

    fn forget_empty(&mut self) {
        let (groups, sockets, foreign) = (&mut self.groups, &self.sockets, &mut self.foreign);
        groups.retain(|_, group| {
            let ours = group.members().iter().any(|member| sockets.contains_key(&member.id));
            if !ours {
                for member in group.members() {
                    foreign.remove(&member.id);
                }
            }
            ours
        });
    }
}
