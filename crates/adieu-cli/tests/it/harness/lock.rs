//! One thing at a time, whichever process or thread the tests run in: nextest gives each test a process, cargo's
//! own runner a thread.

use std::fs::{self, File};

use rustix::fs::{FlockOperation, flock};

use super::target;

/// Held until dropped, also by a process that crashes.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub(crate) struct Lock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

fn open(name: &str) -> File {
    let directory = target().join("servers").join("locks");
    fs::create_dir_all(&directory).expect("the build directory is writable");
    let path = directory.join(name);
    File::options().create(true).truncate(false).write(true).open(path).expect("a lock file can be made")
}

/// Waits for the lock of this name.
pub(crate) fn wait(name: &str) -> Lock {
    let file = open(name);
    flock(&file, FlockOperation::LockExclusive).expect("flock works on the build directory");
    Lock(file)
}

/// Takes the lock of this name if nobody has it.
pub(crate) fn try_take(name: &str) -> Option<Lock> {
    let file = open(name);
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok().map(|()| Lock(file))
}

/// The machine, for a test that judges what happens under load.
pub(crate) fn the_machine() -> Lock {
    wait("machine")
}
