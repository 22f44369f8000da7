//! What `adieu status` shows.

use adieu_core::switch;
use adieu_core::wire::{GenerationStatus, Status};
use adieu_linux::process;

use super::state::Supervisor;
use crate::process_table::ProcessTable;
use crate::view::Out;

impl Supervisor {
    pub(super) fn status(&mut self, out: &mut Out) -> Status {
        self.sockets.drop_all_abandoned(&self.processes, out);
        self.sockets.find_foreign(out);
        let view = self.machine.view();
        let mut connections = self.connections.counts(&view, &self.processes, &self.sockets);
        let now = view.now;
        let of = |status: switch::Status| {
            let generation = status.generation;
            GenerationStatus {
                generation,
                phase: status.phase,
                ready: status.ready,
                pid: self.processes.living_main(generation),
                pids: self.processes.members(generation),
                uptime: (now - status.started).as_secs_f64(),
                outcome: self.processes.outcome(generation),
                listeners: self.sockets.listener_statuses(generation),
                paths: self.sockets.path_statuses(generation),
                connections: connections.remove(&generation).unwrap_or_default(),
            }
        };
        let text = |argument: &std::ffi::OsString| argument.to_string_lossy().into_owned();
        Status {
            generations: view.switch.statuses().map(of).collect(),
            name: self.control.name().to_owned(),
            pid: process::own_pid(),
            command: self.processes.command_in_force().iter().map(text).collect(),
            uptime: (now - self.machine.started()).as_secs_f64(),
            sockets: view.options.sockets.name().to_owned(),
            notes: self.journal.notes().to_vec(),
        }
    }
}
