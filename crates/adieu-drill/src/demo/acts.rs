//! The acts: `kill -9` and start, SIGTERM and start, `adieu reload`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use adieu_core::signal::Signal;
use adieu_linux::pidfd::Pidfd;

use crate::class::Class;
use crate::config::{Config, Target};
use crate::progress::Progress;
use crate::report::Report;
use crate::run::{DrillError, run};

/// A demo that could not be given.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A drill could not begin.
    #[error(transparent)]
    Drill(#[from] DrillError),
    /// A process or a socket could not be had.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
}

const RESTARTS: usize = 6;
const NAME: &str = "demo";

/// Gives the demo with `exe`, which is both the server (`demo-server ADDRESS`) and adieu. `say` gets the text as it goes;
/// returns whether the last act lost nothing. Takes about half a minute. Ends whatever it has started, also when dropped.
///
/// # Errors
/// [`DemoError`].
pub async fn demo(
    exe: PathBuf,
    mut say: impl FnMut(&str),
    mut progress: impl FnMut(Progress),
) -> Result<bool, DemoError> {
    say("An ordinary server under 32 clients, half of them keep-alive, restarted 6 times in each of three ways.\n");
    let place = Place::new(&exe).map_err(|error| DemoError::System("make a directory for the demo", error))?;
    let mut rows = Vec::new();
    for act in [Act::Kill, Act::Terminate, Act::Reload] {
        say(&format!("\n{}\n", act.title()));
        let report = act.play(&place, &mut progress).await?;
        say(&report.render_text());
        rows.push((act, report));
    }
    say(&table(&rows));
    Ok(rows.last().is_some_and(|(_, report)| report.is_clean()))
}

/// Where the demo keeps its files, and who it has started.
struct Place {
    exe: PathBuf,
    directory: PathBuf,
}

impl Place {
    fn new(exe: &Path) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("adieu-demo-{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        Ok(Self { exe: exe.to_owned(), directory })
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The server of the first two acts is a child of the restart command: it is known by its pid file only.
        if let Ok(pid) = std::fs::read_to_string(self.pid_file()) {
            end(pid.trim());
        }
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// Kills the server with this pid, and nobody who has the number after it.
fn end(pid: &str) {
    let Some(number) = pid.parse().ok() else { return };
    let Ok(server) = Pidfd::open(number) else { return };
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if command.split(|byte| *byte == 0).any(|word| word == b"demo-server") {
        drop(server.send(Signal::KILL));
    }
}

/// The supervisor of the last act; stopped in the end, whatever happens.
struct Supervised(Child);

impl Drop for Supervised {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).unwrap_or(0);
        drop(Pidfd::open(pid).and_then(|supervisor| supervisor.send(Signal::TERM)));
        drop(self.0.wait());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Kill,
    Terminate,
    Reload,
}

impl Act {
    fn title(self) -> &'static str {
        match self {
            Self::Kill => "1. kill -9, then start again",
            Self::Terminate => "2. SIGTERM, wait until it has gone, then start again (graceful, as usual)",
            Self::Reload => "3. adieu run, adieu reload: the same server, unmodified",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9, then start again",
            Self::Terminate => "SIGTERM, then start again",
            Self::Reload => "adieu reload",
        }
    }

    async fn play(self, place: &Place, progress: &mut impl FnMut(Progress)) -> Result<Report, DemoError> {
        let system = |what| move |error| DemoError::System(what, error);
        let address = free_address().map_err(system("find a free port"))?;
        let exe = place.exe.display();
        let pid_file = place.pid_file();
        let pid = pid_file.display();
        let start = format!("'{exe}' demo-server {address} & echo $! > '{pid}'");
        let wait = format!(
            "while kill -0 $(cat '{pid}') 2>/dev/null && ! grep -q '^State:.Z' /proc/$(cat '{pid}')/status; do sleep 0.01; done"
        );
        let restart = match self {
            Self::Kill => format!("kill -9 $(cat '{pid}'); {wait}; {start}"),
            Self::Terminate => format!("kill -TERM $(cat '{pid}'); {wait}; {start}"),
            Self::Reload => format!("ADIEU_RUNTIME_DIR='{}' '{exe}' reload {NAME}", place.directory.display()),
        };
        let supervised = match self {
            Self::Reload => {
                let mut command = Command::new(&place.exe);
                command
                    .args(["run", "--name", NAME, "--settle", "300ms", "--"])
                    .arg(&place.exe)
                    .args(["demo-server", &address.to_string()]);
                command.env("ADIEU_RUNTIME_DIR", &place.directory).stdin(Stdio::null());
                Some(Supervised(command.spawn().map_err(system("start adieu run"))?))
            }
            Self::Kill | Self::Terminate => {
                let started = Command::new("/bin/sh").args(["-c", &start]).stdin(Stdio::null()).status();
                started.map_err(system("start the server"))?;
                None
            }
        };
        wait_until_it_listens(address).map_err(system("reach the server that was started"))?;
        let target = Target { address, host: address.to_string(), path: "/".to_owned() };
        let mut config = Config::new(target, restart);
        config.count = RESTARTS;
        config.calm = Duration::from_secs(1);
        config.pause = Duration::from_millis(700);
        config.expect = Some("hello from".to_owned());
        let report = run(config, std::future::pending(), progress).await;
        drop(supervised);
        if self != Self::Reload
            && let Ok(pid) = std::fs::read_to_string(&pid_file)
        {
            end(pid.trim());
            drop(std::fs::remove_file(&pid_file));
        }
        Ok(report?)
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Readiness by connecting, not by waiting a while.
fn wait_until_it_listens(address: SocketAddr) -> io::Result<()> {
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= limit => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn table(rows: &[(Act, Report)]) -> String {
    let mut text = format!(
        "\n{:<28} {:>9} {:>7} {:>8} {:>14} {:>6} {:>12}\n",
        "", "requests", "lost", "refused", "reset/cut off", "race", "longest gap"
    );
    for (act, report) in rows {
        let cut = report.count(Class::Reset) + report.count(Class::Cut);
        let requests: usize = Class::ALL.iter().map(|class| report.count(*class)).sum();
        let name = act.name();
        text.push_str(&format!(
            "{name:<28} {requests:>9} {:>7} {:>8} {cut:>14} {:>6} {:>9.0} ms\n",
            report.lost(),
            report.count(Class::Refused),
            report.count(Class::Race),
            report.longest_gap_ms()
        ));
    }
    text
}
