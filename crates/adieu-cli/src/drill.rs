//! `adieu drill` and `adieu demo`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;

use adieu_core::duration;
use adieu_core::outcome::code;
use adieu_core::signal::Signal;
use adieu_drill::{Config, Progress, Target, demo};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use crate::complain;

#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    /// The shell command that restarts the server: `adieu reload x`, `systemctl restart x`, ...
    #[arg(long, value_name = "CMD")]
    restart: String,
    /// How often to restart
    #[arg(long, value_name = "N", default_value = "5")]
    count: usize,
    /// What to load
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/")]
    url: Target,
    /// Clients, each with one request at a time
    #[arg(long, value_name = "C", default_value = "32")]
    connections: usize,
    /// The whole load; the restarts are spread over it
    #[arg(long, value_name = "D", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// How many of a hundred clients keep their connection
    #[arg(long, value_name = "PERCENT", default_value = "50", value_parser = clap::value_parser!(u8).range(0..=100))]
    keepalive: u8,
    /// Load before the first restart
    #[arg(long, value_name = "D", default_value = "2s", value_parser = duration::parse)]
    calm: Duration,
    /// Load after each restart, without --duration
    #[arg(long, value_name = "D", default_value = "1s", value_parser = duration::parse)]
    pause: Duration,
    /// The longest a request may take
    #[arg(long, value_name = "D", default_value = "5s", value_parser = duration::parse)]
    timeout: Duration,
    /// Text that every body must contain
    #[arg(long, value_name = "TEXT")]
    expect: Option<String>,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoServerArgs {
    /// Where to listen
    address: SocketAddr,
}

fn runtime() -> Option<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|error| complain(&format!("cannot start the runtime: {error}"))).ok()
}

/// Done when Ctrl-C or SIGTERM comes. Listens from now on, and not from when somebody first waits for it.
fn asked_to_stop(runtime: &tokio::runtime::Runtime) -> Option<impl Future<Output = ()> + use<>> {
    let _context = runtime.enter();
    let both = signal(SignalKind::interrupt()).and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
    let (mut interrupt, mut terminate) =
        both.map_err(|error| complain(&format!("cannot listen for signals: {error}"))).ok()?;
    Some(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// A bar on a terminal; nothing elsewhere.
fn bar() -> impl FnMut(Progress) {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} restarts, {msg}") {
        bar.set_style(style);
    }
    move |progress| {
        bar.set_length(progress.of as u64);
        bar.set_position(progress.restarts as u64);
        bar.set_message(format!("{} requests, {} lost", progress.requests, progress.lost));
    }
}

pub(crate) fn drill(arguments: DrillArgs) -> i32 {
    let mut config = Config::new(arguments.url, arguments.restart);
    config.count = arguments.count;
    config.connections = arguments.connections;
    config.keepalive = arguments.keepalive;
    config.duration = arguments.duration;
    config.calm = arguments.calm;
    config.pause = arguments.pause;
    config.timeout = arguments.timeout;
    config.expect = arguments.expect;
    let Some(runtime) = runtime() else { return code::FINDING };
    let Some(stop) = asked_to_stop(&runtime) else { return code::FINDING };
    match runtime.block_on(adieu_drill::run(config, stop, bar())) {
        Err(error) => {
            complain(&error);
            code::USAGE
        }
        Ok(report) => {
            if arguments.json {
                println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
            } else {
                print!("{}", report.render_text());
            }
            match report.is_clean() {
                true if report.interrupted => 128 + Signal::INT.number(),
                true => code::DONE,
                false => code::FINDING,
            }
        }
    }
}

pub(crate) fn demo() -> i32 {
    let Some(runtime) = runtime() else { return code::FINDING };
    let exe = match std::env::current_exe() {
        Ok(exe) => exe,
        Err(error) => {
            complain(&format!("cannot find this executable: {error}"));
            return code::FINDING;
        }
    };
    let Some(stop) = asked_to_stop(&runtime) else { return code::FINDING };
    let given = runtime.block_on(async {
        tokio::select! {
            given = demo::demo(exe, |text| print!("{text}"), bar()) => Some(given),
            () = stop => None,
        }
    });
    match given {
        Some(Ok(true)) => code::DONE,
        Some(Ok(false)) | None => code::FINDING,
        Some(Err(error)) => {
            complain(&error);
            code::FINDING
        }
    }
}

pub(crate) fn demo_server(arguments: &DemoServerArgs) -> i32 {
    let Some(runtime) = runtime() else { return code::FINDING };
    match runtime.block_on(demo::serve(arguments.address)) {
        Ok(()) => code::DONE,
        Err(error) => {
            complain(&format!("cannot serve on {}: {error}", arguments.address));
            code::FINDING
        }
    }
}
