//! What is recorded, as lines that can be compared: without what is different in each run, and in several [forms](Form).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use adieu_core::signal::Signal;
use adieu_core::switch::Event;

pub(super) type Lines = Vec<String>;

/// How exactly lines are compared, the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// The sequence.
    Exact,
    /// The sequence without what comes by chance, and with repetitions told once.
    Collapsed,
    /// As that, of each [subject](split) by itself: in which order they take turns is left open.
    Apart,
    /// As that, but of some subject only which lines there are.
    Set,
    /// As that, but of some subject the lines of each run before must be there, and no others than those of any run before.
    Between,
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact sequence",
            Self::Collapsed => "repetitions collapsed",
            Self::Apart => "each subject apart",
            Self::Set => "some subject as a set",
            Self::Between => "some subject between two sets",
        }
    }

    fn of(self, lines: &[String]) -> Lines {
        match self {
            Self::Exact => lines.to_vec(),
            Self::Collapsed | Self::Apart => collapse(lines),
            Self::Set | Self::Between => lines.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        }
    }

    /// The first of these in which all runs are the same, and how that one differs from each run of `after`.
    fn strictest(forms: &[Self], before: &[Lines], after: &[Lines]) -> Option<(Self, Option<String>)> {
        let first = before.first()?;
        let agrees = |form: &&Self| before.iter().all(|run| form.of(run) == form.of(first));
        let form = *forms.iter().find(agrees)?;
        Some((form, least(after, |run| difference(&form.of(first), &form.of(run)))))
    }
}

/// In which form `before` agrees with itself, and how `after` differs from it in that form. One run of `after` that does not
/// is enough: what happens by chance in one of two is no change of the program.
pub(super) fn differs(before: &[Lines], after: &[Lines]) -> (Form, Option<String>) {
    let Some((form, difference)) = Form::strictest(&[Form::Exact, Form::Collapsed], before, after) else {
        return differ_apart(before, after);
    };
    // More likely chance than what differs in this way, too.
    let is_order = || differ_apart(before, after).1.is_none();
    let told = difference.map(|text| if is_order() { text + "  (the same, each subject apart)\n" } else { text });
    (form, told)
}

fn differ_apart(before: &[Lines], after: &[Lines]) -> (Form, Option<String>) {
    let (before, after): (Vec<_>, Vec<_>) = (before.iter().map(split).collect(), after.iter().map(split).collect());
    let subjects: BTreeSet<&String> = before.iter().chain(&after).flat_map(BTreeMap::keys).collect();
    let (mut weakest, mut found) = (Form::Apart, String::new());
    for subject in subjects {
        let of = |runs: &[BTreeMap<String, Lines>]| {
            runs.iter().map(|run| run.get(subject).cloned().unwrap_or_default()).collect::<Vec<_>>()
        };
        let (before, after) = (of(&before), of(&after));
        let (form, difference) = Form::strictest(&[Form::Apart, Form::Set], &before, &after)
            .unwrap_or_else(|| (Form::Between, least(&after, |run| outside(&before, run))));
        weakest = weakest.max(form);
        found.extend(difference.map(|text| format!("  {subject}:\n{text}")));
    }
    (weakest, (!found.is_empty()).then_some(found))
}

/// The shortest of the differences; none if one of them is none.
fn least(runs: &[Lines], difference: impl Fn(&Lines) -> String) -> Option<String> {
    runs.iter().map(difference).min_by_key(String::len).filter(|text| !text.is_empty())
}

/// Where two sequences part and come together again; empty if they are the same.
pub(super) fn difference(before: &[String], after: &[String]) -> String {
    let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[same..], &after[same..]);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    show('-', &before[..before.len() - tail]) + &show('+', &after[..after.len() - tail])
}

/// What is missing in `run` although all runs before had it, and what it has and none of those had.
fn outside(before: &[Lines], run: &Lines) -> String {
    let set = |lines: &Lines| lines.iter().cloned().collect::<BTreeSet<String>>();
    let all = before.iter().map(set).reduce(|a, b| &a & &b).unwrap_or_default();
    let any: BTreeSet<String> = before.iter().flat_map(set).collect();
    let minus = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Lines>();
    show('-', &minus(&all, &set(run))) + &show('+', &minus(&set(run), &any))
}

