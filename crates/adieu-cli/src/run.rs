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

/// Every option can also be given as the environment variable that its help names.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Name of the instance [program's base name, with -2, -3, ... when taken]
    #[arg(long, env = "ADIEU_NAME", value_name = "NAME")]
    name: Option<String>,
    /// From the stop of a generation to its kill, draining included
    #[arg(long, env = "ADIEU_GRACE", value_name = "D", default_value = "30s", value_parser = duration::parse)]
    grace: Duration,
    /// The longest wait for connections that are owed an answer, before the stop signal [2/3 of the grace]
    #[arg(long, env = "ADIEU_DRAIN_TIMEOUT", value_name = "D", value_parser = duration::parse)]
    drain_timeout: Option<Duration>,
    /// A connection that is owed an answer counts as given up when nothing moves for so long
    #[arg(long, env = "ADIEU_DRAIN_QUIET", value_name = "D", default_value = "2s", value_parser = duration::parse)]
    drain_quiet: Duration,
    /// After a switch the old generation can take over again for so long
    #[arg(long, env = "ADIEU_SETTLE", value_name = "D", default_value = "2s", value_parser = duration::parse)]
    settle: Duration,
    /// A final stop waits so long before the stop signal
    #[arg(long, env = "ADIEU_LINGER", value_name = "D", default_value = "0", value_parser = duration::parse)]
    linger: Duration,
    /// The signal that asks the program to end [TERM]
    #[arg(long, env = "ADIEU_STOP_SIGNAL", value_name = "SIG", value_parser = parse_signal)]
    stop_signal: Option<Signal>,
    /// Forward signal TO when FROM is received (repeatable)
    #[arg(long, env = "ADIEU_REWRITE", value_name = "FROM=TO", value_delimiter = ',', value_parser = options::parse_rewrite)]
    rewrite: Vec<(Signal, Signal)>,
    /// End with code TO when the program ended with FROM (repeatable)
    #[arg(long, env = "ADIEU_MAP_EXIT", value_name = "FROM=TO", value_delimiter = ',', value_parser = options::parse_exit_pair)]
    map_exit: Vec<(i32, i32)>,
    /// Open this address and pass it as LISTEN_FDS (and as einhorn and Server::Starter do); repeatable
    #[arg(long, env = "ADIEU_LISTEN", value_name = "ADDR", value_delimiter = ',', value_parser = options::parse_address)]
    listen: Vec<SocketAddr>,
    /// When a generation is ready: auto, notify, http://IP:PORT/.., tcp:IP:PORT, exec:CMD
    #[arg(long, env = "ADIEU_READY", value_name = "HOW", default_value = "auto")]
    ready: ReadyWhen,
    /// A new generation must be ready after so long; where nobody serves meanwhile, clients wait twice as long at most
    #[arg(long, env = "ADIEU_READY_TIMEOUT", value_name = "D", default_value = "60s", value_parser = duration::parse)]
    ready_timeout: Duration,
    /// Whether the old and the new generation may run at once
    #[arg(long, env = "ADIEU_OVERLAP", value_name = "yes|no", default_value = "yes", value_parser = parse_yes, action = clap::ArgAction::Set)]
    overlap: bool,
    /// Run before the stop signal, within the grace
    #[arg(long, env = "ADIEU_PRE_STOP", value_name = "CMD|URL")]
    pre_stop: Option<Hook>,
    /// Run after each end of a generation, told why it ended
    #[arg(long, env = "ADIEU_POST_STOP", value_name = "CMD|URL")]
    post_stop: Option<Hook>,
    /// When the program ends by itself: never, on-failure, always
    #[arg(long, env = "ADIEU_RESTART", value_name = "WHEN", default_value = "never")]
    restart: Restart,
    /// The least accept queue of every listener
    #[arg(long, env = "ADIEU_BACKLOG", value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    backlog: Option<i32>,
    /// auto: watch the program's own sockets; pass: only those of --listen; off: a plain init
    #[arg(long, env = "ADIEU_SOCKETS", value_name = "MODE", default_value = "auto")]
    sockets: Sockets,
    /// Log lines as text or json
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
