//! What is known of the sockets of all generations, and the answers to simple questions about them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::address::Endpoint;
use adieu_core::group::{Owner, SocketId};
use adieu_core::ids::Pid;
use adieu_core::switch::Generation;
use adieu_core::wire::{ListenerStatus, PathStatus};
use adieu_linux::diag::LocalPort;
use adieu_linux::seccomp::Notifier;
use adieu_linux::{errno, sockets, unix_socket};

use super::groups::Groups;
use super::inherited::Inherited;
use super::paths::Paths;
use super::watched::{Unseen, Watched};
use crate::process_table::ProcessTable;
use crate::view::Out;

/// A generation is looked at for unseen listeners when it has had so long to begin.
const FIRST_COMPARISON: Duration = Duration::from_secs(1);

/// The listening sockets of all generations.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(super) groups: Groups,
    pub(super) paths: Paths,
    /// Sockets that we were started with (LISTEN_FDS); every generation gets them.
    pub(super) inherited: Inherited,
    pub(super) watched: BTreeMap<Generation, Watched>,
    /// Where the generation that is to be replaced listened unseen.
    pub(super) unseen_before: Unseen,
    /// A generation that ends before the next one starts, which gets its listeners.
    pub(super) ends_first: Option<Generation>,
    /// Programs are told that nobody listens on the Unix sockets of the generation before.
    pub(super) hides_paths: bool,
    /// While nobody serves: how long clients wait for it.
    pub(super) unserved_until: Option<Timestamp>,
    pub(super) next_look: Timestamp,
}

impl Sockets {
    pub(crate) fn new(inherited: Inherited, now: Timestamp) -> Self {
        Self {
            groups: Groups::default(),
            paths: Paths::default(),
            inherited,
            watched: BTreeMap::new(),
            unseen_before: Unseen::default(),
            ends_first: None,
            hides_paths: false,
            unserved_until: None,
            next_look: now,
        }
    }

    /// `generation` is started.
    pub(crate) fn begin(&mut self, generation: Generation, now: Timestamp) {
        self.watched.insert(generation, Watched::new(now + FIRST_COMPARISON));
    }

    /// The calls of `generation` are reported by this descriptor.
    pub(crate) fn watch(&mut self, generation: Generation, notifications: Option<OwnedFd>) {
        if let Some(watched) = self.watched.get_mut(&generation) {
            watched.notifier = notifications.map(|fd| Rc::new(Notifier::new(fd)));
        }
    }

    /// The calls of `generation` cannot be seen: its filter was refused with this error.
    pub(crate) fn watch_refused(&mut self, generation: Generation, error: i32, now: Timestamp, out: &mut Out) {
        let Some(watched) = self.watched.get_mut(&generation) else { return };
        (watched.unseen, watched.next_comparison) = (true, now);
        let why = match error {
            errno::EBUSY => "another seccomp listener is there already, as under an outer `adieu run`".to_owned(),
            other => std::io::Error::from_raw_os_error(other).to_string(),
        };
        out.note_once(format!(
            "cannot watch the program's sockets ({why}): reloads are not seamless unless it takes its sockets from --listen"
        ));
    }

    /// Every process under the filter of `generation` has ended.
    pub(crate) fn unwatch(&mut self, generation: Generation) {
        self.watch(generation, None);
    }

    /// Whether `connect` of Unix sockets has to be watched.
    pub(crate) fn hides_paths(&self) -> bool {
        self.hides_paths
    }

    pub(super) fn is_unseen(&self, generation: Generation) -> bool {
        self.watched.get(&generation).is_some_and(|watched| watched.unseen)
    }

    /// Whether the socket calls of `generation` are seen, or are known not to be.
    pub(crate) fn is_watch_decided(&self, generation: Generation) -> bool {
        self.watched.get(&generation).is_some_and(|watched| watched.notifier.is_some() || watched.unseen)
    }

    pub(super) fn mark_unseen(&mut self, generation: Generation) {
        if let Some(watched) = self.watched.get_mut(&generation) {
            watched.unseen = true;
        }
    }

    /// A socket that was seen and is not held.
    pub(super) fn loosen(&mut self, table: &dyn ProcessTable, generation: Generation, process: Pid, fd: i32) {
        if let Ok(Some(inode)) = table.socket_inode(process, fd)
            && let Some(watched) = self.watched.get_mut(&generation)
        {
            watched.loose.insert(inode);
        }
    }

    /// Whether `generation` waits for an answer to a `listen`.
    pub(crate) fn waits_to_listen(&self, generation: Generation) -> bool {
        self.watched.get(&generation).is_some_and(|watched| !watched.waiting_listens.is_empty())
    }

