//! Stops this process right before or after a named action of the switch, so that a test can put a fault exactly there; and
//! records what a run has done, so that another supervisor can be held to it.
//!
//! Only built with the feature `failpoints`, which the tests of `adieu-cli` ask for and nothing that is shipped has. The
//! variable `ADIEU_FAILPOINT` says where to stop, as `before spawn 2`: the action's name in the timeline, and its generation. The
//! first time that it is reached, this process stops itself (SIGSTOP), as long as nobody continues it.
//!
//! `ADIEU_RECORD` names a directory that gets a file for each run: the policy of its switch at the start, and at the end its
//! timeline and its system calls. One that is killed leaves the policy alone.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;

use adieu_core::signal::Signal;
use adieu_core::switch::{Action, Switch};
use adieu_linux::pidfd::Pidfd;
use adieu_linux::{clock, process, trace};
use serde_json::{Value, json};

use crate::journal::Journal;

/// When to stop; taken out when it has been reached.
static MOMENT: Mutex<Option<String>> = Mutex::new(None);

/// Where to record, if anywhere.
static RECORD: Mutex<Option<File>> = Mutex::new(None);

/// Reads the variables; before the first action.
pub(crate) fn prepare(name: &str, switch: &Switch) {
    if let Ok(mut wanted) = MOMENT.lock() {
        *wanted = std::env::var("ADIEU_FAILPOINT").ok();
    }
    if let (Ok(directory), Ok(mut record)) = (std::env::var("ADIEU_RECORD"), RECORD.lock()) {
        // The test runner says which test it is. The time sorts the runs of one, and makes their names differ.
        let test = std::env::var("NEXTEST_TEST_NAME").unwrap_or_default();
        let file = format!("{directory}/{test},{name},{:020}", clock::wall().as_nanos());
        *record = File::create_new(file).ok();
        trace::begin();
        write(record.as_ref(), &[json!({ "policy": switch.policy() })]);
    }
}

/// Writes down what this run has done; at its end.
pub(crate) fn record(journal: &Journal, code: i32) {
    let entries = journal.entries().map(|entry| json!({ "entry": entry }));
    let calls = trace::take().into_iter().map(|call| json!({ "call": call }));
    let end = json!({ "end": code, "dropped": journal.dropped() });
    if let Ok(record) = RECORD.lock() {
        write(record.as_ref(), &entries.chain(calls).chain([end]).collect::<Vec<_>>());
    }
}

/// Nobody needs a record that could not be written: it is missed when it is compared.
fn write(record: Option<&File>, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if let Some(mut record) = record {
        drop(record.write_all(text.as_bytes()));
    }
}

/// Stops here if this is the moment.
pub(crate) fn at(moment: &str, action: Action) {
    trace::say(format_args!("{}", name(moment, action).unwrap_or_default()));
    let Ok(mut wanted) = MOMENT.lock() else { return };
    if wanted.as_ref().is_some_and(|wanted| Some(wanted) == name(moment, action).as_ref()) {
        *wanted = None;
        drop(Pidfd::open(process::own_pid()).and_then(|own| own.send(Signal::STOP)));
    }
}

fn name(moment: &str, action: Action) -> Option<String> {
    let Ok(Value::Object(action)) = serde_json::to_value(action) else { return None };
    let (name, about) = action.into_iter().next()?;
    let generation = about.as_array().and_then(|all| all.first()).unwrap_or(&about).clone();
    Some(format!("{moment} {name} {generation}"))
}

#[cfg(test)]
mod tests {
    use adieu_core::switch::{Generation, RequestId};

    use super::*;

    #[test]
    fn moments_are_named_as_the_timeline_names_actions() {
        assert_eq!(name("before", Action::Switch(Generation::new(2))).as_deref(), Some("before switch 2"));
        assert_eq!(
            name("after", Action::Spawn(Generation::new(3), Some(RequestId::FIRST))).as_deref(),
            Some("after spawn 3")
        );
        assert_eq!(name("before", Action::WatchQueues(Generation::FIRST)).as_deref(), Some("before watch_queues 1"));
    }
}
