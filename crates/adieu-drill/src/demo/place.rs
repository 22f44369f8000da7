//! Where a demo keeps its files, and what is below it: nothing of both is left in the end.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::{process, wait};

/// A supervisor with nothing to do stops at once; who waits longer waits for nothing.
const TO_STOP: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(2);

/// A directory, and this process as the reaper of all that is started. Dropped, both are empty.
pub(super) struct Place {
    exe: PathBuf,
    directory: PathBuf,
}

impl Place {
    pub(super) fn new(exe: &Path) -> io::Result<Self> {
        // The servers of the first two acts are started by a shell that ends: so they become ours and are not lost.
        wait::become_subreaper()?;
        let directory = std::env::temp_dir().join(format!("adieu-demo-{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        Ok(Self { exe: exe.to_owned(), directory })
    }

    /// The program that is adieu and the server.
    pub(super) fn exe(&self) -> &Path {
        &self.exe
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the pid of the server is.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }

    /// Kills all that is below this process, and waits until it is gone.
    pub(super) fn clear(&self) {
        let limit = Instant::now() + TO_STOP;
        loop {
            let below = process::descendants(process::own_pid());
            if below.is_empty() || Instant::now() >= limit {
                return;
            }
            for pid in below {
                drop(Pidfd::open(pid).and_then(|target| target.send(Signal::KILL)));
                // Fails for a grandchild, which becomes a child when its parent is gone.
                drop(wait::reap_one(pid, false));
            }
            sleep(STEP);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// The supervisor of the last act. Dropped, it is stopped as a user does.
pub(super) struct Supervised(Child);

impl Supervised {
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).spawn().map(Self)
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let Ok(pid) = i32::try_from(self.0.id()) else { return };
        drop(Pidfd::open(Pid::new(pid)).and_then(|supervisor| supervisor.send(Signal::TERM)));
        let limit = Instant::now() + TO_STOP;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < limit {
            sleep(STEP);
        }
    }
}
