//! `adieu signals`.

use std::collections::BTreeMap;
use std::fmt::Write;

use adieu_core::outcome::code;
use adieu_core::signal::{Architecture, DefaultAction, Reading, Signal};
use clap::Args;
use serde_json::{Value, json};

use crate::out;

const HELP: &str = "\
Examples:
  adieu signals TERM         what it does, who sends it
  adieu signals 143          exit code 128+15, and what that can mean
  adieu signals 0x4002       a mask, as SigCgt in /proc/PID/status
  adieu signals              all of them

Numbers are those of this machine; other machines' are named where they differ. Exit codes: 0 done, 2 unknown signal.";

#[derive(Debug, Args)]
#[command(after_help = HELP, allow_negative_numbers = true)]
pub(crate) struct SignalsArgs {
    /// Signal by name or number, exit code (128+n), or mask in hexadecimal [all signals]
    #[arg(value_name = "SIG|CODE|MASK", value_parser = read)]
    asked: Vec<Reading>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn read(text: &str) -> Result<Reading, String> {
    Reading::of(text).map_err(|error| error.to_string())
}

pub(crate) fn signals(arguments: &SignalsArgs) -> i32 {
    if arguments.json {
        let rows: Vec<Value> = if arguments.asked.is_empty() {
            Signal::ALL.into_iter().map(in_json).collect()
        } else {
            arguments.asked.iter().map(reading_in_json).collect()
        };
        out::say(serde_json::to_string_pretty(&rows).unwrap_or_default());
    } else if arguments.asked.is_empty() {
        out::print(table());
    } else {
        let all: Vec<String> = arguments.asked.iter().map(explained).collect();
        out::print(all.join("\n"));
    }
    code::DONE
}

/// The column of each family of machines, and what else counts like it.
const COLUMNS: [(&str, Architecture); 4] = [
    ("x86/arm", Architecture::Generic),
    ("alpha/sparc", Architecture::Sparc),
    ("mips", Architecture::Mips),
    ("parisc", Architecture::Parisc),
];

fn table() -> String {
    let mut text = String::from("signal      x86/arm  alpha/sparc  mips  parisc  default    for\n");
    let row = |text: &mut String, name: &str, numbers: [Option<i32>; 4], action: &str, purpose: &str| {
        let [generic, sparc, mips, parisc] =
            numbers.map(|number| number.map_or_else(|| "-".to_owned(), |number| number.to_string()));
        let _ = writeln!(text, "{name:<10}  {generic:>7}  {sparc:>11}  {mips:>4}  {parisc:>6}  {action:<9}  {purpose}");
    };
    for signal in Signal::ALL.into_iter().filter(|signal| !signal.is_real_time()) {
        let numbers = COLUMNS.map(|(_, architecture)| signal.number_on(architecture));
        row(&mut text, &signal.name(), numbers, word(signal.default_action()), signal.purpose());
    }
    for missing in Signal::elsewhere() {
        let on = |wanted| missing.numbers.iter().find(|(on, _)| *on == wanted).map(|(_, number)| *number);
        let numbers = COLUMNS.map(|(_, architecture)| on(architecture));
        row(&mut text, missing.name, numbers, word(missing.default_action), missing.purpose);
    }
    text.push_str(
        "\nAll but SIGKILL and SIGSTOP can be caught, ignored or blocked.\n\
         The default of real-time signals, which queue up and are for whatever the program wants, is to terminate:\n",
    );
    let all: Vec<Signal> = Signal::ALL.into_iter().filter(|signal| signal.is_real_time()).collect();
    for some in all.chunks(5) {
        let cells: Vec<String> =
            some.iter().map(|signal| format!("{:>3} {:<12}", signal.number(), signal.name())).collect();
        let _ = writeln!(text, "{}", cells.join(" ").trim_end());
    }
    text.push_str(
        "\n`adieu signals TERM` says who sends one; `adieu signals 143` and `0x4000` decode exit codes and masks.\n",
    );
    text
}

fn explained(reading: &Reading) -> String {
    match reading {
        Reading::Signal(signal) => one(*signal),
        Reading::ExitCode(code, signal) => {
            let hint = signal.exit_code_hint().map(|hint| format!("  often: {hint}\n")).unwrap_or_default();
            let number = signal.number();
            let (not_caught, caught) = if signal.is_catchable() {
                ("it was not caught, and ", format!("it caught {signal}, or "))
            } else {
                ("", String::new())
            };
            format!(
                "exit code {code} is 128 + {number}, and can mean two things:\n  \
                 {signal} ended the process: {not_caught}a shell, Docker or Kubernetes shows that as 128 + {number}\n  \
                 the process ended by itself with exit({code}): {caught}it passes on how a child of it ended\n\
                 {hint}\n{}",
                one(*signal),
            )
        }
        Reading::Mask(mask, signals) => {
            let mut text = format!("mask {mask:#018x}: {}\n", counted(signals.len()));
            for signal in signals {
                let _ = writeln!(text, "  {:>2}  {:<11}  {}", signal.number(), signal.name(), signal.purpose());
            }
            text
        }
    }
}

fn counted(signals: usize) -> String {
    match signals {
        0 => "no signal".to_owned(),
        1 => "1 signal".to_owned(),
        more => format!("{more} signals"),
    }
}

fn one(signal: Signal) -> String {
    let aliases: Vec<String> = signal.aliases().collect();
    let aliases = if aliases.is_empty() { String::new() } else { format!(", also {}", aliases.join(", ")) };
    let catchable = match (signal.is_catchable(), signal.is_real_time()) {
        (false, _) => "cannot be caught, ignored or blocked",
        (true, false) => "can be caught, ignored and blocked; several at once may arrive as one",
        (true, true) => "can be caught, ignored and blocked; each one that is sent arrives",
    };
    let mut text = format!("{signal}{aliases}: {}\n", signal.purpose());
    let _ = writeln!(text, "  number   {}", numbers(signal));
    let _ = writeln!(text, "  default  {}", sentence(signal.default_action()));
    let _ = writeln!(text, "  caught   {catchable}");
    for (row, sender) in signal.senders().iter().enumerate() {
        let _ = writeln!(text, "  {:<7}  {}: {}", if row == 0 { "sent by" } else { "" }, sender.by, sender.when);
    }
    text
}

/// This machine's number, and those of others where they differ.
fn numbers(signal: Signal) -> String {
    let mut others: BTreeMap<Option<i32>, Vec<&str>> = BTreeMap::new();
    for (name, architecture) in COLUMNS {
        others.entry(signal.number_on(architecture)).or_default().push(name);
    }
    let here = signal.number();
    others.remove(&Some(here));
    let on = |(number, names): (Option<i32>, Vec<&str>)| match number {
        Some(number) => format!("{number} on {}", names.join(", ")),
        None => format!("none on {}", names.join(", ")),
    };
    let others: Vec<String> = others.into_iter().map(on).collect();
    if others.is_empty() { here.to_string() } else { format!("{here} ({})", others.join("; ")) }
}

fn word(action: DefaultAction) -> &'static str {
    match action {
        DefaultAction::Terminate => "terminate",
        DefaultAction::Core => "core",
        DefaultAction::Ignore => "ignore",
        DefaultAction::Stop => "stop",
        DefaultAction::Continue => "continue",
    }
}

