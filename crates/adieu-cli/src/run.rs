//! `adieu run`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use adieu_core::duration;
use adieu_core::outcome::code;
use adieu_core::restart::Restart;
use adieu_core::signal::Signal;
use adieu_supervisor::options::{self, Hook, Options, ReadyWhen, Sockets};
use clap::Args;

use crate::out::complain;

/// Each option is also the environment variable that its help names.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Name of the instance [the program's base name, with -2, -3, ... if that is taken]
    #[arg(long, env = "ADIEU_NAME", value_name = "NAME")]
    name: Option<String>,
    /// Time from the stop of a generation to its kill, draining included
    #[arg(long, env = "ADIEU_GRACE", value_name = "D", default_value = "30s", value_parser = duration::parse)]
    grace: Duration,
    /// Longest wait for connections that are owed an answer, before the stop signal [2/3 of the grace]
    #[arg(long, env = "ADIEU_DRAIN_TIMEOUT", value_name = "D", value_parser = duration::parse)]
    drain_timeout: Option<Duration>,
    /// Give up on an unanswered connection after this long without progress
    #[arg(long, env = "ADIEU_DRAIN_QUIET", value_name = "D", default_value = "2s", value_parser = duration::parse)]
    drain_quiet: Duration,
    /// How long after a switch the old generation can take over again
    #[arg(long, env = "ADIEU_SETTLE", value_name = "D", default_value = "2s", value_parser = duration::parse)]
    settle: Duration,
    /// Wait this long before the stop signal of a final stop
    #[arg(long, env = "ADIEU_LINGER", value_name = "D", default_value = "0", value_parser = duration::parse)]
    linger: Duration,
    /// Signal that asks the program to end [TERM]
    #[arg(long, env = "ADIEU_STOP_SIGNAL", value_name = "SIG", value_parser = parse_signal)]
    stop_signal: Option<Signal>,
    /// Forward signal TO when signal FROM is received (repeatable)
    #[arg(long, env = "ADIEU_REWRITE", value_name = "FROM=TO", value_delimiter = ',', value_parser = options::parse_rewrite)]
    rewrite: Vec<(Signal, Signal)>,
    /// Exit with code TO instead of code FROM (repeatable)
    #[arg(long, env = "ADIEU_MAP_EXIT", value_name = "FROM=TO", value_delimiter = ',', value_parser = options::parse_exit_pair)]
    map_exit: Vec<(i32, i32)>,
    /// Open this address and pass the socket as systemd, einhorn and Server::Starter do (repeatable)
    #[arg(long, env = "ADIEU_LISTEN", value_name = "ADDR", value_delimiter = ',', value_parser = options::parse_address)]
    listen: Vec<SocketAddr>,
    /// How a generation shows that it is ready: auto, notify, http://IP:PORT/.., tcp:IP:PORT, exec:CMD
    #[arg(long, env = "ADIEU_READY", value_name = "HOW", default_value = "auto")]
    ready: ReadyWhen,
    /// Time for a new generation to become ready; while no generation serves, clients wait at most twice as long
    #[arg(long, env = "ADIEU_READY_TIMEOUT", value_name = "D", default_value = "60s", value_parser = duration::parse)]
    ready_timeout: Duration,
    /// Whether the old and the new generation may run at the same time
    #[arg(long, env = "ADIEU_OVERLAP", value_name = "yes|no", default_value = "yes", value_parser = parse_yes, action = clap::ArgAction::Set)]
    overlap: bool,
    /// Run this before the stop signal, within the grace
    #[arg(long, env = "ADIEU_PRE_STOP", value_name = "CMD|URL")]
    pre_stop: Option<Hook>,
    /// Run this after each end of a generation, with the cause: exit, signal, oom, crash-loop, forced
    #[arg(long, env = "ADIEU_POST_STOP", value_name = "CMD|URL")]
    post_stop: Option<Hook>,
    /// Start the program again when it ends by itself: never, on-failure, always
    #[arg(long, env = "ADIEU_RESTART", value_name = "WHEN", default_value = "never")]
    restart: Restart,
    /// Minimum length of every listener's accept queue
    #[arg(long, env = "ADIEU_BACKLOG", value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    backlog: Option<i32>,
    /// auto: watch the program's sockets; pass: only pass the sockets of --listen; off: a plain init
    #[arg(long, env = "ADIEU_SOCKETS", value_name = "MODE", default_value = "auto")]
    sockets: Sockets,
    /// Write log lines as text or json
    #[arg(long, env = "ADIEU_LOG_FORMAT", value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    log_format: String,
    /// The program and its arguments, after --
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn parse_signal(text: &str) -> Result<Signal, String> {
    text.parse::<Signal>().map_err(|error| error.to_string())
}

fn parse_yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        other => Err(format!("{other:?} is neither yes nor no")),
    }
}

pub(crate) fn run(arguments: RunArgs) -> i32 {
    // Below another instance the variable names that one, as a fact for its program, and not us.
    let nested = std::env::var_os("ADIEU_GENERATION").is_some();
    let told = std::env::var("ADIEU_NAME").ok();
    let options = Options {
        name: arguments.name.filter(|name| !nested || told.as_ref() != Some(name)),
        grace: arguments.grace,
        drain_timeout: arguments.drain_timeout,
        drain_quiet: arguments.drain_quiet,
        settle: arguments.settle,
        linger: arguments.linger,
        stop_signal: arguments.stop_signal,
        rewrite: arguments.rewrite,
        map_exit: arguments.map_exit,
        listen: arguments.listen,
        ready: arguments.ready,
        ready_timeout: arguments.ready_timeout,
        overlap: arguments.overlap,
        pre_stop: arguments.pre_stop,
        post_stop: arguments.post_stop,
        restart: arguments.restart,
        backlog: arguments.backlog,
        sockets: arguments.sockets,
        json_log: arguments.log_format == "json",
        command: arguments.command,
    };
    complain(&adieu_supervisor::run(options));
    code::RUN_FAILED
}
