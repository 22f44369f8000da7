//! Answering the socket calls that a program makes: adopt, replace, or let pass.
//!
//! Invariant: every notification is answered, whatever happens; a call that cannot be understood goes on as it was made.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use adieu_core::address::Endpoint;
use adieu_core::group::SocketId;
use adieu_core::switch::Generation;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::seccomp::{Call, CallKind};
use adieu_linux::{clock, descriptors, memory, process, sockaddr, sockets};

use crate::groups::{Groups, Holder};
use crate::running::WaitingListen;
use crate::supervisor::Supervisor;

const LONGEST_ADDRESS: usize = 128;
pub(crate) const O_NONBLOCK: i32 = 0o4000;
pub(crate) const O_CLOEXEC: i32 = 0o2_000_000;
const IPPROTO_TCP: i32 = 6;
const TCP_NODELAY: i32 = 1;
const EADDRINUSE: i32 = 98;
const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;

/// How a socket of the program can be got at.
enum Access {
    /// A duplicate of the program's own plain TCP socket.
    Own(OwnedFd),
    /// It has to be replaced by one of ours; a duplicate of the original, where it can be read, has its options.
    Replace(Option<OwnedFd>),
    /// Not TCP, or out of reach.
    No,
}

impl Supervisor {
    /// Answers the next call of `generation`.
    pub(crate) fn on_call(&mut self, generation: Generation) {
        let Some(running) = self.running.get(&generation) else { return };
        let Some(listener) = &running.listener else { return };
        // ENOENT: the caller was killed before we looked.
        let Ok(Some(call)) = listener.receive() else { return };
        let answered = match call.kind {
            CallKind::Bind => self.on_bind(generation, call),
            CallKind::Listen => self.on_listen(generation, call),
            CallKind::SetOption => {
                self.remember_option(generation, call);
                false
            }
            CallKind::Connect => self.on_connect(generation, call),
            CallKind::OwnListener => {
                self.note_once(format!(
                    "the program (pid {}) wants a seccomp listener of its own and gets EBUSY: start it with --sockets pass or off",
                    call.tid
                ));
                false
            }
        };
        if !answered && let Some(listener) = self.listener(generation) {
            drop(listener.proceed(call.id));
        }
        if call.kind == CallKind::Listen {
            self.check_ready(generation);
        }
    }

    pub(crate) fn listener(&self, generation: Generation) -> Option<&adieu_linux::seccomp::Listener> {
        self.running.get(&generation)?.listener.as_ref()
    }

    /// True when the call has been answered here.
    fn on_bind(&mut self, generation: Generation, call: Call) -> bool {
        let (fd, length) = (call.args[0] as i32, (call.args[2] as usize).min(LONGEST_ADDRESS));
        let Ok(process) = process::thread_group(call.tid) else { return false };
        let address = match memory::read(call.tid, call.args[1], length) {
            Ok(bytes) => match sockaddr::parse_address(&bytes) {
                Some(address) if address.port() != 0 => address,
                Some(_) => {
                    self.loosen(generation, process, fd);
                    return false;
                }
                None => {
                    let name = sockaddr::parse_unix_address(&bytes);
                    return name.is_some_and(|name| self.on_path_bind(generation, call, process, &name));
                }
            },
            Err(error) => {
                self.mark_unseen(generation);
                self.note_once(format!(
                    "cannot see what pid {process} binds ({error}): its reloads are not seamless; a program that changes its user or has \
                     file capabilities needs adieu to be root with CAP_SYS_PTRACE"
                ));
                return false;
            }
        };
        let access = self.access(generation, process, fd);
        if self.listener(generation).is_none_or(|listener| !listener.is_valid(call.id)) {
            return false;
        }
        match access {
            Access::No => false,
            Access::Own(own) => {
                let endpoint = endpoint_for(own.as_fd(), address);
                if let Some(held) = self.instead_of(generation, &endpoint) {
                    return self.give_held(generation, call, process, held);
                }
                self.share(generation, own.as_fd(), &endpoint);
                self.keep(generation, (process, fd), own, address);
                false
            }
            Access::Replace(original) => self.replace(generation, call, process, address, original.as_ref()),
        }
    }

