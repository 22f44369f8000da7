//! Stops the application when its parent process ends.

use std::io;
use std::os::unix::process::parent_id;

use crate::control::{Mailbox, Message};
use crate::report::Cause;

/// Starts a thread that sends a message when the current parent process has ended.
///
/// PDEATHSIG would not do: it fires when the *thread* ends that has started this process, and a change of the user
/// clears it.
pub(crate) fn watch(messages: Mailbox) -> io::Result<()> {
    let parent = parent_id();
    let gone = waiter(parent);
    let wait = move || {
        gone();
        messages.send(Message::Close(Cause::ParentGone));
    };
    std::thread::Builder::new().name("adieu-parent".to_owned()).spawn(wait).map(drop)
}

#[cfg(target_os = "linux")]
fn waiter(parent: u32) -> impl FnOnce() + Send + 'static {
    use std::os::fd::AsFd;

    use adieu_core::ids::Pid;
    use adieu_linux::pidfd::Pidfd;
    use adieu_linux::poll::{Readiness, poll};

    // There is no pidfd of a parent outside of this PID namespace, or of one that has ended already. Then it polls.
    let pidfd = Pidfd::open(Pid::new(parent.cast_signed())).ok().filter(|_| parent_id() == parent);
    move || match pidfd {
        Some(pidfd) => {
            let ended = |answers: Vec<Readiness>| answers.iter().any(|answer| answer.readable);
            while !poll(&[(pidfd.as_fd(), Readiness::READ)], None).is_ok_and(ended) {
                if parent_id() != parent {
                    return;
                }
            }
        }
        None => look_again_and_again(parent),
    }
}

#[cfg(not(target_os = "linux"))]
fn waiter(parent: u32) -> impl FnOnce() + Send + 'static {
    move || look_again_and_again(parent)
}

fn look_again_and_again(parent: u32) {
    while parent_id() == parent {
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}
