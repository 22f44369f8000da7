//! What a thread waits for: a lock and who holds it, the end of another thread, bytes from whoever holds the other end.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::relative::Relative;

/// What somebody waits for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Awaited {
    /// A lock on a file.
    FileLock {
        /// The file.
        file: String,
        /// Who has taken it, if that one is still there and in this pid namespace.
        holder: Option<Relative>,
    },
    /// A lock in memory.
    Lock {
        /// The thread that holds it.
        thread: i32,
        /// That thread's name.
        name: String,
        /// Its process, where that is another one.
        process: Option<Relative>,
    },
    /// A lock in memory that a thread of the parent held when it forked: in this copy nobody can give it up.
    LockAtFork {
        /// That thread, in the parent.
        thread: i32,
        /// The parent.
        parent: Relative,
    },
    /// The end of another thread.
    Thread {
        /// Its id.
        thread: i32,
        /// Its name.
        name: String,
    },
    /// The other end of a pipe.
    Pipe {
        /// For bytes from it; else for room in it.
        reads: bool,
        /// Other processes that hold that end.
        others: Vec<Relative>,
    },
    /// A peer.
    Peer {
        /// Its address.
        address: SocketAddr,
        /// Seconds since bytes last went either way.
        idle: f64,
    },
    /// A connection to be accepted.
    Client {
        /// Where it listens.
        address: SocketAddr,
    },
    /// A file, a terminal, a device.
    File {
        /// Its path.
        path: String,
    },
    /// A time.
    Time {
        /// Seconds: those that are left, or all where that is not known.
        seconds: f64,
        /// Whether these are left.
        left: bool,
    },
}

impl Awaited {
    /// What a thread of this id waits for, to be read after `waits in CALL`.
    #[must_use]
    pub fn told_by(&self, own: i32) -> String {
        let seconds = |seconds: f64| {
            let whole = Duration::try_from_secs_f64(seconds.round()).unwrap_or(Duration::MAX);
            adieu_core::duration::format(whole)
        };
        let one = |who: &Relative| format!("{} (pid {})", who.name, who.pid);
        match self {
            Self::FileLock { file, holder: Some(holder) } => {
                format!(" for the lock on {file}, which {} has", one(holder))
            }
            Self::FileLock { file, holder: None } => {
                format!(" for the lock on {file}, which a descriptor has that was left to others")
            }
            Self::Lock { thread, .. } if *thread == own => " for a lock that it holds itself".to_owned(),
            Self::Lock { thread, name, process: None } => {
                format!(" for a lock that its thread {thread} ({name}) holds")
            }
            Self::Lock { process: Some(process), .. } => format!(" for a lock that {} holds", one(process)),
            Self::LockAtFork { thread, parent } => {
                format!(" for a lock that thread {thread} of {} held when it forked", one(parent))
            }
            Self::Thread { thread, name } => format!(" for the end of its thread {thread} ({name})"),
            Self::Pipe { reads, others } => {
                let what = if *reads { "bytes from" } else { "room in" };
                let others: Vec<String> = others.iter().map(one).collect();
                let others = match others.is_empty() {
                    true => "nobody else".to_owned(),
                    false => others.join(", "),
                };
                format!(" for {what} a pipe whose other end {others} holds")
            }
            Self::Peer { address, idle } => format!(" for {address}, silent for {}", seconds(*idle)),
            Self::Client { address } => format!(" for a connection to {address}"),
            Self::File { path } => format!(" on {path}"),
            Self::Time { seconds: time, .. } if *time < 1.0 => String::new(),
            Self::Time { seconds: time, left: true } => format!(" for another {}", seconds(*time)),
            Self::Time { seconds: time, left: false } => format!(" for {} in all", seconds(*time)),
        }
    }
}
