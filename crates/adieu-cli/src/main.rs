//! The `adieu` command: argument parsing and printing only.

mod ask;
mod doctor;
mod drill;
mod render;
mod run;
mod stop;

use std::process::ExitCode;

use adieu_core::outcome::code;
use clap::{Parser, Subcommand};

/// Ends servers well: stops them in order and on time, and replaces them without losing a request.
#[derive(Debug, Parser)]
#[command(name = "adieu", version, propagate_version = true, after_help = EXIT_CODES)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 finding or loss, 2 usage, 3 ended by force, 4 still there, 5 not permitted, 6 no such target, \
7 reload failed and the old one serves on. `adieu run`: the program's own, 128+n for signal n, 125 adieu failed, \
126 not executable, 127 not found.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a program and replace, stop and clean up after it
    Run(Box<run::RunArgs>),
    /// Replace the program of a running instance by a new generation
    Reload(ask::ReloadArgs),
    /// Show what runs
    Status(ask::StatusArgs),
    /// Stop an instance or any process gracefully, wait until it is gone, and say why if it does not go
    Stop(stop::StopArgs),
    /// Say whether a process will end when it is asked to, and if not, why
    Doctor(Box<doctor::DoctorArgs>),
    /// Send a signal to the main process of an instance
    Send(ask::SendArgs),
    /// Show what happened in an instance
    Timeline(ask::TimelineArgs),
    /// Load a server, restart it again and again, and say what each restart lost
    Drill(drill::DrillArgs),
    /// Three ways to restart a server, and what each of them loses
    Demo,
    /// The server of the demo
    #[command(hide = true)]
    DemoServer(drill::DemoServerArgs),
}

fn main() -> ExitCode {
    // Before anything else: what was ignored when we were started must not be changed by looking.
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            let _printed = error.print();
            let harmless = !error.use_stderr();
            return exit(if harmless { code::DONE } else { code::USAGE });
        }
    };
    exit(match command.verb {
        Verb::Run(arguments) => run::run(*arguments),
        Verb::Reload(arguments) => ask::reload(arguments),
        Verb::Status(arguments) => ask::status(&arguments),
        Verb::Stop(arguments) => stop::stop(&arguments),
        Verb::Doctor(arguments) => doctor::doctor(&arguments),
        Verb::Send(arguments) => ask::send(&arguments),
        Verb::Timeline(arguments) => ask::timeline(&arguments),
        Verb::Drill(arguments) => drill::drill(arguments),
        Verb::Demo => drill::demo(),
        Verb::DemoServer(arguments) => drill::demo_server(&arguments),
    })
}

fn exit(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1))
}

/// Says why a command failed, on standard error.
fn complain(error: &dyn std::fmt::Display) {
    eprintln!("adieu: {error}");
}
