//! What `adieu status` shows.

use std::os::fd::AsFd;

use adieu_core::wire::{GenerationStatus, ListenerStatus, PathStatus, Status};
use adieu_linux::{clock, named, process, sockets};

use crate::supervisor::Supervisor;

impl Supervisor {
    pub(crate) fn status(&mut self) -> Status {
        self.drop_all_unheld();
        self.mind_foreign();
        let connections = self.count_connections();
        let now = clock::now();
        let generations = self.switch.statuses().map(|status| {
            let running = self.running.get(&status.generation);
            let listeners = self.groups.of(status.generation).filter_map(|(_, socket)| {
                let endpoint = socket.endpoint?;
                Some(ListenerStatus {
                    endpoint,
                    queue: sockets::accept_queue(socket.fd.as_fd()).unwrap_or(0),
                    target: self.groups.is_target(&endpoint, status.generation),
                })
            });
            let paths = self.paths.of(status.generation).filter(|listener| listener.listens);
            let paths = paths.map(|listener| PathStatus {
                path: listener.name.to_string(),
                waited_for: listener.fd.as_ref().is_some_and(|fd| named::is_waited_for(fd.as_fd())),
                target: self.paths.is_target(listener),
            });
            GenerationStatus {
                generation: status.generation,
                phase: status.phase,
                ready: status.ready,
                pid: running.filter(|running| running.is_alive()).map_or(0, |running| running.main),
                pids: self.members(status.generation),
                uptime: (now - status.started).as_secs_f64(),
                outcome: running.and_then(|running| running.outcome),
                listeners: listeners.collect(),
                paths: paths.collect(),
                connections: connections.get(&status.generation).copied().unwrap_or_default(),
            }
        });
        let text = |argument: &std::ffi::OsString| argument.to_string_lossy().into_owned();
        Status {
            name: self.name.clone(),
            pid: process::own_pid(),
            command: self.spec.command.iter().map(text).collect(),
            uptime: (now - self.started).as_secs_f64(),
            sockets: self.options.sockets.name().to_owned(),
            notes: self.notes.clone(),
            generations: generations.collect(),
        }
    }
}
