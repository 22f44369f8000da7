//! Running the restart command.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How a restart command ended: `Ok`, or what to tell.
pub(crate) async fn restart(command: &str, limit: Duration) -> Result<(), String> {
    let mut shell = Command::new("/bin/sh");
    // What it starts in the background may live on: nothing of its output is waited for.
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = shell.spawn().map_err(|error| format!("cannot run /bin/sh: {error}"))?;
    match tokio::time::timeout(limit, child.wait()).await {
        Err(_) => Err(format!("the restart command took longer than {} s", limit.as_secs())),
        Ok(Err(error)) => Err(format!("the restart command was lost: {error}")),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("the restart command failed: {status}")),
    }
}
