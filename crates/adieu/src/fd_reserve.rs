//! Descriptors that are kept back, so that a stop has some when nothing else has left any.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lock::lock;

/// How many. A deregistration takes one for its connection and one or two for looking up a name, the removal of a directory
/// one for each level, the start of a command some for its pipes.
const KEPT: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct FdReserve {
    kept: Mutex<Vec<OwnedFd>>,
    short: AtomicBool,
}

impl FdReserve {
    /// Takes them, as many as can be had.
    pub(crate) fn fill(&self) {
        // Any descriptor would do. This one needs no file and takes part in nothing, but a sandbox may forbid it.
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

    /// Gives them back: a stop begins.
    pub(crate) fn release(&self) {
        let kept = std::mem::take(&mut *lock(&self.kept));
        // Asked of the kernel itself, at the only moment that matters.
        if kept.first().is_some_and(|one| one.as_fd().try_clone_to_owned().is_err()) {
            self.short.store(true, Ordering::SeqCst);
        }
        drop(kept);
    }

    /// Whether they were the last when they were given back: whoever else takes one takes it from the stop.
    #[cfg(all(feature = "http", unix))]
    pub(crate) fn were_the_last(&self) -> bool {
        self.short.load(Ordering::SeqCst)
    }
}
