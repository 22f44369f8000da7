//! `adieu doctor`: will this process end, and if not, why?

use std::fmt::Write;
use std::time::Duration;

use adieu_core::outcome::code;
use adieu_core::signal::{DefaultAction, Signal};
use adieu_inspect::case::Case;
use adieu_inspect::facts::bit;
use adieu_inspect::judge::{Disposition, Finding, Question, Severity, disposition, judge};
use adieu_inspect::runtime::Effect;
use adieu_inspect::select::{self, SelectError};
use adieu_inspect::target::Target;
use clap::Args;

use crate::out;
use crate::targets::{Targets, failed, parse_signal};

/// Between two looks at what the threads do.
const WATCH: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    targets: Targets,
    /// Signal in question
    #[arg(long, value_name = "SIG", default_value = "TERM", value_parser = parse_signal)]
    signal: Signal,
    /// The signal was sent and did not end the process: say what is in the way now
    #[arg(long, conflicts_with = "all")]
    sent: bool,
    /// Show all processes of this user (root: of all users) as a table
    #[arg(long, conflicts_with_all = ["target", "port", "exe", "text", "cgroup"])]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn doctor(arguments: &DoctorArgs) -> i32 {
    if arguments.all {
        return table(arguments);
    }
    let selection = match arguments.targets.selection() {
        Ok(selection) => selection,
        Err(code) => return code,
    };
    let targets = match select::select(&selection) {
        Ok(targets) => targets,
        Err(error) => return failed(&error),
    };
    let mut worst = code::DONE;
    let mut seen = Vec::new();
    for target in &targets {
        match one(target, arguments) {
            Ok(found) => {
                worst =
                    worst.max(if found.findings.iter().any(Finding::is_alarming) { code::FINDING } else { code::DONE });
                seen.push(found);
            }
            Err(error) => return failed(&SelectError::NoTarget(error)),
        }
    }
    if arguments.json {
        let all: Vec<_> = seen.iter().map(Seen::json).collect();
        out::say(serde_json::to_string_pretty(&all).unwrap_or_default());
    } else {
        let all: Vec<String> = seen.iter().map(Seen::text).collect();
        out::print(all.join("\n"));
    }
    worst
}

struct Seen {
    case: Case,
    signal: Signal,
    findings: Vec<Finding>,
}

fn one(target: &Target, arguments: &DoctorArgs) -> Result<Seen, adieu_inspect::target::NoTarget> {
    let case = Case::collect(target, WATCH)?;
    let signal = arguments.signal;
    let asked = arguments.sent.then_some(Duration::ZERO);
    let findings = judge(&case, &Question { signal, asked });
    Ok(Seen { case, signal, findings })
}

impl Seen {
    fn json(&self) -> serde_json::Value {
        let facts = &self.case.facts;
        let row = |signal: &Signal| {
            serde_json::json!({
                "signal": signal, "number": signal.number(), "disposition": disposition(facts, *signal),
                "blocked": facts.blocked_everywhere() & bit(*signal) != 0,
                "pending": facts.waiting() & bit(*signal) != 0,
                "effect": self.case.runtime.and_then(|runtime| runtime.effect(*signal)).map(|(_, words)| words),
            })
        };
        let signals: Vec<_> = Signal::ALL.iter().map(row).collect();
        serde_json::json!({
            "pid": facts.pid, "signal": self.signal, "findings": self.findings, "signals": signals, "facts": self.case,
        })
    }

    fn text(&self) -> String {
        let (facts, mut text) = (&self.case.facts, String::new());
        let runtime = self.case.runtime.map_or(String::new(), |runtime| format!(", {}", runtime.label));
        let age = adieu_core::duration::format(Duration::from_secs(facts.age as u64));
        let _ = writeln!(
            text,
            "pid {}  {}  ({}{runtime}, user {}, up {age})",
            facts.pid,
            facts.title(),
            facts.name,
            facts.user
        );
        let _ = writeln!(text, "\n{}?", self.signal);
        for finding in &self.findings {
            let mark = mark(finding.severity);
            let _ = writeln!(text, "  {mark} {} [{}]", finding.sentence, finding.cause.id());
            for evidence in &finding.evidence {
                let field = if evidence.field.is_empty() { String::new() } else { format!(" {}", evidence.field) };
                let _ = writeln!(text, "        seen in {}{field}: {}", evidence.file, evidence.value);
            }
            if !finding.advice.is_empty() {
                let _ = writeln!(text, "        do: {}", finding.advice);
            }
        }
        if !facts.kernel_thread && facts.state != 'Z' {
            let _ = writeln!(text, "\nnow: {}", adieu_inspect::judge::summary(facts));
        }
        let _ = writeln!(text, "\nsignals");
        text.push_str(&signals(&self.case));
        for unread in &facts.unreadable {
            let _ = writeln!(text, "\nnot seen: /proc/{}/{}: {}", facts.pid, unread.file, unread.why);
        }
        text
    }
}

