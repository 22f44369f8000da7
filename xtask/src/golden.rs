//! Proof that a restructured supervisor does what the one before it did: `record` has the tests note the timeline and the
//! system calls of every instance that they start, `compare` holds one recording to another.
//!
//! Each recording has two runs. What differs between those says how exactly a scenario can be held to at all: it is compared
//! in the strictest [form](Form) in which the earlier recording agrees with itself. One run of the later recording that
//! agrees is enough, as what happens by chance in one of the two is no change of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use adieu_core::switch::{Action, Event, Policy};
use adieu_core::timeline::{Entry, What, replay};
use serde::Deserialize;
use serde_json::Value;

use crate::command::{Failure, Outcome, cargo};
use crate::pypi;

const RUNS: [&str; 2] = ["run-1", "run-2"];

/// The tests that start `adieu run` and do not judge it by measuring.
const TESTS: &str =
    "binary_id(adieu-cli::it) & test(/^(failures|sockets|init::(restarts|killing|hooks|control|signals))::/)";

/// `nextest run` has this exit code when tests failed.
const TESTS_FAILED: i32 = 100;

/// Runs the tests twice and leaves a file for each instance in `directory`.
pub(crate) fn record(directory: &str) -> Outcome {
    pypi::NEXTEST.ensure()?;
    for run in RUNS {
        let into = Path::new(directory).join(run);
        fs::create_dir_all(&into)?;
        if fs::read_dir(&into)?.next().is_some() {
            return Err(Failure(format!("{} is not empty", into.display())));
        }
        // Some instances are started by other users.
        fs::set_permissions(&into, fs::Permissions::from_mode(0o1777))?;
        // Built as `cargo xtask test` builds it.
        let words = ["nextest", "run", "--workspace", "--features", "adieu/tls", "--no-fail-fast", "-E", TESTS];
        let mut tests = cargo(&words);
        let status = pypi::NEXTEST.lend_to(&mut tests)?.env("ADIEU_RECORD", into.canonicalize()?).status()?;
        match status.code() {
            Some(0) => {}
            Some(TESTS_FAILED) => println!("==> some tests failed; what they have recorded is kept"),
            _ => return Err(Failure(format!("the tests could not be run: {status}"))),
        }
    }
    Ok(())
}

/// Says how `after` differs from `before`; fails if it does, or if a record does not replay.
pub(crate) fn compare(before: &str, after: &str) -> Outcome {
    let load =
        |directory: &str| RUNS.iter().map(|run| load(&Path::new(directory).join(run))).collect::<Outcome<Vec<_>>>();
    let (before, after) = (load(before)?, load(after)?);
    let mut differences = 0;
    for (name, run) in before.iter().chain(&after).flatten() {
        if let Some(text) = run.replays_wrong() {
            differences += 1;
            println!("{name} does not replay\n{text}");
        }
    }
    let mut names: BTreeSet<&String> = before.iter().chain(&after).flat_map(BTreeMap::keys).collect();
    // What one run of two has started by chance is nothing to be held to.
    names.retain(|name| {
        let is_in = |runs: &[Runs]| runs.iter().filter(|run| run.contains_key(*name)).count();
        let (was, is) = (is_in(&before), is_in(&after));
        if (was == 0 && is == after.len()) || (was == before.len() && is == 0) {
            differences += 1;
            println!("{name} is only {}", if is == 0 { "in the first recording" } else { "in the second recording" });
        }
        was > 0 && is > 0
    });
    for (what, lines) in [("timelines", Run::timeline as fn(&Run) -> Lines), ("system calls", |run| run.calls.clone())]
    {
        let mut forms = BTreeMap::new();
        for name in &names {
            let all = |runs: &[Runs]| runs.iter().filter_map(|run| run.get(*name)).map(lines).collect::<Vec<_>>();
            let (form, difference) = differs(&all(&before), &all(&after));
            *forms.entry(form).or_insert(0) += 1;
            if let Some(difference) = difference {
                differences += 1;
                println!("{what} of {name} differ ({}):\n{difference}", form.name());
            }
        }
        let counts: Vec<String> = forms.iter().map(|(form, count)| format!("{count} {}", form.name())).collect();
        println!("{what} of {} instances, compared as: {}", names.len(), counts.join(", "));
    }
    if differences == 0 { Ok(()) } else { Err(Failure(format!("{differences} differences"))) }
}

type Lines = Vec<String>;
type Runs = BTreeMap<String, Run>;

