//! `adieu stop`: instances of `adieu run` through their control socket, anything else from outside.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use adieu_core::duration;
use adieu_core::ladder::{End, Force};
use adieu_core::outcome::code;
use adieu_core::signal::Signal;
use adieu_inspect::facts::Facts;
use adieu_inspect::judge::Finding;
use adieu_inspect::select::{self, Selection};
use adieu_inspect::stop::{self, Before, Entry, Options, Outcome, Standing, Watcher};
use adieu_inspect::target::Target;
use clap::Args;

use crate::out::{self, complain, mention};
use crate::{ask, doctor};

/// What `adieu stop` and `adieu doctor` can be told to look at.
#[derive(Debug, Clone, Args)]
pub(crate) struct Targets {
    /// A pid, or the name of an `adieu run` instance: NAME or @NAME (repeatable)
    #[arg(value_name = "TARGET")]
    target: Vec<String>,
    /// The process that listens on this TCP port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Processes that run this program
    #[arg(long, value_name = "NAME")]
    exe: Option<String>,
    /// Processes with this text in their arguments
    #[arg(long = "match", value_name = "TEXT")]
    text: Option<String>,
    /// Processes in this cgroup
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    targets: Targets,
    /// Signal that asks the process to end [the program's graceful signal if known, else TERM]
    #[arg(long, value_name = "SIG", value_parser = parse_signal)]
    signal: Option<Signal>,
    /// Time from the start of the stop to the diagnosis of what is still there
    #[arg(long, value_name = "D", default_value = "30s", value_parser = duration::parse)]
    grace: Duration,
    /// Do this before the signal: POST to a URL, or run a shell command
    #[arg(long, value_name = "URL|CMD")]
    pre_stop: Option<Before>,
    /// Kill what is still there after the grace
    #[arg(long)]
    force: bool,
    /// Stop the descendants too
    #[arg(long)]
    tree: bool,
    /// Before a kill, write what the process is doing to a file in this directory
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = ".")]
    dump: Option<PathBuf>,
    /// Print the timeline as JSON
    #[arg(long)]
    json: bool,
    /// Stop even process 1, ancestors of this command, and kernel threads
    #[arg(long)]
    yes_really: bool,
}

pub(crate) fn parse_signal(text: &str) -> Result<Signal, String> {
    text.parse::<Signal>().map_err(|error| error.to_string())
}

impl Targets {
    /// The instances among the targets.
    fn instances(&self) -> Vec<String> {
        let named = self.target.iter().filter(|text| !is_pid(text));
        named.map(|text| text.strip_prefix('@').unwrap_or(text).to_owned()).collect()
    }

    /// Everything else; `None` when there is nothing else.
    fn outside(&self) -> Result<Option<Selection>, String> {
        let pid = |text: &String| text.parse::<i32>().map_err(|_| format!("{text} is no pid"));
        let pids = self.target.iter().filter(|text| is_pid(text)).map(pid).collect::<Result<Vec<i32>, String>>()?;
        let selection = Selection {
            pids,
            port: self.port,
            exe: self.exe.clone(),
            text: self.text.clone(),
            cgroup: self.cgroup.clone(),
        };
        Ok((selection.searches() || !selection.pids.is_empty()).then_some(selection))
    }

    /// All of it; instances by the pid of their program.
    pub(crate) fn selection(&self) -> Result<Selection, i32> {
        let usage = |message: &str| {
            complain(&message);
            code::USAGE
        };
        let mut selection = self.outside().map_err(|message| usage(&message))?.unwrap_or_default();
        for name in self.instances() {
            selection.pids.push(ask::main_pid(&name)?);
        }
        if selection.pids.is_empty() && !selection.searches() {
            return Err(usage("name a target: a pid, an instance, --port, --exe, --match or --cgroup"));
        }
        Ok(selection)
    }
}

