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

use crate::ask;
use crate::out::{self, complain, mention};
use crate::targets::{Targets, failed, nothing_named, parse_signal};

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
        return nothing_named();
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
        Err(error) => return failed(&error),
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