    fn access(&mut self, generation: Generation, process: i32, fd: i32) -> Access {
        let own = Pidfd::open(process).and_then(|pidfd| pidfd.get_fd(fd));
        match own {
            Ok(own) if sockets::is_tcp(own.as_fd()) && is_internet(own.as_fd()) => Access::Own(own),
            Ok(own) if sockets::is_mptcp(own.as_fd()) => Access::Replace(Some(own)),
            Ok(_) => Access::No,
            Err(_) => match descriptors::socket_protocol(process, fd).as_deref() {
                Ok("TCP" | "TCPv6" | "MPTCP" | "MPTCPv6") => Access::Replace(None),
                Ok(_) => Access::No,
                Err(error) => {
                    self.mark_unseen(generation);
                    self.note_once(format!(
                        "cannot get at the sockets of pid {process} ({error}): its reloads are not seamless"
                    ));
                    Access::No
                }
            },
        }
    }

    /// A listener that an earlier generation left for whoever binds the same, or that the program itself has closed: clients
    /// may wait in its queue.
    fn instead_of(&mut self, generation: Generation, endpoint: &Endpoint) -> Option<SocketId> {
        let own = self.unheld_at(generation, endpoint);
        self.groups.held_at(endpoint).or(own)
    }

    /// Lets `socket` be bound where another generation listens.
    fn share(&mut self, generation: Generation, socket: BorrowedFd<'_>, endpoint: &Endpoint) {
        if !self.groups.is_shared(generation, endpoint) {
            return;
        }
        let shared = sockets::share_port(socket).and_then(|()| self.groups.give_to_owner(socket, endpoint));
        if let Err(error) = shared {
            self.note(format!("generation {generation}: {endpoint} cannot be shared with the one before it: {error}"));
        }
    }

    /// Keeps a socket that a process has as a descriptor, and that is about to be bound.
    fn keep(&mut self, generation: Generation, (process, fd): (i32, i32), socket: OwnedFd, address: SocketAddr) {
        let kept = self.groups.keep(generation, socket, Some(address));
        if let Ok(id) = kept {
            self.set_holder(id, process, fd);
        }
    }

    fn set_holder(&mut self, id: SocketId, process: i32, fd: i32) {
        if let Some(socket) = self.groups.get_mut(id) {
            socket.holder = Pidfd::open(process).ok().map(|pidfd| Holder { process, fd, pidfd });
            socket.unheld_since = None;
        }
    }

    fn give_held(&mut self, generation: Generation, call: Call, process: i32, held: SocketId) -> bool {
        let fd = call.args[0] as i32;
        let flags = descriptors::flags(process, fd).unwrap_or(O_CLOEXEC);
        let (Some(socket), Some(listener)) = (self.groups.get(held), self.listener(generation)) else { return false };
        drop(sockets::set_nonblocking(socket.fd.as_fd(), flags & O_NONBLOCK != 0));
        if listener.replace(call.id, socket.fd.as_fd(), fd, flags & O_CLOEXEC != 0).is_err() {
            return false;
        }
        self.groups.hand_over(held, generation);
        self.set_holder(held, process, fd);
        self.listener(generation).is_some_and(|listener| listener.reply(call.id, Ok(())).is_ok())
    }

