//! What is known of one process at one moment, as plain data. What is known of such processes, and who would
//! start it again, comes with [`Case`](crate::case::Case).

mod awaited;
mod collect;
mod net;
mod relative;
mod relatives;
mod threads;
mod waits;

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_linux::proc::cgroup;
use serde::Serialize;

pub use self::awaited::Awaited;
pub use self::collect::{collect, glance, look_again};
pub use self::relative::Relative;

/// A process.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// Its pid.
    pub pid: Pid,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// For how long it has run, in seconds.
    pub age: f64,
    /// Its name as it is in `comm`.
    pub name: String,
    /// Its arguments; what is not UTF-8 replaced.
    pub arguments: Vec<String>,
    /// Its program file, if that can be read.
    pub program: Option<String>,
    /// State letter of its main thread.
    pub state: char,
    /// Its real user.
    pub user: u32,
    /// Its pid in each pid namespace, from ours to its own: bare numbers, as they mean nothing without the namespace.
    pub pids: Vec<i32>,
    /// Whether it is a thread of the kernel.
    pub kernel_thread: bool,
    /// Whether it writes a core dump.
    pub dumps_core: bool,
    /// Signals that it ignores, catches, and that wait for any thread of it; bit n-1 stands for signal n.
    pub ignored: u64,
    /// See [`Self::ignored`].
    pub caught: u64,
    /// See [`Self::ignored`].
    pub pending: u64,
    /// Signals that it reads from a signalfd.
    pub read_from_descriptor: u64,
    /// Its threads, the main one first.
    pub threads: Vec<Thread>,
    /// Its parent.
    pub parent: Option<Relative>,
    /// Its parent's ignored signals.
    pub parent_ignores: u64,
    /// Its children.
    pub children: Vec<Relative>,
    /// Who traces it.
    pub tracer: Option<Relative>,
    /// The freezer that holds it.
    #[serde(serialize_with = "frozen_file")]
    pub frozen: Option<cgroup::Frozen>,
    /// What its standard input is, if that can be read.
    pub input: Option<String>,
    /// What it listens on.
    pub listeners: Vec<Listener>,
    /// The inodes of [`Self::listeners`], in the same order.
    #[serde(skip)]
    pub listener_inodes: Vec<u64>,
    /// Its connections.
    pub connections: Vec<Connection>,
    /// Whether this user may send it signals.
    pub permitted: bool,
    /// What could not be read, and why.
    pub unreadable: Vec<Unreadable>,
    /// Between the two looks that tell which threads move.
    pub watched_ms: u64,
    /// Whether bytes were sent on one of its connections between those looks.
    pub answers: bool,
}

/// One of its threads.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Thread {
    /// Its id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// State letter.
    pub state: char,
    /// Signals that it blocks, and that wait for it alone.
    pub blocked: u64,
    /// See [`Self::blocked`].
    pub pending: u64,
    /// The function of the kernel that it sleeps in.
    pub sleeps_in: Option<String>,
    /// The system call that it waits in.
    pub call: Option<Call>,
    /// What it waits for there, where that can be told.
    pub waits_for: Option<Awaited>,
    /// Its stack in the kernel, innermost first; empty where it may not be read.
    pub stack: Vec<String>,
    /// The signal handler that it is in.
    pub handler: Option<Handler>,
    /// The signals that it waits for (`sigwait(3)`); 0 where that cannot be read.
    pub awaits: u64,
    /// Whether it has run at all between two looks.
    pub moved: bool,
    /// Whether it has computed all of that time and waited for nothing.
    pub busy: bool,
}

/// A system call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Its name, where it is one that waits.
    pub name: Option<&'static str>,
    /// Its number.
    pub number: i64,
    /// Its first argument.
    pub first: u64,
    /// All of them.
    #[serde(skip)]
    pub arguments: [u64; 6],
}