fn sentence(action: DefaultAction) -> &'static str {
    match action {
        DefaultAction::Terminate => {
            "ends the process (process 1 of a pid namespace: only SIGKILL does, and only from outside)"
        }
        DefaultAction::Core => "ends the process with a core dump, if it may write one",
        DefaultAction::Ignore => "nothing happens",
        DefaultAction::Stop => "stops the process until SIGCONT",
        DefaultAction::Continue => "a stopped process goes on",
    }
}

fn in_json(signal: Signal) -> Value {
    let numbers: BTreeMap<Architecture, Option<i32>> =
        Architecture::ALL.into_iter().map(|architecture| (architecture, signal.number_on(architecture))).collect();
    json!({
        "name": signal, "number": signal.number(), "numbers": numbers, "aliases": signal.aliases().collect::<Vec<_>>(),
        "default_action": signal.default_action(), "catchable": signal.is_catchable(), "real_time": signal.is_real_time(),
        "purpose": signal.purpose(), "senders": signal.senders(),
    })
}

fn reading_in_json(reading: &Reading) -> Value {
    match reading {
        Reading::Signal(signal) => json!({ "kind": "signal", "signal": in_json(*signal) }),
        Reading::ExitCode(code, signal) => json!({
            "kind": "exit-code", "code": code, "signal": in_json(*signal), "often": signal.exit_code_hint(),
        }),
        Reading::Mask(mask, signals) => json!({ "kind": "mask", "mask": format!("{mask:#018x}"), "signals": signals }),
    }
}
