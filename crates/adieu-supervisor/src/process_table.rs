//! What may be asked about processes: whose they are, and what a process that makes a socket call has.
//!
//! [`Processes`](crate::processes::Processes) answers for the programs of this run; tests bring tables of their own.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::outcome::Outcome;
use adieu_core::switch::Generation;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::{descriptors, memory, process};

/// The processes of all generations.
pub(crate) trait ProcessTable {
    /// All generations that have been started and are not gone, oldest first.
    fn generations(&self) -> Vec<Generation>;

    /// All processes of `generation`, main process included, as far as they can be seen.
    fn members(&self, generation: Generation) -> Vec<Pid>;

    /// The pid of the main process, once it is known and until its end is.
    fn living_main(&self, generation: Generation) -> Option<Pid>;

    /// How the main process has ended.
    fn outcome(&self, generation: Generation) -> Option<Outcome>;

    /// The command that `generation` runs.
    fn command(&self, generation: Generation) -> Option<&[OsString]>;

    /// When `generation` was started.
    fn started(&self, generation: Generation) -> Option<Timestamp>;

    /// The pid of its keeper.
    fn keeper(&self, generation: Generation) -> Option<Pid>;

    /// Whether descriptors of the programs can be duplicated; `None` before the first generation.
    fn may_duplicate(&self) -> Option<bool>;

    /// Whether the main process runs, as far as we have heard.
    fn is_alive(&self, generation: Generation) -> bool {
        self.living_main(generation).is_some()
    }

    /// Whether the main process runs and is not on its way out, as the kernel has it now: we may not have heard yet.
    fn is_still_there(&self, generation: Generation) -> bool {
        let there = |pid: Pid| process::stat(pid).is_ok_and(|stat| !stat.exiting && stat.state != 'Z');
        self.living_main(generation).is_some_and(there)
    }

    /// Whether the main process has ended without our having heard of it: who takes over is decided first.
    fn is_about_to_end(&self, generation: Generation) -> bool {
        let ended = |pid: Pid| process::stat(pid).map_or(true, |stat| stat.exiting);
        self.living_main(generation).is_some_and(ended)
    }

    /// The inodes of all sockets that processes of `generation` hold; `None` where they may not be read.
    fn own_inodes(&self, generation: Generation) -> Option<HashSet<u64>> {
        let mut own = HashSet::new();
        for pid in self.members(generation) {
            match descriptors::sockets(pid) {
                Ok(found) => own.extend(found.into_iter().map(|(_, inode)| inode)),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
                Err(_) => {}
            }
        }
        Some(own)
    }

    /// The process of a thread.
    fn process_of(&self, thread: i32) -> io::Result<Pid> {
        process::thread_group(thread)
    }

    /// Memory of a thread that waits in a system call.
    fn memory(&self, thread: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
        memory::read(thread, address, length)
    }

    /// A duplicate of a descriptor of `process`.
    fn duplicate(&self, process: Pid, fd: i32) -> io::Result<OwnedFd> {
        Pidfd::open(process).and_then(|pidfd| pidfd.get_fd(fd))
    }

    /// The protocol of a socket that cannot be duplicated, as the kernel names it: `TCP`, `TCPv6`, `UNIX-STREAM`, ...
    fn protocol(&self, process: Pid, fd: i32) -> io::Result<String> {
        descriptors::socket_protocol(process, fd)
    }

    /// The inode of a socket of `process`; `None` where the descriptor is no socket.
    fn socket_inode(&self, process: Pid, fd: i32) -> io::Result<Option<u64>> {
        descriptors::socket_inode(process, fd)
    }

    /// The flags of an open descriptor, O_CLOEXEC among them.
    fn flags(&self, process: Pid, fd: i32) -> io::Result<i32> {
        descriptors::flags(process, fd)
    }

    /// Whether `process` waits for this descriptor by epoll: a replacement would not be registered there.
    fn is_polled(&self, process: Pid, fd: i32) -> bool {
        descriptors::is_polled(process, fd)
    }
}
