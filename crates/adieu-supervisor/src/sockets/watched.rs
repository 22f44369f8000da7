//! One generation under watch: its notification descriptor, and what is known of the sockets that are not held.

use std::collections::{HashMap, HashSet};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use adieu_core::Timestamp;
use adieu_core::address::Endpoint;
use adieu_core::group::SocketId;
use adieu_core::switch::Generation;
use adieu_linux::seccomp::{Call, Notifier};
use adieu_linux::sockets;

/// Sockets whose options are remembered. A server that sets options per connection must not make us grow: listeners are few
/// and early.
const MOST_REMEMBERED: usize = 256;

/// A `listen` that waits for its generation to be ready, because it would take the serving one's traffic at once.
#[derive(Debug)]
pub(super) struct WaitingListen {
    pub(super) call: Call,
    pub(super) socket: SocketId,
    pub(super) backlog: i32,
}

/// A socket option as `setsockopt(2)` takes it.
#[derive(Debug)]
struct Setting {
    level: i32,
    name: i32,
    value: Vec<u8>,
}

/// What is known of the socket calls of one generation.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) notifier: Option<Rc<Notifier>>,
    /// Its socket calls cannot be seen, or not all of them.
    pub(super) unseen: bool,
    /// Inodes of sockets that were seen and are not to be held: bound to any free port, or shared with another program.
    pub(super) loose: HashSet<u64>,
    /// When it is looked at again whether it listens unseen.
    pub(super) next_comparison: Timestamp,
    pub(super) waiting_listens: Vec<WaitingListen>,
    /// Listener options that were set on sockets which cannot be duplicated, by inode.
    settings: HashMap<u64, Vec<Setting>>,
}

impl Watched {
    pub(super) fn new(next_comparison: Timestamp) -> Self {
        Self {
            notifier: None,
            unseen: false,
            loose: HashSet::new(),
            next_comparison,
            waiting_listens: Vec::new(),
            settings: HashMap::new(),
        }
    }

    /// Remembers an option that was set on a socket which may have to be replaced.
    pub(super) fn remember(&mut self, inode: u64, level: i32, name: i32, value: Vec<u8>) {
        if self.settings.len() > MOST_REMEMBERED {
            self.settings.clear();
        }
        self.settings.entry(inode).or_default().push(Setting { level, name, value });
    }

    /// Sets what was remembered of the socket `inode` on its replacement.
    pub(super) fn apply_remembered(&self, inode: u64, replacement: BorrowedFd<'_>) {
        for Setting { level, name, value } in self.settings.get(&inode).into_iter().flatten() {
            // What the kernel does not take now it did not take from the program either.
            drop(sockets::set_option_bytes(replacement, *level, *name, value));
        }
    }
}

/// Where a generation listened that is to be replaced, without our having seen it.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    pub(super) generation: Generation,
    pub(super) endpoints: Vec<Endpoint>,
}
