//! Sockets that we were started with ourselves.

use std::os::fd::{AsFd, OwnedFd};

use adieu_core::ids::Pid;
use adieu_linux::{descriptors, sockets};

/// What came with our own LISTEN_FDS (`sd_listen_fds(3)`).
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(super) sockets: Vec<OwnedFd>,
    names: Vec<String>,
}

impl Inherited {
    /// Takes the descriptors, if they are meant for this process.
    pub(crate) fn from_environment() -> Self {
        let number = |key: &str| std::env::var(key).ok().and_then(|value| value.parse::<i32>().ok());
        let count = match (number("LISTEN_PID"), number("LISTEN_FDS")) {
            (Some(pid), Some(count)) if Pid::new(pid) == adieu_linux::process::own_pid() => count.clamp(0, 1024),
            _ => 0,
        };
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').map(str::to_owned);
        Self { sockets: (3..3 + count).filter_map(|fd| descriptors::take(fd).ok()).collect(), names: names.collect() }
    }

    /// The name of the one at this position.
    pub(super) fn name(&self, at: usize) -> String {
        let name = self.names.get(at).filter(|name| !name.is_empty());
        name.cloned().unwrap_or_else(|| "unknown".to_owned())
    }

    /// Whether one of them has this inode.
    pub(super) fn has(&self, inode: u64) -> bool {
        self.sockets.iter().any(|socket| sockets::inode_and_owner(socket.as_fd()).is_ok_and(|(own, _)| own == inode))
    }
}