    /// Puts a socket of ours in the place of the program's; the kernel then binds it with the program's own rights.
    fn replace(
        &mut self,
        generation: Generation,
        call: Call,
        process: i32,
        address: SocketAddr,
        original: Option<&OwnedFd>,
    ) -> bool {
        let fd = call.args[0] as i32;
        let family = original.and_then(|original| sockets::family(original.as_fd()).ok());
        let family = family.unwrap_or_else(|| self.family_of(process, fd, address));
        let Ok(ours) = sockets::tcp_socket(family) else { return false };
        match original {
            Some(original) => sockets::copy_listener_options(original.as_fd(), ours.as_fd()),
            None => {
                // It cannot be read here, and servers set it for each connection: so it is not reported either. Those that set
                // it on the listener miss it badly; those that do not hardly notice it.
                drop(sockets::set_option(ours.as_fd(), IPPROTO_TCP, TCP_NODELAY, 1));
                self.apply_remembered(generation, process, fd, ours.as_fd());
            }
        }
        let endpoint = endpoint_for(ours.as_fd(), address);
        if let Some(held) = self.instead_of(generation, &endpoint) {
            return self.give_held(generation, call, process, held);
        }
        if descriptors::is_polled(process, fd) {
            self.mark_unseen(generation);
            self.note_once(format!(
                "pid {process} waits for a socket by epoll before it binds it: it cannot be replaced, and reloads are not seamless"
            ));
            return false;
        }
        let flags = descriptors::flags(process, fd).unwrap_or(O_CLOEXEC);
        drop(sockets::set_nonblocking(ours.as_fd(), flags & O_NONBLOCK != 0));
        self.share(generation, ours.as_fd(), &endpoint);
        let Some(listener) = self.listener(generation) else { return false };
        if let Err(error) = listener.replace(call.id, ours.as_fd(), fd, flags & O_CLOEXEC != 0) {
            self.note_once(format!("cannot replace a socket of pid {process} ({error}): its reloads are not seamless"));
            return false;
        }
        self.keep(generation, (process, fd), ours, address);
        false
    }

    fn family_of(&self, process: i32, fd: i32, address: SocketAddr) -> i32 {
        match descriptors::socket_protocol(process, fd).as_deref() {
            Ok(name) if name.ends_with("v6") => AF_INET6,
            Ok(_) if address.is_ipv4() => AF_INET,
            _ => {
                if address.is_ipv4() {
                    AF_INET
                } else {
                    AF_INET6
                }
            }
        }
    }

    fn remember_option(&mut self, generation: Generation, call: Call) {
        let [fd, level, name, value, length, _] = call.args;
        let Ok(process) = process::thread_group(call.tid) else { return };
        let Ok(Some(inode)) = descriptors::socket_inode(process, fd as i32) else { return };
        let Ok(bytes) = memory::read(call.tid, value, (length as usize).min(LONGEST_ADDRESS)) else { return };
        if let Some(running) = self.running.get_mut(&generation) {
            // A server that sets options per connection must not make us grow: listeners are few and early.
            if running.options.len() > 256 {
                running.options.clear();
            }
            running.options.entry(inode).or_default().push((level as i32, name as i32, bytes));
        }
    }

    fn apply_remembered(&self, generation: Generation, process: i32, fd: i32, ours: BorrowedFd<'_>) {
        let Ok(Some(inode)) = descriptors::socket_inode(process, fd) else { return };
        let remembered = self.running.get(&generation).and_then(|running| running.options.get(&inode));
        for (level, name, value) in remembered.into_iter().flatten() {
            drop(sockets::set_option_bytes(ours, *level, *name, value));
        }
    }