/// What one instance has done.
struct Run {
    policy: Policy,
    entries: Vec<Entry>,
    calls: Lines,
    /// Its exit code, and how many entries the timeline had lost; nothing of one that was killed.
    end: Option<(i64, u64)>,
}

/// All instances of one run, by test, name and number: of the same name they are numbered as they were started.
fn load(directory: &Path) -> Outcome<Runs> {
    let files = fs::read_dir(directory).map_err(|error| Failure(format!("{}: {error}", directory.display())))?;
    let mut names: Vec<String> = files.flatten().filter_map(|file| file.file_name().into_string().ok()).collect();
    names.sort();
    let mut runs = Runs::new();
    for file in names {
        let text = fs::read_to_string(directory.join(&file))?;
        let run = parse(&text).map_err(|error| Failure(format!("{file}: {error}")))?;
        let name = file.rsplit_once(',').map_or(&*file, |(name, _started)| name);
        let number = (1..).find(|number| !runs.contains_key(&format!("{name},{number}"))).unwrap_or(0);
        runs.insert(format!("{name},{number}"), run);
    }
    Ok(runs)
}

fn parse(text: &str) -> serde_json::Result<Run> {
    let mut lines = text.lines();
    let first: Value = serde_json::from_str(lines.next().unwrap_or_default())?;
    let policy = Policy::deserialize(&first["policy"])?;
    let mut run = Run { policy, entries: Vec::new(), calls: Vec::new(), end: None };
    for line in lines {
        let line: Value = serde_json::from_str(line)?;
        if let Some(call) = line["call"].as_str() {
            run.calls.push(mask_call(call));
        } else if let Some(code) = line["end"].as_i64() {
            run.end = Some((code, line["dropped"].as_u64().unwrap_or(0)));
        } else {
            run.entries.push(Entry::deserialize(&line["entry"])?);
        }
    }
    Ok(run)
}

impl Run {
    fn timeline(&self) -> Lines {
        let line = |entry: &Entry| match &entry.what {
            What::Input(event) => format!("input {event:?}"),
            // The rest of the grace: it was a time that passed.
            What::Output(Action::RunPreStop(generation, _)) => format!("output RunPreStop({generation})"),
            What::Output(action) => format!("output {action:?}"),
            What::Note(text) => format!("note {}", mask_note(text)),
        };
        let end = self.end.map_or("killed".to_owned(), |(code, _)| format!("ended with {code}"));
        self.entries.iter().map(line).chain([format!("{:?}", self.policy), end]).collect()
    }

    /// Whether the machine alone, given the same inputs, does something else.
    fn replays_wrong(&self) -> Option<String> {
        let recorded = |entry: &Entry| if let What::Output(action) = entry.what { Some(action) } else { None };
        let recorded: Vec<Action> = self.entries.iter().filter_map(recorded).collect();
        let replayed = replay(self.policy.clone(), &self.entries);
        let lines = |actions: &[Action]| actions.iter().map(|action| format!("{action:?}")).collect::<Lines>();
        let whole = self.end.is_none_or(|(_, dropped)| dropped == 0);
        (whole && recorded != replayed).then(|| difference(&lines(&recorded), &lines(&replayed)))
    }
}

/// How exactly lines are compared, the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// The sequence.
    Exact,
    /// The sequence without what only tells that time has passed, and with repetitions told once.
    Collapsed,
    /// As that, of each generation or kind of call by itself: in which order they take turns is left open.
    Apart,
    /// Which lines there are.
    Set,
    /// Lines of each run before must be there, and no others than those of any run before.
    Between,
}

impl Form {
    const ALL: [Self; 4] = [Self::Exact, Self::Collapsed, Self::Apart, Self::Set];

    fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact sequence",
            Self::Collapsed => "repetitions collapsed",
            Self::Apart => "each subject apart",
            Self::Set => "set of lines",
            Self::Between => "set between two sets",
        }
    }

    fn of(self, lines: &[String]) -> Lines {
        match self {
            Self::Exact => lines.to_vec(),
            Self::Collapsed => collapse(lines),
            Self::Apart => {
                let mut subjects: BTreeMap<&str, Lines> = BTreeMap::new();
                for line in lines {
                    subjects.entry(subject(line)).or_default().push(line.clone());
                }
                subjects.values().flat_map(|lines| collapse(lines)).collect()
            }
            Self::Set | Self::Between => lines.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        }
    }
}