/// A handler that has begun and not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Handler {
    /// For this signal, where that can be told.
    pub signal: Option<Signal>,
    /// The signals that are blocked for its sake; bit n-1 stands for signal n.
    pub blocks: u64,
    /// Sent by this process, as the receiver's pid namespace numbers it (0: from outside), where that can be told.
    pub sender: Option<i32>,
}

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Where.
    pub address: std::net::SocketAddr,
    /// How many connections wait to be accepted.
    pub queue: u32,
    /// Descendants that hold it too and run another program.
    pub strangers: Vec<Relative>,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Connection {
    /// Our end.
    pub local: std::net::SocketAddr,
    /// The peer.
    pub peer: std::net::SocketAddr,
    /// Whether a client has opened it.
    pub inbound: bool,
    /// Whether somebody listens on that port now, be it this process or another one.
    pub served: bool,
    /// Seconds since bytes last went either way.
    pub idle: f64,
    /// Whether an answer is owed, by the kernel's counters.
    pub owed: bool,
    /// The inode of its socket.
    #[serde(skip)]
    pub inode: u64,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Below `/proc/PID`.
    pub file: String,
    /// Why.
    pub why: String,
}

/// The bit of a signal in a mask.
#[must_use]
pub fn bit(signal: Signal) -> u64 {
    1u64.checked_shl(signal.number().unsigned_abs().saturating_sub(1)).unwrap_or(0)
}

impl Handler {
    /// Whether it may be the handler of this signal.
    #[must_use]
    pub fn may_be_for(&self, signal: Signal) -> bool {
        self.signal.map_or(self.blocks & bit(signal) != 0, |own| own == signal)
    }
}

impl Facts {
    /// Of this process nothing is known but its pid.
    #[must_use]
    pub const fn of(pid: Pid) -> Self {
        Self {
            pid,
            start_time: 0,
            age: 0.0,
            name: String::new(),
            arguments: Vec::new(),
            program: None,
            state: '\0',
            user: 0,
            pids: Vec::new(),
            kernel_thread: false,
            dumps_core: false,
            ignored: 0,
            caught: 0,
            pending: 0,
            read_from_descriptor: 0,
            threads: Vec::new(),
            parent: None,
            parent_ignores: 0,
            children: Vec::new(),
            tracer: None,
            frozen: None,
            input: None,
            listeners: Vec::new(),
            listener_inodes: Vec::new(),
            connections: Vec::new(),
            permitted: false,
            unreadable: Vec::new(),
            watched_ms: 0,
            answers: false,
        }
    }

    /// The main thread.
    #[must_use]
    pub fn main(&self) -> Option<&Thread> {
        self.threads.first()
    }

    /// What it is, in a few words: its title or its first arguments.
    #[must_use]
    pub fn title(&self) -> String {
        relative::shorten(&self.arguments, &self.name)
    }

    /// The signals that no thread of it lets through.
    #[must_use]
    pub fn blocked_everywhere(&self) -> u64 {
        if self.threads.is_empty() {
            return 0;
        }
        self.threads.iter().fold(u64::MAX, |mask, thread| mask & thread.blocked)
    }

    /// The signals that wait for it or for one of its threads.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.threads.iter().fold(self.pending, |mask, thread| mask | thread.pending)
    }

    /// Signals that it fetches instead of handling them: from a signalfd, or by waiting for them.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.threads.iter().fold(self.read_from_descriptor, |mask, thread| mask | thread.awaits)
    }

    /// Whether it is the init of a pid namespace below ours, or of ours.
    #[must_use]
    pub fn is_init(&self) -> bool {
        self.pids.last() == Some(&1) || self.pid == Pid::INIT
    }
}

#[expect(clippy::ref_option, reason = "serde hands it over like this")]
fn frozen_file<S: serde::Serializer>(frozen: &Option<cgroup::Frozen>, serializer: S) -> Result<S::Ok, S::Error> {
    frozen.as_ref().map(|frozen| &frozen.file).serialize(serializer)
}
