//! The text that says what is running, for SIGUSR1.

use std::collections::HashMap;
use std::fmt::Write;

use adieu_core::stop_plan::{ComponentId, Phase, Start, State, StopPlan};

use crate::clock;
use crate::control::Control;
use crate::report::short;
use crate::work::RunningWork;

pub(crate) fn text(
    app: &str,
    machine: &StopPlan,
    running: &HashMap<(ComponentId, Option<Phase>), RunningWork>,
    control: &Control,
) -> String {
    let now = clock::now();
    let state = match machine.state() {
        State::Idle | State::Starting => "starting".to_owned(),
        State::Serving => "serving".to_owned(),
        State::Cancelling => "stopping: starts are being cancelled".to_owned(),
        State::Stopping(phase) => format!("stopping: {phase}"),
        State::Ended => "closed".to_owned(),
    };
    let left = machine.deadline().map(|at| format!(", {} to the deadline", short(at.since(now)))).unwrap_or_default();
    let mut text = format!("{app}: {state}{left}\n");
    for (id, component) in machine.plan().components() {
        let since = |phase| running.get(&(id, phase)).map(|of| short(now.since(of.since)));
        let mut line = match machine.start(id) {
            Start::Waiting => "waits to be started".to_owned(),
            Start::Running { .. } => format!("starting for {}", since(None).unwrap_or_default()),
            Start::Cancelled { .. } => "its start has been cancelled".to_owned(),
            Start::Started => "up".to_owned(),
            Start::Failed(_) => "its start has failed".to_owned(),
            Start::Leaked => "its start was cancelled and has not ended".to_owned(),
        };
        for phase in Phase::WORK {
            if let Some(since) = since(Some(phase)) {
                // Writing to a string cannot fail.
                let _written = write!(line, ", {phase} for {since}");
            }
        }
        // As above.
        let _written = writeln!(text, "  {}: {line}", component.name);
    }
    for of in control.in_flight().list(now) {
        let age = if of.exact { format!(", {}", short(of.age)) } else { String::new() };
        // As above.
        let _written = writeln!(text, "  in flight: {} × {} at {}{age}", of.count, of.name, of.place);
    }
    text
}