fn show(sign: char, lines: &[String]) -> String {
    /// Lines that are shown; what comes after them is counted.
    const SHOWN: usize = 12;
    let mut shown: String = lines.iter().take(SHOWN).map(|line| format!("  {sign} {line}\n")).collect();
    if lines.len() > SHOWN {
        shown.push_str(&format!("  {sign} and {} more\n", lines.len() - SHOWN));
    }
    shown
}

/// Leaves out what comes by chance, and tells once what is repeated right after itself.
fn collapse(lines: &[String]) -> Lines {
    /// The longest repeated sequence that is recognized.
    const LONGEST: usize = 16;
    let mut kept = Lines::new();
    for line in lines.iter().filter(|line| !is_chance(line)) {
        kept.push(line.clone());
        let repeats = |length: &usize| {
            let (earlier, last) = (kept.len().checked_sub(2 * length), kept.len() - length);
            earlier.is_some_and(|earlier| kept[earlier..last] == kept[last..])
        };
        if let Some(length) = (1..=LONGEST.min(kept.len())).find(repeats) {
            kept.truncate(kept.len() - length);
        }
    }
    kept
}

/// Whether a line only tells that time has passed, how many clients were in the middle of something, or that a kill has found
/// somebody: it looks again until nobody is left, and one that is dying may be gone at the first look.
fn is_chance(line: &str) -> bool {
    let counts = line.starts_with("note ") && ["# connections", "# requests"].iter().any(|what| line.contains(what));
    counts || line == format!("input {:?}", Event::Timeout) || line.starts_with(&format!("send {}", Signal::KILL))
}

/// Sorts lines by what they are about: those of a timeline, and calls within an action of the machine, by the first number
/// that is told there, mostly a generation; other calls by what is called.
fn split(lines: &Lines) -> BTreeMap<String, Lines> {
    let mut subjects: BTreeMap<String, Lines> = BTreeMap::new();
    let mut actions: Vec<String> = Vec::new();
    let number = |line: &str| {
        let from = line.trim_start_matches(|c: char| !c.is_ascii_digit());
        from.chars().take_while(char::is_ascii_digit).collect::<String>()
    };
    for line in lines {
        let subject = match line.split_once(' ') {
            Some(("before", _)) => {
                actions.push(number(line));
                actions.last().cloned()
            }
            Some(("after", _)) => actions.pop(),
            Some(("input" | "output" | "note", what)) => Some(number(what)),
            _ => actions.last().cloned(),
        };
        let call = || line.split(" at ").next().unwrap_or_default().split(" to ").next().unwrap_or_default().to_owned();
        subjects.entry(subject.unwrap_or_else(call)).or_default().push(line.clone());
    }
    subjects
}

/// A note without what is different in each run: pids, ports, times, counts, and the names of temporary directories.
/// Numbers of generations, exit codes and the like stay, and so do digits in words and addresses.
pub(super) fn mask_note(text: &str) -> String {
    const KEPT_AFTER: [&str; 5] = ["generation ", "code ", "status ", "READY=", "error "];
    let text = mask_temporary(text);
    let (mut masked, mut rest) = (String::new(), text.as_str());
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        masked.push_str(before);
        let length = number.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(number.len());
        let number = number[..length].trim_end_matches('.');
        let in_word = masked.ends_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_address = number.parse::<Ipv4Addr>().is_ok() || masked.ends_with("[::");
        let kept = in_word || is_address || KEPT_AFTER.iter().any(|word| masked.ends_with(word));
        masked.push_str(if kept { number } else { "#" });
        rest = &rest[at + number.len()..];
    }
    masked.push_str(rest);
    // Lists of processes and connections: how many there were is chance.
    let mut items: Vec<&str> = masked.split(", ").collect();
    items.dedup_by(|item, before| before.ends_with(*item));
    items.join(", ")
}

/// A call, whose numbers are masked already, without the pids in the names of sockets.
pub(super) fn mask_call(text: &str) -> String {
    /// As long as the shortest number that is taken for a pid.
    const PID: usize = 4;
    let named =
        ["bind to ", "link ", "unlink ", "rename ", "set mode ", "give "].iter().any(|call| text.starts_with(call));
    let parts = text.split_inclusive(|c: char| !c.is_ascii_digit());
    let mask = |part: &str| {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        if named && digits.len() >= PID { part.replace(digits, "#") } else { part.to_owned() }
    };
    parts.map(mask).collect()
}

