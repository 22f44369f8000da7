//! Deciding `bind` of a TCP socket: adopt, replace, or let pass.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use adieu_core::address::Endpoint;
use adieu_core::group::SocketId;
use adieu_core::ids::Pid;
use adieu_core::switch::Generation;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::seccomp::Call;
use adieu_linux::{sockaddr, sockets};

use super::Sockets;
use super::answer::{Answer, Caller, LONGEST_ADDRESS, Ours, Replacement, Then};
use super::groups::Holder;
use crate::view::{Out, View};

/// How a socket of the program can be got at.
enum Access {
    /// A duplicate of the program's own plain TCP socket.
    Own(OwnedFd),
    /// It has to be replaced by one of ours; a duplicate of the original, where it can be read, has its options.
    Replace(Option<OwnedFd>),
    /// Not TCP, or out of reach.
    No,
}

/// A `bind` of a TCP socket to a port of the program's choice.
struct Bind {
    process: Pid,
    fd: i32,
    address: SocketAddr,
}

impl Sockets {
    pub(super) fn decide_bind(&mut self, view: &View<'_>, caller: &Caller<'_>, call: &Call, out: &mut Out) -> Answer {
        let (fd, length) = (call.args[0] as i32, (call.args[2] as usize).min(LONGEST_ADDRESS));
        let Ok(process) = caller.table.process_of(call.tid) else { return Answer::Continue };
        let bytes = match caller.table.memory(call.tid, call.args[1], length) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.mark_unseen(caller.generation);
                out.note_once(format!(
                    "cannot see what pid {process} binds ({error}): its reloads are not seamless; a program that changes its user or has \
                     file capabilities needs adieu to be root with CAP_SYS_PTRACE"
                ));
                return Answer::Continue;
            }
        };
        match sockaddr::parse_address(&bytes) {
            Some(address) if address.port() != 0 => {
                self.decide_tcp_bind(caller, call, &Bind { process, fd, address }, out)
            }
            Some(_) => {
                self.loosen(caller.table, caller.generation, process, fd);
                Answer::Continue
            }
            None => match sockaddr::parse_unix_address(&bytes) {
                Some(name) => self.decide_path_bind(view, caller, call, (process, fd), &name, out),
                None => Answer::Continue,
            },
        }
    }

    fn decide_tcp_bind(&mut self, caller: &Caller<'_>, call: &Call, bind: &Bind, out: &mut Out) -> Answer {
        let access = self.access(caller, bind, out);
        if !(caller.still_waits)(call) {
            return Answer::Continue;
        }
        match access {
            Access::No => Answer::Continue,
            Access::Own(own) => {
                let endpoint = endpoint_for(own.as_fd(), bind.address);
                if let Some(held) = self.instead_of(caller, &endpoint, out) {
                    return self.give_held(caller, bind, held);
                }
                self.share(caller.generation, own.as_fd(), &endpoint, out);
                self.keep(caller.generation, (bind.process, bind.fd), own, bind.address);
                Answer::Continue
            }
            Access::Replace(original) => self.replace(caller, bind, original.as_ref(), out),
        }
    }

    fn access(&mut self, caller: &Caller<'_>, bind: &Bind, out: &mut Out) -> Access {
        match caller.table.duplicate(bind.process, bind.fd) {
            Ok(own) if sockets::is_tcp(own.as_fd()) && is_internet(own.as_fd()) => Access::Own(own),
            Ok(own) if sockets::is_mptcp(own.as_fd()) => Access::Replace(Some(own)),
            Ok(_) => Access::No,
            Err(_) => match caller.table.protocol(bind.process, bind.fd).as_deref() {
                Ok("TCP" | "TCPv6" | "MPTCP" | "MPTCPv6") => Access::Replace(None),
                Ok(_) => Access::No,
                Err(error) => {
                    self.mark_unseen(caller.generation);
                    out.note_once(format!(
                        "cannot get at the sockets of pid {} ({error}): its reloads are not seamless",
                        bind.process
                    ));
                    Access::No
                }
            },
        }
    }

    /// A listener that an earlier generation left for whoever binds the same, or that the program itself has closed: clients
    /// may wait in its queue.
    fn instead_of(&mut self, caller: &Caller<'_>, endpoint: &Endpoint, out: &mut Out) -> Option<SocketId> {
        let own = self.abandoned_at(caller.table, caller.generation, endpoint, out);
        self.groups.held_at(endpoint).or(own)
    }

    /// Lets `socket` be bound where another generation listens.
    fn share(&mut self, generation: Generation, socket: BorrowedFd<'_>, endpoint: &Endpoint, out: &mut Out) {
        if !self.groups.is_shared(generation, endpoint) {
            return;
        }
        let shared = sockets::share_port(socket).and_then(|()| self.groups.give_to_owner(socket, endpoint));
        if let Err(error) = shared {
            out.note(format!("generation {generation}: {endpoint} cannot be shared with the one before it: {error}"));
        }
    }

    /// Keeps a socket that a process has as a descriptor, and that is about to be bound.
    pub(super) fn keep(&mut self, generation: Generation, has: (Pid, i32), socket: OwnedFd, address: SocketAddr) {
        if let Ok(id) = self.groups.keep(generation, socket, Some(address)) {
            self.set_holder(id, has);
        }
    }

    pub(super) fn set_holder(&mut self, id: SocketId, (process, fd): (Pid, i32)) {
        if let Some(socket) = self.groups.get_mut(id) {
            socket.holder = Pidfd::open(process).ok().map(|pidfd| Holder { process, fd, pidfd });
            socket.abandoned_since = None;
        }
    }

    fn give_held(&self, caller: &Caller<'_>, bind: &Bind, held: SocketId) -> Answer {
        let Some(socket) = self.groups.get(held) else { return Answer::Continue };
        let close_on_exec = caller.make_alike(bind.process, bind.fd, socket.fd.as_fd());
        Answer::ReplaceAndReturn(Replacement {
            with: Ours::Held(held),
            process: bind.process,
            fd: bind.fd,
            close_on_exec,
            then: Then::HandOver(held),
        })
    }

    /// A socket of ours in the place of the program's; the kernel then binds it with the program's own rights.
    fn replace(&mut self, caller: &Caller<'_>, bind: &Bind, original: Option<&OwnedFd>, out: &mut Out) -> Answer {
        let &Bind { process, fd, address } = bind;
        let family = original.and_then(|original| sockets::family(original.as_fd()).ok());
        let Ok(ours) = sockets::tcp_socket(family.unwrap_or_else(|| family_of(caller, bind))) else {
            return Answer::Continue;
        };
        match original {
            Some(original) => sockets::copy_listener_options(original.as_fd(), ours.as_fd()),
            None => {
                // It cannot be read here, and servers set it for each connection: so it is not reported either. Those that set
                // it on the listener miss it badly; those that do not hardly notice it.
                drop(sockets::set_no_delay(ours.as_fd()));
                self.apply_remembered(caller, bind, ours.as_fd());
            }
        }
        let endpoint = endpoint_for(ours.as_fd(), address);
        if let Some(held) = self.instead_of(caller, &endpoint, out) {
            return self.give_held(caller, bind, held);
        }
        if caller.table.is_polled(process, fd) {
            self.mark_unseen(caller.generation);
            out.note_once(format!(
                "pid {process} waits for a socket by epoll before it binds it: it cannot be replaced, and reloads are not seamless"
            ));
            return Answer::Continue;
        }
        let close_on_exec = caller.make_alike(process, fd, ours.as_fd());
        self.share(caller.generation, ours.as_fd(), &endpoint, out);
        Answer::Replace(Replacement { with: Ours::New(ours), process, fd, close_on_exec, then: Then::Keep(address) })
    }

    /// Remembers a listener option, where the socket may have to be replaced.
    pub(super) fn remember_option(&mut self, caller: &Caller<'_>, call: &Call) {
        let [fd, level, name, value, length, _] = call.args;
        let Ok(process) = caller.table.process_of(call.tid) else { return };
        let Ok(Some(inode)) = caller.table.socket_inode(process, fd as i32) else { return };
        let Ok(bytes) = caller.table.memory(call.tid, value, (length as usize).min(LONGEST_ADDRESS)) else { return };
        if let Some(watched) = self.watched.get_mut(&caller.generation) {
            watched.remember(inode, level as i32, name as i32, bytes);
        }
    }

    fn apply_remembered(&self, caller: &Caller<'_>, bind: &Bind, ours: BorrowedFd<'_>) {
        if let Ok(Some(inode)) = caller.table.socket_inode(bind.process, bind.fd)
            && let Some(watched) = self.watched.get(&caller.generation)
        {
            watched.apply_remembered(inode, ours);
        }
    }
}

