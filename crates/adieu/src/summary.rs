//! Makes the report of the steps that the machine has recorded.

use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::stop_plan::{Start, Step, StepState, StopPlan, Verdict};

use crate::clock;
use crate::control::Control;
use crate::record::{PhaseRecord, Record};
use crate::report::{Cause, HookReport, PhaseReport, StopReport};

pub(crate) fn report(app: &str, machine: &StopPlan, record: &mut Record, control: &Control) -> StopReport {
    let now = clock::now();
    let began = record.began.unwrap_or(now);
    let mut report = StopReport::empty(app, record.cause.take().unwrap_or(Cause::Asked));
    report.took = now.since(began);
    report.phases = record.phases.iter().map(|of| phase(of, began, now)).collect();
    // Dependents first: that is the order among those that were asked at the same moment.
    let order = machine.plan().levels();
    for id in order.into_iter().rev().flatten() {
        let name = machine.plan().name(id);
        if machine.start(id) == Start::Leaked {
            report.leaked_starts.push(name.to_owned());
        }
        for step in machine.steps(id) {
            report.hooks.push(HookReport {
                component: name.to_owned(),
                phase: step.phase,
                after: step.begun.map(|begun| begun.since(began)),
                took: took(step, now),
                verdict: verdict(step),
                error: record.errors.remove(&(id, step.phase)),
            });
        }
    }
    report.hooks.sort_by_key(|hook| (hook.phase, hook.after.unwrap_or(Duration::MAX)));
    report.in_flight = std::mem::take(&mut record.in_flight);
    report.notes = std::mem::take(&mut record.notes);
    let still = control.in_flight().count();
    if still > 0 && report.in_flight.is_empty() {
        report.in_flight = control.in_flight().list(record.gate_closed.unwrap_or(now));
    }
    report.judge(machine.was_forced());
    report
}

fn phase(of: &PhaseRecord, began: Timestamp, now: Timestamp) -> PhaseReport {
    let (until, why) = of.left.map_or((now, None), |(at, why)| (at, Some(why)));
    PhaseReport { phase: of.phase, after: of.entered.since(began), took: until.since(of.entered), why }
}

fn took(step: &Step, now: Timestamp) -> Duration {
    step.begun.map_or(Duration::ZERO, |begun| step.over.unwrap_or(now).since(begun))
}

fn verdict(step: &Step) -> Verdict {
    match step.state {
        StepState::Over(verdict) => verdict,
        StepState::Waiting => Verdict::NotRun,
        StepState::Running { .. } | StepState::Cutting { .. } => Verdict::Leaked,
    }
}
