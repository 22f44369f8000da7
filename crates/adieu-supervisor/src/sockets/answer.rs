//! How a socket call is answered, as a value, and who makes it.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use adieu_core::group::SocketId;
use adieu_core::ids::Pid;
use adieu_core::switch::Generation;
use adieu_linux::descriptors::{O_CLOEXEC, O_NONBLOCK};
use adieu_linux::seccomp::Call;
use adieu_linux::sockets;

use super::paths::Name;
use crate::process_table::ProcessTable;

/// The longest socket address that is read from a program (`struct sockaddr_storage`).
pub(super) const LONGEST_ADDRESS: usize = 128;

/// How a call is answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// The kernel goes on with the call as it was made.
    Continue,
    /// The call returns this: 0, or an errno.
    Return(Result<(), i32>),
    /// A socket of ours takes the place of the program's, and the kernel goes on with the call.
    Replace(Replacement),
    /// A socket of ours takes the place of the program's, and the call returns 0.
    ReplaceAndReturn(Replacement),
    /// A `listen` that is answered when its generation is switched to.
    Later { socket: SocketId, backlog: i32 },
}

/// A socket for a program, and what is remembered once the program has it.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) with: Ours,
    pub(super) process: Pid,
    pub(super) fd: i32,
    pub(super) close_on_exec: bool,
    pub(super) then: Then,
}

/// Which socket is given.
#[derive(Debug)]
pub(super) enum Ours {
    Held(SocketId),
    New(OwnedFd),
}

/// What is true once the program has the socket.
#[derive(Debug)]
pub(super) enum Then {
    /// The held listener is the generation's.
    HandOver(SocketId),
    /// The new socket is about to be bound to this address.
    Keep(SocketAddr),
    /// The new Unix socket is bound to the second name, or about to be bound to `name`.
    KeepPath { name: Name, beside: Option<PathBuf>, fleeting: bool },
    /// The listener at this name is the generation's too.
    GivePath(Name),
}

/// A process that makes a call, and what may be asked about it.
pub(super) struct Caller<'a> {
    pub(super) generation: Generation,
    pub(super) table: &'a dyn ProcessTable,
    /// Whether it still waits. To be asked after its memory or descriptors were looked at: its pid may have been taken by
    /// another process.
    pub(super) still_waits: &'a dyn Fn(&Call) -> bool,
}

impl Caller<'_> {
    /// Makes `socket` as non-blocking as descriptor `fd` of the process, whose place it takes; whether that one is closed on
    /// exec.
    pub(super) fn make_alike(&self, process: Pid, fd: i32, socket: BorrowedFd<'_>) -> bool {
        let flags = self.table.flags(process, fd).unwrap_or(O_CLOEXEC);
        // Failing would leave it blocking, as most listeners are.
        drop(sockets::set_nonblocking(socket, flags & O_NONBLOCK != 0));
        flags & O_CLOEXEC != 0
    }
}