/// The family of a socket that cannot be duplicated.
fn family_of(caller: &Caller<'_>, bind: &Bind) -> i32 {
    match caller.table.protocol(bind.process, bind.fd).as_deref() {
        Ok(name) if name.ends_with("v6") => sockets::AF_INET6,
        Ok(_) | Err(_) => sockets::family_for(bind.address),
    }
}

fn is_internet(socket: BorrowedFd<'_>) -> bool {
    sockets::family(socket).is_ok_and(|family| [sockets::AF_INET, sockets::AF_INET6].contains(&family))
}

/// What the socket will be once it is bound to `address`.
pub(super) fn endpoint_for(socket: BorrowedFd<'_>, address: SocketAddr) -> Endpoint {
    let v6_only = match address.ip() {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) if ip.is_unspecified() || ip.to_ipv4_mapped().is_some() => sockets::is_v6_only(socket),
        // The kernel's `bind` sets it.
        IpAddr::V6(_) => true,
    };
    // The kernel's getsockname has neither flow label nor, for global addresses, a scope.
    let address = match address {
        SocketAddr::V6(v6) => SocketAddr::new((*v6.ip()).into(), v6.port()),
        v4 @ SocketAddr::V4(_) => v4,
    };
    Endpoint { address, v6_only, interface: sockets::interface(socket) }
}