    /// From now on `generation` waits for an answer to a `listen`.
    #[cfg(test)]
    pub(crate) fn keep_waiting(&mut self, generation: Generation) {
        use adieu_linux::seccomp::{Call, CallKind};
        let call = Call { id: 0, tid: 0, kind: CallKind::Listen, args: [0; 6] };
        let waiting = super::watched::WaitingListen { call, socket: SocketId::default(), backlog: 0 };
        self.watched.get_mut(&generation).expect("it was begun").waiting_listens.push(waiting);
    }

    /// Whether `generation` was given listeners: they listen from the start.
    pub(crate) fn has_passed(&self, generation: Generation) -> bool {
        self.groups.of(generation).any(|(_, socket)| socket.bound.is_none() && socket.endpoint.is_some())
    }

    /// Where `generation` listens, as far as it is held.
    pub(crate) fn endpoints(&self, generation: Generation) -> Vec<Endpoint> {
        self.groups.endpoints(generation)
    }

    /// All endpoints where new connections are taken.
    pub(crate) fn visible(&self) -> Vec<Endpoint> {
        self.groups.visible()
    }

    /// Whether no connection waits in a queue of `generation`.
    pub(crate) fn queues_are_empty(&self, generation: Generation) -> bool {
        self.groups.waiting(generation) == 0 && !self.paths.is_waited_for(generation)
    }

    /// How many connections wait in the accept queues of `generation`.
    pub(crate) fn waiting(&self, generation: Generation) -> u32 {
        self.groups.waiting(generation)
    }

    /// As [`Self::waiting`], of the sockets that are not among these inodes.
    pub(crate) fn waiting_beside(&self, generation: Generation, inodes: &std::collections::HashSet<u64>) -> u32 {
        let queues = self.groups.of(generation).filter(|(_, socket)| !inodes.contains(&socket.inode));
        queues.filter_map(|(_, socket)| sockets::accept_queue(socket.fd.as_fd())).sum()
    }

    /// Where the kernel lists the connections of `generation`.
    pub(crate) fn places(&self, generation: Generation) -> Vec<LocalPort> {
        let endpoints = self.groups.endpoints(generation);
        let mut places: Vec<LocalPort> = endpoints.iter().map(|endpoint| LocalPort::of(endpoint.address)).collect();
        if self.unseen_before.generation == generation {
            places.extend(self.unseen_before.endpoints.iter().map(|endpoint| LocalPort::of(endpoint.address)));
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Where `old` still gets new connections although `generation` covers it.
    pub(crate) fn still_visible(&self, generation: Generation, old: Generation) -> Vec<Endpoint> {
        self.groups.still_visible(generation, old)
    }

    /// Hides whatever `generation` covers.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub(crate) fn hide_covered(&mut self, generation: Generation) -> std::io::Result<()> {
        self.groups.hide_covered(generation)
    }

    /// Lets connections from a source port reach a generation whatever the others do; `None` ends it.
    ///
    /// # Errors
    /// Those of attaching a program to a group.
    pub(crate) fn steer_probe(&mut self, probe: Option<(u16, Generation)>) -> std::io::Result<()> {
        self.groups.steer_probe(probe)
    }

    /// The processes that have bound sockets, with the descriptors that tell of their ends.
    pub(super) fn holders(&self) -> impl Iterator<Item = (SocketId, std::os::fd::BorrowedFd<'_>)> {
        let all = self.groups.all();
        all.filter_map(|(id, socket)| Some((id, socket.holder.as_ref()?.pidfd.as_fd())))
    }

    pub(super) fn holds_something(&self) -> bool {
        self.groups.of(Owner::Held).next().is_some() || self.paths.of(Owner::Held).next().is_some()
    }

    /// The TCP listeners of `generation`, for the status.
    pub(crate) fn listener_statuses(&self, generation: Generation) -> Vec<ListenerStatus> {
        let status = |socket: &super::groups::Socket| {
            let endpoint = socket.endpoint?;
            let queue = sockets::accept_queue(socket.fd.as_fd()).unwrap_or(0);
            Some(ListenerStatus { endpoint, queue, target: self.groups.is_target(&endpoint, generation) })
        };
        self.groups.of(generation).filter_map(|(_, socket)| status(socket)).collect()
    }

    /// The Unix listeners of `generation`, for the status.
    pub(crate) fn path_statuses(&self, generation: Generation) -> Vec<PathStatus> {
        let listening = self.paths.of(generation).filter(|listener| listener.listens);
        let status = |listener: &super::paths::PathListener| PathStatus {
            path: listener.name.to_string(),
            waited_for: listener.fd.as_ref().is_some_and(|fd| unix_socket::is_waited_for(fd.as_fd())),
            target: self.paths.is_target(listener),
        };
        listening.map(status).collect()
    }
}