fn is_pid(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

pub(crate) fn stop(arguments: &StopArgs) -> i32 {
    let instances = arguments.targets.instances();
    let outside = match arguments.targets.outside() {
        Ok(outside) => outside,
        Err(message) => {
            complain(&message);
            return code::USAGE;
        }
    };
    if instances.is_empty() && outside.is_none() {
        complain(&"name a target: a pid, an instance, --port, --exe, --match or --cgroup");
        return code::USAGE;
    }
    let mut worst = code::DONE;
    for name in &instances {
        worst = worst.max(ask::stop(name));
    }
    if let Some(selection) = outside {
        worst = worst.max(from_outside(&selection, arguments));
    }
    worst
}

fn from_outside(selection: &Selection, arguments: &StopArgs) -> i32 {
    let targets = match select::select(selection) {
        Ok(targets) => targets,
        Err(error) => return doctor::failed(&error),
    };
    if !arguments.yes_really
        && let Err(code) = refuse(&targets)
    {
        return code;
    }
    let person = std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !arguments.json;
    let options = Options {
        signal: arguments.signal,
        grace: arguments.grace,
        before: arguments.pre_stop.clone(),
        force: match (arguments.force, person) {
            (true, _) => Force::Allowed,
            (false, true) => Force::IfToldSo,
            (false, false) => Force::Never,
        },
        tree: arguments.tree,
        dump: arguments.dump.clone(),
    };
    let mut watcher = Screen { json: arguments.json, live: person, drawn: false, entries: Vec::new() };
    match stop::stop(targets, &options, &mut watcher) {
        Ok(outcomes) => report(&outcomes, watcher, selection.port.is_some()),
        Err(error) => {
            complain(&error);
            code::FINDING
        }
    }
}

/// Says which of them should not be stopped; then none is.
fn refuse(targets: &[Target]) -> Result<(), i32> {
    for target in targets {
        let Ok(facts) = adieu_inspect::facts::glance(target.pid()) else { continue };
        if let Err(refusal) = select::refuse(&facts) {
            complain(&format!("{} is not stopped: {refusal} (--yes-really)", target.pid()));
            return Err(code::USAGE);
        }
    }
    Ok(())
}

fn report(outcomes: &[Outcome], watcher: Screen, by_port: bool) -> i32 {
    if watcher.json {
        let all = serde_json::json!({ "targets": outcomes, "timeline": watcher.entries });
        mention(serde_json::to_string_pretty(&all).unwrap_or_default());
    } else {
        for outcome in outcomes {
            say(outcome);
        }
    }
    let exit = |outcome: &Outcome| match outcome.end {
        _ if outcome.not_permitted => code::NOT_PERMITTED,
        End::StillThere => code::STILL_THERE,
        End::Forced => code::FORCED,
        // The port that was to be freed is not free.
        End::Gone if by_port && !outcome.addresses_taken.is_empty() => code::FINDING,
        End::Gone => code::DONE,
    };
    outcomes.iter().map(exit).max().unwrap_or(code::NO_TARGET)
}

fn say(outcome: &Outcome) {
    let (pid, title, seconds) = (outcome.pid, &outcome.title, outcome.seconds);
    match outcome.end {
        _ if outcome.not_permitted => complain(&format!("{pid} ({title}) belongs to another user: not permitted")),
        End::Gone => mention(format_args!("{pid} ({title}) ended after {seconds:.1} s")),
        End::Forced => mention(format_args!("{pid} ({title}) was killed after {seconds:.1} s")),
        End::StillThere => complain(&format!("{pid} ({title}) is still there after {seconds:.1} s")),
    }
    for finding in &outcome.findings {
        mention(format_args!("  why: {} [{}]", finding.sentence, finding.cause.id()));
        if !finding.advice.is_empty() {
            mention(format_args!("       do: {}", finding.advice));
        }
    }
}

/// Where the timeline goes.
struct Screen {
    json: bool,
    /// A person watches.
    live: bool,
    drawn: bool,
    entries: Vec<Entry>,
}

impl Screen {
    /// Removes the live line.
    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            out::draw("\r\x1b[K");
        }
    }
}

impl Watcher for Screen {
    fn entry(&mut self, entry: &Entry) {
        self.clear();
        if !self.json {
            out::warn(format_args!("{:>7.2} s  {}  {}", entry.at, entry.pid, entry.text));
        }
        self.entries.push(entry.clone());
    }

    fn waiting(&mut self, standings: &[Standing]) {
        let Some(first) = standings.first() else { return };
        let mut parts = Vec::new();
        if let Some(left) = first.left {
            parts.push(format!("{:.0} s left", left.as_secs_f64().ceil()));
        }
        let ((open, owed), (threads, sleeping)) = (first.connections, first.threads);
        if open > 0 {
            parts.push(format!("{open} connections, {owed} owed an answer"));
        }
        parts.push(format!("{threads} threads"));
        if sleeping > 0 {
            parts.push(format!("{sleeping} of them in state D"));
        }
        if first.children > 0 {
            parts.push(format!("{} children", first.children));
        }
        if standings.len() > 1 {
            parts.push(format!("and {} more processes", standings.len() - 1));
        }
        out::draw(format_args!("\r\x1b[Kwaiting for {} ({}): {}", first.name, first.pid, parts.join(", ")));
        self.drawn = true;
    }

    fn wants_standings(&self) -> bool {
        self.live
    }

    fn may_kill(&mut self, facts: &Facts, findings: &[Finding]) -> bool {
        self.clear();
        if let Some(first) = findings.first() {
            out::warn(format_args!("why: {}", first.sentence));
        }
        out::draw(format_args!("{} ({}) is still there. Kill it? [y/N] ", facts.title(), facts.pid));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer).is_ok();
        read && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}
