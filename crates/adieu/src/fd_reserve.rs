//! File descriptors that are kept back for the stop of a process that has used up all others.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lock::lock;

/// How many. A deregistration needs one for its connection and one or two for the lookup of a name, the removal of a
/// directory one for each level, a command some for its pipes.
const KEPT: usize = 8;

/// The descriptors; see the module.
#[derive(Debug, Default)]
pub(crate) struct FdReserve {
    kept: Mutex<Vec<OwnedFd>>,
    short: AtomicBool,
}

impl FdReserve {
    /// Opens the descriptors, as many as possible.
    pub(crate) fn fill(&self) {
        // Any descriptor would do. A socket needs no file, but a sandbox may forbid it.
        let first = UnixDatagram::unbound().map(OwnedFd::from);
        let first = first.or_else(|_| std::fs::File::open("/dev/null").map(OwnedFd::from));
        let mut kept: Vec<OwnedFd> = first.into_iter().collect();
        while let Some(Ok(next)) = kept.last().map(OwnedFd::try_clone)
            && kept.len() < KEPT
        {
            kept.push(next);
        }
        *lock(&self.kept) = kept;
    }

    /// Closes the descriptors, as a stop begins.
    pub(crate) fn release(&self) {
        let kept = std::mem::take(&mut *lock(&self.kept));
        // Whether the process had no other descriptor at this moment.
        if kept.first().is_some_and(|one| one.as_fd().try_clone_to_owned().is_err()) {
            self.short.store(true, Ordering::SeqCst);
        }
        drop(kept);
    }

    /// Whether the process had no other descriptor left at the [`release`](Self::release), so that each one is needed
    /// by the stop.
    #[cfg(all(feature = "http", unix))]
    pub(crate) fn were_the_last(&self) -> bool {
        self.short.load(Ordering::SeqCst)
    }
}
