//! `adieu drill` and `adieu demo`.

use std::future::{pending, poll_fn};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use adieu_core::duration;
use adieu_core::outcome::code;
use adieu_core::signal::Signal;
use adieu_drill::{Config, DrillError, NotStarted, Progress, Report, Target, demo};
use adieu_linux::signals;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};
use tokio::sync::watch;

use crate::out::{self, complain};

const HELP: &str = "\
The load is a closed loop: each client has one request at a time. A waiting client asks less meanwhile, so percentiles \
flatter a server that stalls. The longest gap between two successes of any client shows the full length of an outage. A \
client that has lost a request waits 20 ms, so losses measure the length of an outage, not how fast a kernel refuses.

A request is lost when it is refused, reset, cut off, timed out, or answered with a status of 500 or more or with an \
unexpected status or body. A race is a reused connection that the server closed as the client wrote on it, without \
having read the request. HTTP allows the client to send that request again, so the drill counts races apart.

If the server is on this machine, the drill refuses to begin when two programs share the port, and says when the same \
processes listen after a restart as before.

Exit codes: 0 nothing lost, 1 something lost or a restart failed, 2 usage, 6 nothing answers, 130 interrupted and \
nothing lost so far. Ctrl-C ends the drill with a report of what it has seen; a second Ctrl-C ends it at once.";

#[derive(Debug, Args)]
#[command(after_long_help = HELP, after_help = "More with --help.")]
pub(crate) struct DrillArgs {
    /// Shell command that restarts the server: `adieu reload x`, `systemctl restart x`, ...
    #[arg(long, value_name = "CMD")]
    restart: String,
    /// Number of restarts
    #[arg(long, value_name = "N", default_value = "5")]
    count: usize,
    /// URL to load; it must answer before the drill begins
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/")]
    url: Target,
    /// Number of clients, each with one request at a time
    #[arg(long, value_name = "C", default_value = "32")]
    connections: usize,
    /// Length of the whole load; the restarts are spread over it
    #[arg(long, value_name = "D", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Percentage of clients that keep their connection; the others open a connection for each request
    #[arg(long, value_name = "PERCENT", default_value = "50", value_parser = clap::value_parser!(u8).range(0..=100))]
    keepalive: u8,
    /// Time of load before the first restart [default: 2s, or a quarter of a short --duration]
    #[arg(long, value_name = "D", value_parser = duration::parse)]
    calm: Option<Duration>,
    /// Time of load after each restart, if --duration is not given
    #[arg(long, value_name = "D", default_value = "1s", value_parser = duration::parse)]
    pause: Duration,
    /// Longest time that a request may take
    #[arg(long, value_name = "D", default_value = "5s", value_parser = duration::parse)]
    timeout: Duration,
    /// Longest time that a restart may take; a slower command is killed and ends the drill
    #[arg(long, value_name = "D", default_value = "2m", value_parser = duration::parse)]
    restart_timeout: Duration,
    /// Text that every answer must contain
    #[arg(long, value_name = "TEXT")]
    expect: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoServerArgs {
    /// Where to listen
    address: SocketAddr,
}

impl DrillArgs {
    fn config(self) -> Config {
        let mut config = Config::new(self.url, self.restart);
        config.calm =
            self.calm.unwrap_or_else(|| self.duration.map_or(config.calm, |whole| config.calm.min(whole / 4)));
        config.count = self.count;
        config.connections = self.connections;
        config.keepalive = self.keepalive;
        config.duration = self.duration;
        config.pause = self.pause;
        config.timeout = self.timeout;
        config.restart_timeout = self.restart_timeout;
        config.expect = self.expect;
        config
    }
}

fn runtime() -> Option<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|error| complain(&format!("cannot start the runtime: {error}"))).ok()
}

/// How often we were asked to stop; a second time counts when it comes a second later, because senders duplicate.
#[derive(Debug, Clone)]
struct Asked(watch::Receiver<usize>);

