//! The acts: `kill -9` and start, SIGTERM and start, `adieu reload`.

use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::class::Class;
use crate::config::Config;
use crate::demo::place::{Place, Supervised};
use crate::progress::Progress;
use crate::report::Report;
use crate::run::{DrillError, run};
use crate::target::Target;

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
/// returns whether the last act lost nothing. Takes less than half a minute.
///
/// Needs a process of its own: it makes this one the reaper of its orphans, and in the end kills all that is below it. Also
/// when dropped, so that nothing is left behind by whoever has no patience; that takes a moment and blocks.
///
/// # Errors
/// [`DemoError`].
pub async fn demo(
    exe: PathBuf,
    mut say: impl FnMut(&str),
    mut progress: impl FnMut(Progress),
) -> Result<bool, DemoError> {
    let place = Place::new(&exe).map_err(|error| DemoError::System("make a place for the demo", error))?;
    say("An ordinary server under 32 clients, half of them keep-alive, restarted 6 times in each of three ways.\n");
    let mut rows = Vec::new();
    for act in [Act::Kill, Act::Terminate, Act::Reload] {
        say(&format!("\n{}\n", act.title()));
        let report = act.play(&place, &mut progress).await?;
        say(&report.render_table());
        rows.push((act, report));
    }
    say(&table(&rows));
    Ok(rows.last().is_some_and(|(_, report)| report.is_clean()))
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
        let (exe, directory, pid) = (quoted(place.exe()), quoted(place.directory()), quoted(&place.pid_file()));
        let start = format!("{exe} demo-server {address} & echo $! >{pid}");
        // Its parent is this process by now, which does not look after it: dead is dead.
        let gone = "while read -r stat </proc/$pid/stat; do case $stat in *') Z '*) break;; esac; sleep 0.01; done 2>/dev/null";
        let restart = match self {
            Self::Kill => format!("read -r pid <{pid}; kill -9 $pid; {gone}; {start}"),
            Self::Terminate => format!("read -r pid <{pid}; kill -TERM $pid; {gone}; {start}"),
            Self::Reload => format!("ADIEU_RUNTIME_DIR={directory} {exe} reload {NAME}"),
        };
        let supervised = if self == Self::Reload {
            let mut command = Command::new(place.exe());
            command.args(["run", "--name", NAME, "--settle", "300ms", "--"]).arg(place.exe());
            command.args(["demo-server", &address.to_string()]).env("ADIEU_RUNTIME_DIR", place.directory());
            Some(Supervised::start(command).map_err(system("start adieu run"))?)
        } else {
            let started = Command::new("/bin/sh").args(["-c", &start]).stdin(Stdio::null()).status();
            started.map_err(system("start the server"))?;
            None
        };
        wait_until_it_listens(address).await.map_err(system("reach the server that was started"))?;
        let mut config = Config::new(Target::at(address), restart);
        config.count = RESTARTS;
        config.calm = Duration::from_secs(1);
        config.pause = Duration::from_millis(700);
        config.expect = Some("hello from".to_owned());
        let report = run(config, std::future::pending(), progress).await;
        drop(supervised);
        place.clear();
        Ok(report?)
    }
}

/// For the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// An address below the ports that the kernel gives to clients: while the server is away nobody else may have it.
fn free_address() -> io::Result<SocketAddr> {
    let ports = (0..1000).map(|step| 20_000 + (std::process::id() + step * 7) % 8_000);
    let mut ports = ports.filter_map(|port| u16::try_from(port).ok()).chain([0]);
    let bound = ports.find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    bound.ok_or(io::ErrorKind::AddrInUse)?.local_addr()
}

/// Readiness by connecting, not by waiting a while.
async fn wait_until_it_listens(address: SocketAddr) -> io::Result<()> {
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= limit => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn table(rows: &[(Act, Report)]) -> String {
    let header = ["requests", "lost", "refused", "reset", "cut off", "races", "longest gap"];
    let mut text = format!("\n{:<26}", "");
    for name in header {
        let _ = write!(text, " {name:>11}");
    }
    text.push('\n');
    for (act, report) in rows {
        let _ = write!(text, "{:<26}", act.name());
        let [refused, reset, cut, races] =
            [Class::Refused, Class::Reset, Class::Cut, Class::Race].map(|class| report.count(class));
        for number in [report.total.requests, report.lost(), refused, reset, cut, races] {
            let _ = write!(text, " {number:>11}");
        }
        let _ = writeln!(text, " {:>8.0} ms", report.total.longest_gap_ms);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_is_one_word_for_the_shell() {
        let path = "/tmp/it's $HOME; `exit 1` \"here\"";
        let echoed = Command::new("/bin/sh").args(["-c", &format!("printf %s {}", quoted(Path::new(path)))]).output();
        assert_eq!(String::from_utf8(echoed.expect("a shell").stdout).as_deref(), Ok(path));
    }
}
