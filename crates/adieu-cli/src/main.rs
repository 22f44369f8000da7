//! The `adieu` command: argument parsing and printing only.
#![no_main]
// They panic when the reader is gone: `out` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod ask;
mod doctor;
mod drill;
mod instance;
mod out;
mod prestop;
mod render;
mod run;
mod signals;
mod stop;
mod targets;

use std::ffi::OsString;

use adieu_core::outcome::code;
use clap::error::ErrorKind;
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
7 reload failed and the old generation serves on. `adieu run`: the program's own, 128+n for signal n, 125 adieu \
failed, 126 not executable, 127 not found.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a program, replace it, stop it, and clean up after it
    Run(Box<run::RunArgs>),
    /// Replace the program of a running instance by a new generation
    Reload(ask::ReloadArgs),
    /// Show running instances: generations, addresses, connections
    Status(ask::StatusArgs),
    /// Stop an instance or any process gracefully, and say why if it does not end
    Stop(stop::StopArgs),
    /// Say whether a process will end on a signal, and if not, why
    Doctor(Box<doctor::DoctorArgs>),
    /// Send a signal to the main process of an instance
    Send(ask::SendArgs),
    /// Show what happened in an instance
    Timeline(ask::TimelineArgs),
    /// Wait until the traffic of a server is gone, before the server is stopped
    Prestop(prestop::PrestopArgs),
    /// Explain a signal, an exit code or a signal mask
    Signals(signals::SignalsArgs),
    /// Load a server, restart it several times, and report what each restart lost
    Drill(drill::DrillArgs),
    /// Show three ways to restart a server, and what each of them loses
    Demo,
    /// The server of the demo
    #[command(hide = true)]
    DemoServer(drill::DemoServerArgs),
}

/// The same command as far as `adieu run` needs it: with the arguments of all others, making the parser would cost more than
/// starting a program.
#[derive(Debug, Parser)]
#[command(name = "adieu", version, propagate_version = true)]
struct RunCommand {
    #[command(subcommand)]
    verb: RunVerb,
}

#[derive(Debug, Subcommand)]
enum RunVerb {
    /// Run a program, replace it, stop it, and clean up after it
    Run(Box<run::RunArgs>),
}

adieu_linux::entry!(begin);

fn begin(arguments: Vec<OsString>) -> i32 {
    let is = |wanted: &str| arguments.get(1).is_some_and(|verb| verb == wanted);
    let is_send = is("send");
    let parsed = if is("run") {
        RunCommand::try_parse_from(arguments).map(|RunCommand { verb: RunVerb::Run(arguments) }| Verb::Run(arguments))
    } else {
        Command::try_parse_from(arguments).map(|command| command.verb)
    };
    let code = match parsed {
        Ok(verb) => perform(verb),
        Err(error) => {
            let _printed = error.print();
            // It takes no instance by itself, not even the only one: what a signal does is not undone.
            if is_send && error.kind() == ErrorKind::MissingRequiredArgument {
                instance::list();
            }
            if error.use_stderr() { code::USAGE } else { code::DONE }
        }
    };
    // An exit status has eight bits.
    code & 0xff
}

fn perform(verb: Verb) -> i32 {
    match verb {
        Verb::Run(arguments) => run::run(*arguments),
        Verb::Reload(arguments) => ask::reload(arguments),
        Verb::Status(arguments) => ask::status(&arguments),
        Verb::Stop(arguments) => stop::stop(&arguments),
        Verb::Doctor(arguments) => doctor::doctor(&arguments),
        Verb::Send(arguments) => ask::send(&arguments),
        Verb::Timeline(arguments) => ask::timeline(arguments),
        Verb::Prestop(arguments) => prestop::prestop(&arguments),
        Verb::Signals(arguments) => signals::signals(&arguments),
        Verb::Drill(arguments) => drill::drill(arguments),
        Verb::Demo => drill::demo(),
        Verb::DemoServer(arguments) => drill::demo_server(&arguments),
    }
}
