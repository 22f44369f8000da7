//! The child processes of one application, which must not outlive it.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, Weak};

use adieu_core::signal::Signal;
use rustix::process::{Pid, Signal as Raw, kill_process, kill_process_group};

use crate::lock::lock;

/// A child that may be signalled: its pid, until it is reaped and the pid may belong to another process.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    name: String,
    /// `None` once it has been reaped. Signals are sent and the child is reaped under this lock.
    alive: Mutex<Option<Pid>>,
}

impl ChildProcess {
    pub(crate) fn new(name: String, pid: Option<Pid>) -> Self {
        Self { name, alive: Mutex::new(pid) }
    }

    /// Returns the process id, or `None` once the child has been reaped.
    pub(crate) fn id(&self) -> Option<u32> {
        lock(&self.alive).map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Waits for the child and reaps it.
    pub(crate) async fn reaped(&self, mut process: tokio::process::Child) -> io::Result<ExitStatus> {
        let mut wait = pin!(process.wait());
        poll_fn(|context| {
            let mut alive = lock(&self.alive);
            let polled = wait.as_mut().poll(context);
            if polled.is_ready() {
                *alive = None;
            }
            polled
        })
        .await
    }

    /// Sends a signal to the child, unless it has been reaped.
    pub(crate) fn signal(&self, signal: Signal) {
        let alive = lock(&self.alive);
        if let (Some(pid), Some(raw)) = (*alive, Raw::from_named_raw(signal.number())) {
            // Not reaped, so it is ours: no error is possible but its having changed to another user.
            let _sent = kill_process(pid, raw);
            // A stopped process acts on nothing else.
            let _continued = kill_process(pid, Raw::CONT);
        }
    }

    /// Kills the child and whatever it has started in its process group; false if it has ended already.
    pub(crate) fn kill(&self) -> bool {
        let alive = lock(&self.alive);
        let Some(pid) = *alive else { return false };
        // An error means that nothing is left to kill, or that it belongs to another user by now.
        let _killed = kill_process_group(pid, Raw::KILL).or_else(|_| kill_process(pid, Raw::KILL));
        true
    }
}

/// The children of one application, to be killed at the deadline and at the third signal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Children(Arc<Mutex<Vec<Weak<ChildProcess>>>>);

impl Children {
    pub(crate) fn add(&self, child: &Arc<ChildProcess>) {
        let mut children = lock(&self.0);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(child));
    }

    /// Kills the children that are still there and returns their names, without waiting for their end.
    pub(crate) fn kill(&self) -> Vec<String> {
        let children: Vec<Arc<ChildProcess>> = lock(&self.0).iter().filter_map(Weak::upgrade).collect();
        children.iter().filter(|child| child.kill()).map(|child| child.name.clone()).collect()
    }
}