    /// True when the call has been answered here, or will be later.
    fn on_listen(&mut self, generation: Generation, call: Call) -> bool {
        let (fd, backlog) = (call.args[0] as i32, call.args[1] as i32);
        let backlog = self.options.backlog.map_or(backlog, |least| backlog.max(least));
        let Ok(process) = process::thread_group(call.tid) else { return false };
        let Ok(Some(inode)) = descriptors::socket_inode(process, fd) else { return false };
        if self.paths.await_listen(generation, inode, clock::now()) {
            return false;
        }
        let Some(id) = self.groups.find(generation, inode) else {
            // Never bound: the kernel chooses the port. Unless its `bind` could not be seen.
            if self.running.get(&generation).is_some_and(|running| !running.unseen) {
                self.loosen(generation, process, fd);
            }
            return false;
        };
        let Some(endpoint) = self.groups.get(id).and_then(|socket| Groups::endpoint_of(socket.fd.as_fd())) else {
            // Its bind has failed: the kernel says what `listen` does then.
            drop(self.groups.forget(id));
            return false;
        };
        let serving = self.switch.serving().filter(|serving| *serving != generation);
        // Where the serving one listens too, their group decides.
        let there = serving.map(|old| self.groups.endpoints(old)).unwrap_or_default();
        let takes_traffic = !there.contains(&endpoint) && there.iter().any(|there| endpoint.steals_from(there));
        if takes_traffic {
            self.note_once(format!(
                "generation {generation} listens on {endpoint}, inside what the serving one has: held until it is ready"
            ));
            if let Some(running) = self.running.get_mut(&generation) {
                running.waiting_listens.push(WaitingListen { call, socket: id, backlog });
            }
            return true;
        }
        self.mind_foreign();
        if !self.groups.is_steered(&endpoint) && !self.groups.others_at(&endpoint).is_empty() {
            self.note_once(format!(
                "another program of this user listens on {endpoint} already, and this one asks to share it (SO_REUSEPORT): its \
                 reloads are not seamless"
            ));
            drop(self.groups.forget(id));
            self.loosen(generation, process, fd);
            return false;
        }
        self.answer_listen(generation, call, id, backlog)
    }

    /// What waits will not be: a handler of the stop signal could not run before the call has returned.
    pub(crate) fn refuse_waiting_listens(&mut self, generation: Generation) {
        let waiting = self.running.get_mut(&generation).map(|running| std::mem::take(&mut running.waiting_listens));
        for waiting in waiting.into_iter().flatten() {
            if let Some(listener) = self.listener(generation) {
                drop(listener.reply(waiting.call.id, Err(EADDRINUSE)));
            }
        }
    }

    fn mark_unseen(&mut self, generation: Generation) {
        if let Some(running) = self.running.get_mut(&generation) {
            running.unseen = true;
        }
    }

    /// A socket that was seen and is not held.
    fn loosen(&mut self, generation: Generation, process: i32, fd: i32) {
        if let Ok(Some(inode)) = descriptors::socket_inode(process, fd)
            && let Some(running) = self.running.get_mut(&generation)
        {
            running.loose.insert(inode);
        }
    }

    /// Listens in the program's place, so that the order of a group's members is known.
    pub(crate) fn answer_listen(&mut self, generation: Generation, call: Call, id: SocketId, backlog: i32) -> bool {
        let steers = self.switch.serving() == Some(generation);
        let result = self.groups.listen(id, backlog, steers);
        if let Err(error) = &result {
            self.note(format!("generation {generation}: listen failed: {error}"));
        }
        let result = result.map_err(|error| error.raw_os_error().unwrap_or(22));
        self.listener(generation).is_some_and(|listener| listener.reply(call.id, result).is_ok())
    }
}

fn is_internet(socket: BorrowedFd<'_>) -> bool {
    sockets::family(socket).is_ok_and(|family| family == AF_INET || family == AF_INET6)
}

/// What the socket will be once it is bound to `address`.
fn endpoint_for(socket: BorrowedFd<'_>, address: SocketAddr) -> Endpoint {
    let v6_only = address.is_ipv6() && sockets::is_v6_only(socket);
    // The kernel's getsockname has neither flow label nor, for global addresses, a scope.
    let address = match address {
        SocketAddr::V6(v6) => SocketAddr::new((*v6.ip()).into(), v6.port()),
        v4 @ SocketAddr::V4(_) => v4,
    };
    Endpoint { address, v6_only, interface: sockets::interface(socket) }
}
