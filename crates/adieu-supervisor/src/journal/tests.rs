use std::time::Duration;

use adieu_core::switch::Event;

use super::*;
use crate::testing::alone;

const AT: Timestamp = Timestamp::from_origin(Duration::from_micros(1_500));

fn texts(journal: &Journal) -> Vec<&str> {
    let text = |entry: &'_ Entry| if let Record::Note(_) = &entry.what { entry.at == AT } else { false };
    let notes = journal.entries().filter(|entry| text(entry));
    notes.map(|entry| if let Record::Note(text) = &entry.what { text.as_str() } else { "" }).collect()
}

/// The lines of the log in what a test's process has said.
fn logged(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.strip_prefix("adieu: ")).collect()
}

#[test]
fn each_kind_of_note_goes_where_it_belongs() {
    let said = alone(|| {
        let mut journal = Journal::new(false, "web");
        for _ in 0..2 {
            journal.note(AT, Note::Plain("plain".to_owned()));
            journal.note(AT, Note::Log("log".to_owned()));
            journal.note(AT, Note::Once("once".to_owned()));
            journal.note(AT, Note::Quiet("quiet".to_owned()));
        }
        assert_eq!(texts(&journal), ["plain", "once", "quiet", "plain"]);
        assert_eq!(journal.notes(), ["once", "quiet"]);
    });
    if let Some(said) = said {
        assert_eq!(logged(&said), ["plain", "log", "once", "plain", "log"]);
    }
}

#[test]
fn what_was_said_once_is_not_said_quietly_again() {
    drop(alone(|| {
        let mut journal = Journal::new(false, "web");
        journal.note(AT, Note::Once("text".to_owned()));
        journal.note(AT, Note::Quiet("text".to_owned()));
        assert_eq!((texts(&journal).len(), journal.notes().len()), (1, 1));
    }));
}

#[test]
fn a_program_that_makes_us_say_much_does_not_make_the_status_grow() {
    let said = alone(|| {
        let mut journal = Journal::new(false, "web");
        for number in 0..100 {
            journal.note(AT, Note::Once(number.to_string()));
        }
        let expected: Vec<String> = (0..MOST_NOTES).map(|number| number.to_string()).collect();
        assert_eq!(journal.notes(), expected);
        assert_eq!(texts(&journal).len(), 100, "the timeline has all");
    });
    assert!(said.is_none_or(|said| logged(&said).len() == 100));
}

#[test]
fn the_timeline_keeps_the_last_entries_and_counts_the_others() {
    let mut journal = Journal::new(false, "web");
    assert_eq!((journal.entries().count(), journal.dropped()), (0, 0));
    journal.record(AT, Record::Input(Event::Start));
    assert_eq!(journal.entries().cloned().collect::<Vec<_>>(), [Entry { at: AT, what: Record::Input(Event::Start) }]);
    for _ in 0..TIMELINE_ENTRIES {
        journal.record(AT, Record::Input(Event::Stop));
    }
    assert_eq!((journal.entries().count(), journal.dropped()), (TIMELINE_ENTRIES, 1));
    assert!(journal.entries().all(|entry| entry.what == Record::Input(Event::Stop)));
}

#[test]
fn a_log_in_json_has_one_object_a_line() {
    let said = alone(|| {
        let mut journal = Journal::new(true, "web");
        journal.note(AT, Note::Log("it says \"so\"\nand so".to_owned()));
        journal.note(AT, Note::Plain("more".to_owned()));
    });
    let Some(said) = said else { return };
    let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    let lines: Vec<_> = said.lines().filter_map(read).filter(serde_json::Value::is_object).collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert_eq!(lines[0]["message"], "it says \"so\"\nand so");
    assert_eq!((&lines[1]["name"], &lines[1]["monotonic"]), (&"web".into(), &1_500.into()));
    assert!(lines[0]["time"].as_f64().is_some_and(|time| time > 1.6e9), "{said}");
}
