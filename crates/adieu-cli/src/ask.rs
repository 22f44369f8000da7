//! The clients of a running instance: reload, status, stop, send, timeline.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use adieu_core::ids::Pid;
use adieu_core::outcome::code;
use adieu_core::signal::Signal;
use adieu_core::wire::{GenerationStatus, Reply, Request, Status, Wait, is_variable_name};
use adieu_supervisor::client::ask;
use adieu_supervisor::names;
use clap::{Args, ValueEnum};

use crate::out::{self, complain};
use crate::{instance, render};

/// When `adieu reload` returns.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Until {
    /// New connections go to the new generation
    Switched,
    /// The old generation is not needed as a fallback any more
    Settled,
    /// The old generation is gone
    Drained,
}

#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    /// Name of the instance [the only running instance]
    #[arg(value_parser = instance::name)]
    name: Option<String>,
    /// When to return
    #[arg(long, value_enum, default_value = "settled")]
    wait: Until,
    /// Set an environment variable for the new and all later generations (repeatable)
    #[arg(long = "env", value_name = "K=V", value_parser = parse_variable)]
    set: Vec<(String, String)>,
    /// Remove an environment variable (repeatable)
    #[arg(long, value_name = "K", value_parser = parse_variable_name)]
    unset: Vec<String>,
    /// New command line, kept if the reload succeeds
    #[arg(last = true, value_name = "NEWCMD")]
    command: Vec<String>,
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form K=V")),
    }
}

fn parse_variable_name(text: &str) -> Result<String, String> {
    if is_variable_name(text) { Ok(text.to_owned()) } else { Err(format!("{text:?} is not the name of a variable")) }
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Name of the instance [all]
    #[arg(value_parser = instance::name)]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Name of the instance
    #[arg(value_parser = instance::name)]
    name: String,
    /// Signal, by name or number
    #[arg(value_parser = |text: &str| text.parse::<Signal>().map_err(|error| error.to_string()))]
    signal: Signal,
}

#[derive(Debug, Args)]
pub(crate) struct TimelineArgs {
    /// Name of the instance [the only running instance]
    #[arg(value_parser = instance::name)]
    name: Option<String>,
    /// Print JSON, one entry per line
    #[arg(long)]
    json: bool,
}

/// The exit code for a conversation that failed.
fn failed(error: &io::Error) -> i32 {
    complain(error);
    match error.kind() {
        ErrorKind::NotFound => code::NO_TARGET,
        ErrorKind::PermissionDenied => code::NOT_PERMITTED,
        _ => code::FINDING,
    }
}

/// Asks, prints what is said on the way, and returns the code of the answer.
fn converse(name: &str, request: &Request, mut show: impl FnMut(&Reply)) -> i32 {
    let mut answer = code::FINDING;
    let asked = ask(name, request, |reply| {
        show(&reply);
        if let Reply::Done { code, message, output } = reply {
            answer = code;
            for line in &output {
                out::warn(format_args!("  | {line}"));
            }
            match message {
                Some(message) if code == adieu_core::outcome::code::DONE => out::mention(message),
                Some(message) => complain(&message),
                None => {}
            }
        }
    });
    match asked {
        Ok(()) => answer,
        // The supervisor ends with what it stops; the answer may be lost with it.
        Err(error) if *request == Request::Stop {} && error.kind() == ErrorKind::UnexpectedEof => code::DONE,
        Err(error) => failed(&error),
    }
}

pub(crate) fn reload(arguments: ReloadArgs) -> i32 {
    let name = match instance::or_the_only_one(arguments.name) {
        Ok(name) => name,
        Err(code) => return code,
    };
    let wait = match arguments.wait {
        Until::Switched => Wait::Switched,
        Until::Settled => Wait::Settled,
        Until::Drained => Wait::Drained,
    };
    let set: BTreeMap<String, String> = arguments.set.into_iter().collect();
    let command = (!arguments.command.is_empty()).then_some(arguments.command);
    let request = Request::Reload { wait, set, unset: arguments.unset, command };
    converse(&name, &request, |reply| {
        if let Reply::Progress { text, .. } = reply {
            out::mention(text);
        }
    })
}

pub(crate) fn status(arguments: &StatusArgs) -> i32 {
    let wanted = match &arguments.name {
        Some(name) => vec![name.clone()],
        None => names(),
    };
    let mut all: Vec<Status> = Vec::new();
    let mut code = code::DONE;
    for name in &wanted {
        let asked = ask(name, &Request::Status {}, |reply| {
            if let Reply::Status(status) = reply {
                all.push(status);
            }
        });
        match asked {
            Ok(()) => {}
            Err(error) if arguments.name.is_some() => return failed(&error),
            // The others are there all the same.
            Err(error) if error.kind() == ErrorKind::TimedOut => code = failed(&error),
            // One that has ended since it was listed.
            Err(_) => {}
        }
    }
    if arguments.json {
        let printed = if arguments.name.is_some() {
            serde_json::to_string_pretty(&all.first())
        } else {
            serde_json::to_string_pretty(&all)
        };
        out::say(printed.unwrap_or_default());
    } else if wanted.is_empty() {
        out::say("no instance is running");
    } else {
        out::print(render::status(&all));
    }
    code
}

/// Stops an instance through its control socket.
pub(crate) fn stop(name: &str) -> i32 {
    converse(name, &Request::Stop {}, |_| {})
}

/// The pid of the program that an instance runs: of the generation that serves, or else of the newest.
pub(crate) fn main_pid(name: &str) -> Result<Pid, i32> {
    let mut found = None;
    let asked = ask(name, &Request::Status {}, |reply| {
        if let Reply::Status(status) = reply {
            let serving = |generation: &&GenerationStatus| generation.listeners.iter().any(|listener| listener.target);
            let newest = status.generations.last();
            let meant = status.generations.iter().find(serving).or(newest);
            // Of one whose program has ended it is said that there is no process 0.
            found = meant.map(|generation| generation.pid.unwrap_or(Pid::new(0)));
        }
    });
    asked.map_err(|error| failed(&error))?;
    found.ok_or_else(|| {
        complain(&format!("the instance {name:?} runs no program now"));
        code::NO_TARGET
    })
}

pub(crate) fn send(arguments: &SendArgs) -> i32 {
    converse(&arguments.name, &Request::Send { signal: arguments.signal }, |_| {})
}

pub(crate) fn timeline(arguments: TimelineArgs) -> i32 {
    let name = match instance::or_the_only_one(arguments.name) {
        Ok(name) => name,
        Err(code) => return code,
    };
    converse(&name, &Request::Timeline {}, |reply| {
        if let Reply::Timeline { entries, dropped, epoch } = reply {
            out::print(render::timeline(entries, *dropped, *epoch, arguments.json));
        }
    })
}