/// Replaces the parts of paths that `mkdtemp` and its like have made up.
fn mask_temporary(text: &str) -> String {
    let mask = |part: &str| {
        let end = part.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        if name.starts_with(".tmp") || (name.starts_with("tmp") && name.len() > 3) {
            format!("*{rest}")
        } else {
            part.to_owned()
        }
    };
    text.split('/').map(mask).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn notes_lose_what_differs_in_each_run_and_nothing_else() {
        for (note, masked) in [
            ("generation 12 exited with code 3", "generation 12 exited with code 3"),
            (
                "generation 1: killing 4711 (sh), 4712 (python3), 4713 (python3)",
                "generation 1: killing # (sh), # (python3)",
            ),
            (
                "gave up 2 connections after 500ms: 127.0.0.1:5, 127.0.0.1:6",
                "gave up # connections after #ms: 127.0.0.1:#",
            ),
            ("not ready after 0.5s, and goes on", "not ready after #s, and goes on"),
            ("it listens on [::1]:80 (IPv6 only).", "it listens on [::1]:# (IPv6 only)."),
            ("no unix:/tmp/.tmpAb1/tmpx_9/socket, READY=1", "no unix:/tmp/*/*/socket, READY=1"),
        ] {
            assert_eq!(mask_note(note), masked);
        }
    }

    #[test]
    fn calls_lose_the_pids_in_names() {
        for (call, masked) in [
            ("link ha.sock.4711.tmp to .ha.2", "link ha.sock.#.tmp to .ha.2"),
            ("set mode 755 of .socket.2", "set mode 755 of .socket.2"),
            ("set 1:8 to 65536 at 127.0.0.1 port no. 0", "set 1:8 to 65536 at 127.0.0.1 port no. 0"),
        ] {
            assert_eq!(mask_call(call), masked);
        }
    }

    #[test]
    fn repetitions_are_told_once() {
        assert_eq!(collapse(&lines("a a b c b c b c d")), lines("a b c d"));
        assert_eq!(collapse(&lines("a b a c")), lines("a b a c"));
        let chance =
            ["note 1 has died: # connections were lost", "input Timeout", "send SIGKILL to a group", "send SIGTERM"];
        assert_eq!(collapse(&chance.map(str::to_owned)), ["send SIGTERM"]);
    }

    #[test]
    fn calls_belong_to_the_action_that_makes_them() {
        let all = ["before switch 2", "attach 51 at x", "after switch 2", "set 1:18 to 1 at x", "send SIGTERM"];
        let subjects = split(&all.map(str::to_owned).to_vec());
        let of = |subject: &str| subjects[subject].join("|");
        assert_eq!(of("2"), "before switch 2|attach 51 at x|after switch 2");
        assert_eq!((of("set 1:18"), of("send SIGTERM")), ("set 1:18 to 1 at x".to_owned(), "send SIGTERM".to_owned()));
        let subjects = split(&vec!["input MainExited(2, Exited(1))".to_owned()]);
        assert_eq!(subjects.keys().collect::<Vec<_>>(), ["2"]);
    }

    #[test]
    fn a_recording_is_held_to_what_it_agrees_with_itself_in() {
        let (a, b, c) = (lines("x y z"), lines("x y y z"), lines("z y x"));
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(
            differs(&[a.clone(), a.clone()], &[b.clone(), c.clone()]),
            (Form::Exact, told("  + y\n  (the same, each subject apart)\n"))
        );
        assert_eq!(differs(&[a.clone(), a.clone()], &[lines("x y v")]), (Form::Exact, told("  - z\n  + v\n")));
        assert_eq!(differs(&[a.clone(), a.clone()], &[b.clone(), a.clone()]), (Form::Exact, None));
        assert_eq!(differs(&[a.clone(), b.clone()], std::slice::from_ref(&b)), (Form::Collapsed, None));
        assert_eq!(differs(&[a.clone(), c.clone()], &[b]), (Form::Apart, None));
        assert_eq!(differs(&[a.clone(), c], &[lines("x y v")]), (Form::Apart, told("  v:\n  + v\n  z:\n  - z\n")));
        assert_eq!(differs(&[a.clone(), lines("x y")], &[lines("y x")]), (Form::Between, None));
        assert_eq!(differs(&[a, lines("x y")], &[lines("x v")]), (Form::Between, told("  v:\n  + v\n  y:\n  - y\n")));
    }
}