impl Asked {
    /// Listens from now on, and not from when somebody first waits for it. What was ignored when we were started, as in the
    /// background of a script or under nohup, stays so.
    fn listen(runtime: &tokio::runtime::Runtime) -> Option<Self> {
        let _context = runtime.enter();
        let heard = [Signal::INT, Signal::TERM, Signal::HUP].into_iter().filter(|heard| !signals::is_ignored(*heard));
        let listening: Result<Vec<_>, _> = heard.map(|heard| signal(SignalKind::from_raw(heard.number()))).collect();
        let mut listening = listening.map_err(|error| complain(&format!("cannot listen for signals: {error}"))).ok()?;
        let (tell, asked) = watch::channel(0);
        runtime.spawn(async move {
            loop {
                poll_fn(|context| any(&mut listening, context)).await;
                tell.send_modify(|times| *times += 1);
                tokio::time::sleep(Duration::from_secs(1)).await;
                // What came meanwhile was the same wish.
                while any(&mut listening, &mut Context::from_waker(Waker::noop())).is_ready() {}
            }
        });
        Some(Self(asked))
    }

    async fn times(mut self, wanted: usize) {
        if self.0.wait_for(|times| *times >= wanted).await.is_err() {
            // The runtime ends.
            pending().await
        }
    }
}

/// Ready when one of them has come.
fn any(listening: &mut [UnixSignal], context: &mut Context<'_>) -> Poll<()> {
    let come = listening.iter_mut().any(|heard| matches!(heard.poll_recv(context), Poll::Ready(Some(()))));
    if come { Poll::Ready(()) } else { Poll::Pending }
}

/// A bar on a terminal, where no text is written into it; nothing elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} restarts, {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn show(&self, progress: Progress) {
        self.0.set_length(progress.of as u64);
        self.0.set_position(progress.restarts as u64);
        self.0.set_message(format!("{} requests, {} lost", progress.requests, progress.lost));
    }

    /// Writes a text; whether somebody reads it.
    fn say(&self, text: &str) -> bool {
        self.0.suspend(|| out::try_print(text).is_ok())
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

const INTERRUPTED: i32 = 128 + Signal::INT.number();

pub(crate) fn drill(arguments: DrillArgs) -> i32 {
    let json = arguments.json;
    let Some(runtime) = runtime() else { return code::FINDING };
    let Some(asked) = Asked::listen(&runtime) else { return code::FINDING };
    let bar = Bar::new();
    let drilled = runtime.block_on(async {
        tokio::select! {
            drilled = adieu_drill::run(arguments.config(), asked.clone().times(1), |progress| bar.show(progress)) => Some(drilled),
            () = asked.times(2) => None,
        }
    });
    drop(bar);
    match drilled {
        None | Some(Err(DrillError::Stopped)) => INTERRUPTED,
        Some(Err(error)) => {
            complain(&error);
            match error {
                DrillError::NotStarted(NotStarted::NotThere(_)) => code::NO_TARGET,
                _ => code::USAGE,
            }
        }
        Some(Ok(report)) => {
            let text = if json { in_json(&report) } else { report.render_text() };
            // Whoever has closed it does not want to know.
            drop(out::try_print(text));
            match report.is_clean() {
                true if report.interrupted => INTERRUPTED,
                true => code::DONE,
                false => code::FINDING,
            }
        }
    }
}

fn in_json(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
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
    let Some(asked) = Asked::listen(&runtime) else { return code::FINDING };
    let bar = Bar::new();
    let (tell, unread) = watch::channel(false);
    let nobody_reads = async |mut unread: watch::Receiver<bool>| drop(unread.wait_for(|unread| *unread).await);
    let say = |text: &str| {
        if !bar.say(text) {
            tell.send_replace(true);
        }
    };
    let given = runtime.block_on(async {
        tokio::select! {
            given = demo::demo(exe, say, |progress| bar.show(progress)) => Some(given),
            () = asked.times(1) => None,
            () = nobody_reads(unread) => None,
        }
    });
    drop(bar);
    match given {
        Some(Ok(true)) => code::DONE,
        Some(Ok(false)) => code::FINDING,
        None => INTERRUPTED,
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