/// The signals that people send, one a line, and those of the others that are not as they always are.
fn signals(case: &Case) -> String {
    let facts = &case.facts;
    const ASKED_FOR: [Signal; 6] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2];
    let mut text = String::new();
    let blocked = facts.blocked_everywhere();
    for signal in ASKED_FOR {
        let what = case.runtime.and_then(|runtime| runtime.effect(signal));
        let known = case.runtime.is_some();
        let graceful = known && case.graceful() == signal && !matches!(what, Some((Effect::Fast, _)));
        let mut words = vec![match (disposition(facts, signal), signal.default_action()) {
            (Disposition::Caught, _) => "caught".to_owned(),
            (Disposition::Ignored, _) => "ignored".to_owned(),
            (Disposition::Default, DefaultAction::Ignore) => "default: nothing".to_owned(),
            (Disposition::Default, _) => "default: ends it at once".to_owned(),
        }];
        words.extend((blocked & bit(signal) != 0).then(|| "blocked".to_owned()));
        words.extend((facts.read_from_descriptor & bit(signal) != 0).then(|| "read from a descriptor".to_owned()));
        let awaits = facts.threads.iter().any(|thread| thread.awaits & bit(signal) != 0);
        words.extend(awaits.then(|| "waited for".to_owned()));
        words.extend((facts.waiting() & bit(signal) != 0).then(|| "one is waiting".to_owned()));
        words.extend(
            what.filter(|_| disposition(facts, signal) == Disposition::Caught).map(|(_, words)| words.to_owned()),
        );
        words.extend(graceful.then(|| "graceful".to_owned()));
        let _ = writeln!(text, "  {signal:<8}  {}", words.join("; "));
    }
    for (label, mask) in
        [("ignored", facts.ignored), ("caught", facts.caught), ("blocked", blocked), ("waiting", facts.waiting())]
    {
        let others = Signal::decode_mask(mask).into_iter().filter(|signal| !ASKED_FOR.contains(signal));
        let names: Vec<String> = others.map(|signal| signal.to_string().trim_start_matches("SIG").to_owned()).collect();
        if !names.is_empty() {
            let _ = writeln!(text, "  also {label}: {}", names.join(" "));
        }
    }
    for thread in facts.threads.iter().filter(|thread| thread.blocked != blocked) {
        let names: Vec<String> =
            Signal::decode_mask(thread.blocked).into_iter().map(|signal| signal.to_string()).collect();
        let names = if names.len() > 20 { format!("{} signals", names.len()) } else { names.join(" ") };
        if !names.is_empty() {
            let _ = writeln!(text, "  thread {} ({}) blocks {names}", thread.id, thread.name);
        }
    }
    text
}

fn table(arguments: &DoctorArgs) -> i32 {
    let user = adieu_linux::process::own_user();
    let question = Question { signal: arguments.signal, asked: None };
    let judged = select::everybody((user != 0).then_some(user)).into_iter().filter_map(|case| {
        let first = judge(&case, &question).into_iter().next()?;
        Some((case, first))
    });
    let mut judged: Vec<(Case, Finding)> = judged.collect();
    // Those that need somebody first; a pid tells little.
    judged.sort_by_key(|(case, first)| (std::cmp::Reverse(first.severity), case.facts.pid));
    if arguments.json {
        let row = |(case, first): &(Case, Finding)| {
            let facts = &case.facts;
            serde_json::json!({
                "pid": facts.pid, "user": facts.user, "runtime": case.runtime_id(), "graceful": case.graceful(),
                "cause": first.cause, "severity": first.severity, "sentence": first.sentence, "command": facts.title(),
            })
        };
        let rows: Vec<_> = judged.iter().map(row).collect();
        out::say(serde_json::to_string(&rows).unwrap_or_default());
        return code::DONE;
    }
    let mut text = format!(
        "     {:>8} {:>6}  {:<20} {:<9} {:<8} {}\n",
        "PID",
        "USER",
        question.signal.name(),
        "WHAT",
        "GRACEFUL",
        "COMMAND"
    );
    for (case, first) in &judged {
        let facts = &case.facts;
        let graceful = case.runtime.map_or(String::new(), |_| case.graceful().to_string());
        let _ = writeln!(
            text,
            "{:<4} {:>8} {:>6}  {:<20} {:<9} {:<8} {}",
            mark(first.severity).trim_end(),
            facts.pid,
            facts.user,
            first.cause.id(),
            case.runtime_id(),
            graceful.trim_start_matches("SIG"),
            facts.title()
        );
    }
    out::print(text);
    code::DONE
}

/// In front of a finding.
fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocks => "no ",
        Severity::Warning => "but",
        Severity::Note => "   ",
    }
}
