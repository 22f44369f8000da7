//! Running the restart command.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::process;
use tokio::process::{Child, Command};

/// A restart command that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failed {
    /// It could not be started.
    #[error("cannot run /bin/sh: {0}")]
    Start(String),
    /// It ended with another code than 0.
    #[error("`{0}` failed: exit code {1}")]
    Code(String, i32),
    /// It was ended by a signal.
    #[error("`{0}` was ended by {1}")]
    Signal(String, Signal),
    /// It has not ended.
    #[error(
        "`{0}` took longer than {1:?} and was killed with all that it had started (a server that it starts must go to the background: `server &`)"
    )]
    Hung(String, Duration),
}

/// Runs a restart command; when dropped, it is killed with all that it has started.
pub(crate) async fn restart(command: &str, limit: Duration) -> Result<(), Failed> {
    let mut shell = Command::new("/bin/sh");
    // What it starts in the background may live on: nothing of its output is waited for.
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut running = Running(shell.spawn().map_err(|error| Failed::Start(error.to_string()))?);
    match tokio::time::timeout(limit, running.0.wait()).await {
        Err(_) => Err(Failed::Hung(command.to_owned(), limit)),
        Ok(Err(error)) => Err(Failed::Start(error.to_string())),
        Ok(Ok(status)) => judge(command, status),
    }
}

fn judge(command: &str, status: ExitStatus) -> Result<(), Failed> {
    match (status.code(), status.signal().and_then(Signal::from_number)) {
        (Some(0), _) => Ok(()),
        (_, Some(signal)) => Err(Failed::Signal(command.to_owned(), signal)),
        (code, None) => Err(Failed::Code(command.to_owned(), code.unwrap_or(-1))),
    }
}

/// A command that has not ended; dropped, it is killed with all that it has started and not left to others.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // None when it has been waited for: then its number may be somebody else's, and what it left is meant to stay.
        let Some(root) = self.0.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::new) else { return };
        // Nobody may start anybody while they are killed: each is opened, stopped, and only then its children looked at.
        let mut tree: Vec<(Pid, Pidfd)> = Vec::new();
        let mut new = vec![root];
        while !new.is_empty() {
            let opened = new.iter().filter_map(|pid| Some((*pid, Pidfd::open(*pid).ok()?)));
            tree.extend(opened.inspect(|(_, target)| drop(target.send(Signal::STOP))));
            new = process::descendants(root);
            new.retain(|pid| tree.iter().all(|(known, _)| known != pid) && Pidfd::open(*pid).is_ok());
        }
        for (_, target) in &tree {
            drop(target.send(Signal::KILL));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn how_a_command_ended() {
        assert_eq!(restart("true", LONG).await, Ok(()));
        assert_eq!(restart("exit 3", LONG).await.expect_err("3").to_string(), "`exit 3` failed: exit code 3");
        assert_eq!(restart("/no/such", LONG).await.expect_err("127").to_string(), "`/no/such` failed: exit code 127");
        let killed = restart("kill -9 $$", LONG).await.expect_err("a signal");
        assert_eq!(killed.to_string(), "`kill -9 $$` was ended by SIGKILL");
    }

    #[tokio::test]
    async fn what_a_command_leaves_in_the_background_is_not_waited_for_and_lives_on() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let file = directory.path().join("pid");
        let command = format!("sleep 60 & echo $! >'{}'", file.display());
        assert_eq!(restart(&command, LONG).await, Ok(()));
        let pid = std::fs::read_to_string(file).expect("it was written").trim().parse().expect("a number");
        assert_ne!(process::stat(pid).expect("it lives on").state, 'Z');
        Pidfd::open(pid).and_then(|sleep| sleep.send(Signal::KILL)).expect("it can be killed");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_all_that_it_has_started() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let file = directory.path().join("pids");
        let command = format!("sh -c 'sleep 61 & echo $! >>{0}; sleep 62' & echo $! >>{0}; sleep 60", file.display());
        let hung = restart(&command, Duration::from_secs(4)).await;
        assert_eq!(hung, Err(Failed::Hung(command, Duration::from_secs(4))));
        let pids = std::fs::read_to_string(file).expect("it was written");
        let pids: Vec<Pid> = pids.lines().map(|pid| pid.parse().expect("a number")).collect();
        assert_eq!(pids.len(), 2);
        for pid in pids {
            while process::stat(pid).is_ok_and(|stat| stat.state != 'Z') {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}
