//! What threads do, for people.

use std::collections::BTreeMap;

use crate::facts::{Facts, Thread};

/// The system call for evidence.
pub(super) fn call(thread: &Thread) -> String {
    match thread.call {
        Some(call) => call.name.map_or_else(|| call.number.to_string(), |name| format!("{} ({name})", call.number)),
        None => format!("state {}", thread.state),
    }
}

/// What a thread does, for people.
pub(crate) fn doing(thread: &Thread) -> String {
    let place = thread.call.and_then(|call| call.name).map(str::to_owned).or_else(|| thread.sleeps_in.clone());
    let what = thread.waits_for.as_ref().map(|awaited| awaited.told_by(thread.id)).unwrap_or_default();
    match (thread.busy, place) {
        (true, _) => "computes".to_owned(),
        (false, Some(place)) => format!("waits in {place}{what}"),
        (false, None) if thread.state == 'R' => "runs".to_owned(),
        (false, None) => format!("is in state {}", thread.state),
    }
}

/// What its threads do, those that do the same together.
#[must_use]
pub fn summary(facts: &Facts) -> String {
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for thread in facts.threads.iter().skip(1) {
        *groups.entry(doing(thread)).or_default() += 1;
    }
    let mut parts: Vec<String> =
        facts.main().map(|main| format!("its main thread {}", doing(main))).into_iter().collect();
    let mut groups: Vec<(String, usize)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    parts.extend(groups.into_iter().take(4).map(|(what, count)| match count {
        1 => format!("another one {what}"),
        _ => format!("{count} others: {what}"),
    }));
    parts.join("; ")
}
