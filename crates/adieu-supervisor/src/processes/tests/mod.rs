//! Real programs, started without a keeper as by `--sockets off`, each test in a process of its own.

mod background;
mod ends;
mod environment;
mod fake_keepers;
mod killing;
mod looks;
mod output;
mod reach;
mod roles;
mod search;
mod starts;
mod trees;

use adieu_core::ids::Pid;
use adieu_core::outcome::Outcome;
use adieu_core::signal::Signal;
use adieu_core::switch::{Generation, RequestId};
use adieu_linux::process;
use adieu_linux::spawn::Report;
use adieu_linux::wait::Change as Changed;

use super::{Change, Processes, Role, Start, StartError};
use crate::options::Sockets;
use crate::process_table::ProcessTable;
use crate::testing::{World, until};

pub(super) const FIRST: Generation = Generation::FIRST;
pub(super) const SECOND: Generation = Generation::new(2);

/// Nothing is known of sockets, and generation 1 starts.
pub(super) fn plain() -> World {
    let mut world = World::starting();
    world.options.sockets = Sockets::Off;
    world
}

/// A shell that does this.
pub(super) fn shell(script: &str) -> Processes {
    crate::testing::processes(&["/bin/sh", "-c", script])
}

pub(super) fn try_start(
    processes: &mut Processes,
    world: &World,
    generation: Generation,
    (request, change): (Option<RequestId>, Option<&Change>),
) -> Result<Option<Report>, StartError> {
    let view = world.view();
    processes.prepare(&view);
    let variables = processes.facts(&view, generation);
    let start = Start { generation, request, change, variables, pass: Vec::new(), watch_connects: false };
    processes.start(&view, start)
}

/// Starts `generation`; the pid of its main process.
pub(super) fn start(processes: &mut Processes, world: &World, generation: Generation) -> Pid {
    assert_eq!(try_start(processes, world, generation, (None, None)).expect("it starts"), None);
    let main = processes.main(generation).expect("its pid is known");
    // Signals are sent to it: they must not reach anybody else.
    assert_eq!(process::stat(main).expect("it is there").ppid, Some(process::own_pid()));
    main
}

/// A shell that does this, started as generation 1.
pub(super) fn started(script: &str) -> (World, Processes, Pid) {
    let (world, mut processes) = (plain(), shell(script));
    let main = start(&mut processes, &world, FIRST);
    (world, processes, main)
}

/// Reaps until the child `pid` has ended; its last change and what it was.
pub(super) fn wait_for(processes: &mut Processes, pid: Pid) -> (Changed, Role) {
    let mut found = None;
    until("the end of a child", || {
        for (child, change) in processes.reap() {
            let role = processes.role_of(child, change);
            if let Role::Main(generation) = role
                && let Some(outcome) = processes.outcome_of(generation, change)
            {
                processes.main_ended(generation, outcome);
            }
            // On a terminal it may have been stopped and continued before.
            if child == pid && matches!(change, Changed::Exited(_) | Changed::Signaled(_)) {
                found = Some((change, role));
            }
        }
        found.is_some()
    });
    found.expect("just found")
}

/// How the main process of generation 1 ends.
pub(super) fn end_of(processes: &mut Processes) -> Outcome {
    let main = processes.main(FIRST).expect("it was started");
    assert_eq!(wait_for(processes, main).1, Role::Main(FIRST));
    processes.outcome(FIRST).expect("it has ended")
}

/// Waits until `generation` has so many living processes; their names.
pub(super) fn grown(processes: &Processes, generation: Generation, count: usize) -> Vec<String> {
    until("enough processes", || processes.names_of(generation).len() >= count);
    processes.names_of(generation)
}

pub(super) fn state_of(pid: Pid) -> Option<char> {
    process::stat(pid).ok().map(|stat| stat.state)
}

/// Stops the main process, by a signal that nobody can ignore.
pub(super) fn stop(pid: Pid) {
    process::signal_child(pid, Signal::STOP).expect("our child");
    until("a stop", || state_of(pid) == Some('T'));
}
