//! Running the restart command.

use std::process::Stdio;
use std::time::Duration;

use adieu_core::signal::Signal;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::process;
use tokio::process::{Child, Command};

/// How a restart command ended: `Ok`, or what to tell.
pub(crate) async fn restart(command: &str, limit: Duration) -> Result<(), String> {
    let mut shell = Command::new("/bin/sh");
    // What it starts in the background may live on: nothing of its output is waited for.
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut running = Running(shell.spawn().map_err(|error| format!("cannot run /bin/sh: {error}"))?);
    match tokio::time::timeout(limit, running.0.wait()).await {
        Err(_) => Err(format!("the restart command took longer than {} s", limit.as_secs())),
        Ok(Err(error)) => Err(format!("the restart command was lost: {error}")),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("the restart command failed: {status}")),
    }
}

/// A command that has not ended; dropped, it is killed with all that it has started and not left to others.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone when it has been waited for.
        let Some(pid) = self.0.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
        for pid in process::descendants(pid) {
            drop(Pidfd::open(pid).and_then(|target| target.send(Signal::KILL)));
        }
    }
}