/// In which form `before` agrees with itself, and how all of `after` differ from it in that form.
fn differs(before: &[Lines], after: &[Lines]) -> (Form, Option<String>) {
    let Some(first) = before.first() else { return (Form::Exact, None) };
    let agrees = |form: &Form| before.iter().all(|run| form.of(run) == form.of(first));
    let form = Form::ALL.into_iter().find(agrees).unwrap_or(Form::Between);
    let difference = |run: &Lines| match form {
        Form::Exact | Form::Collapsed | Form::Apart | Form::Set => difference(&form.of(first), &form.of(run)),
        Form::Between => {
            let has = |lines: &Lines, line: &String| lines.contains(line);
            let lost = first.iter().filter(|line| before.iter().all(|run| has(run, line)) && !has(run, line));
            let new = run.iter().filter(|line| !before.iter().any(|run| has(run, line)));
            let shown = |sign: char, lines: Vec<&String>| {
                lines
                    .into_iter()
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .map(|line| format!("  {sign} {line}\n"))
                    .collect::<String>()
            };
            shown('-', lost.collect()) + &shown('+', new.collect())
        }
    };
    let found: Vec<String> = after.iter().map(difference).collect();
    (form, found.iter().all(|text| !text.is_empty()).then(|| found.into_iter().min_by_key(String::len)).flatten())
}

/// Where two sequences part and come together again; empty if they are the same.
fn difference(before: &[String], after: &[String]) -> String {
    /// Lines of each that are shown.
    const SHOWN: usize = 12;
    let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[same..], &after[same..]);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    let show = |sign: char, lines: &[String]| {
        let lines = &lines[..lines.len() - tail];
        let shown: String = lines.iter().take(SHOWN).map(|line| format!("  {sign} {line}\n")).collect();
        let more = lines.len().saturating_sub(SHOWN);
        if more == 0 { shown } else { format!("{shown}  {sign} and {more} more\n") }
    };
    show('-', before) + &show('+', after)
}

/// Leaves out what only tells that time has passed, and tells once what is repeated right after itself.
fn collapse(lines: &[String]) -> Lines {
    /// The longest repeated sequence that is recognized.
    const LONGEST: usize = 16;
    let mut kept = Lines::new();
    for line in lines.iter().filter(|line| **line != format!("input {:?}", Event::Timeout)) {
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

/// What a line is about: of a timeline the first number in it, mostly a generation; of a call its first words.
fn subject(line: &str) -> &str {
    let is_entry = ["input ", "output ", "note "].iter().any(|kind| line.starts_with(kind));
    let is_wanted = |c: char| if is_entry { c.is_ascii_digit() } else { c.is_ascii_alphabetic() || c == ' ' };
    let rest = line.trim_start_matches(|c: char| is_entry && !c.is_ascii_digit());
    rest.split(|c| !is_wanted(c)).next().unwrap_or_default()
}

/// A note without what is different in each run: pids, ports, times, counts, and the names of temporary directories.
/// Numbers of generations, exit codes and the like stay, and so do digits in words and addresses.
fn mask_note(text: &str) -> String {
    const KEPT_AFTER: [&str; 5] = ["generation ", "code ", "status ", "READY=", "error "];
    let text = mask_temporary(text);
    let (mut masked, mut rest) = (String::new(), text.as_str());
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        masked.push_str(before);
        let length = number.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(number.len());
        let number = number[..length].trim_end_matches('.');
        let in_word = masked.ends_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_address = number.parse::<std::net::Ipv4Addr>().is_ok() || masked.ends_with("[::");
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
fn mask_call(text: &str) -> String {
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
    }

    #[test]
    fn subjects_are_generations_and_calls() {
        assert_eq!(subject("input MainExited(2, Exited(1))"), "2");
        assert_eq!(subject("output Exit(0)"), "0");
        assert_eq!(subject("set mode 755 of x"), "set mode ");
    }

    #[test]
    fn a_recording_is_held_to_what_it_agrees_with_itself_in() {
        let (a, b) = (lines("x y z"), lines("x y y z"));
        assert_eq!(
            differs(&[a.clone(), a.clone()], std::slice::from_ref(&b)),
            (Form::Exact, Some("  + y\n".to_owned()))
        );
        assert_eq!(differs(&[a.clone(), a.clone()], &[b.clone(), a.clone()]), (Form::Exact, None));
        assert_eq!(differs(&[a.clone(), b.clone()], std::slice::from_ref(&b)), (Form::Collapsed, None));
        assert_eq!(differs(&[a.clone(), lines("x y w")], &[lines("x y")]), (Form::Between, None));
        let new = differs(&[a, lines("x y w")], &[lines("x v")]);
        assert_eq!(new, (Form::Between, Some("  - y\n  + v\n".to_owned())));
    }
}
