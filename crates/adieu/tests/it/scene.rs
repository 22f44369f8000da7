//! The two sides of a scene.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use adieu::StopReport;

/// In the environment of the service's side: which scene it plays.
const SCENE: &str = "ADIEU_TEST_SCENE";

/// Longer than anything here takes on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Plays `service` in a process of its own and gives it to `happens`. `name` is the test's own path.
pub(crate) fn play(name: &str, service: fn() -> StopReport, happens: impl FnOnce(Service)) {
    play_under(name, service, Command::new, happens);
}

/// As [`play`], started by the command that `wrap` makes of the program's path.
pub(crate) fn play_under(
    name: &str,
    service: fn() -> StopReport,
    wrap: impl FnOnce(std::path::PathBuf) -> Command,
    happens: impl FnOnce(Service),
) {
    // The first part is the name of the test program itself.
    let (_, name) = name.split_once("::").expect("a path");
    if std::env::var(SCENE).is_ok_and(|scene| scene == name) {
        let report = service();
        say(&format!("report {}", report.to_json()));
        std::process::exit(i32::from(report.code()));
    }
    let mut command = wrap(std::env::current_exe().expect("this program"));
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(SCENE, name).env("RUST_BACKTRACE", "0");
    happens(Service::spawn(command));
}

/// The path of a test function, for [`play`].
macro_rules! scene {
    ($name:ident) => {
        concat!(module_path!(), "::", stringify!($name))
    };
}
pub(crate) use scene;

/// Said by the service, heard by the test.
pub(crate) fn say(line: &str) {
    println!("\n> {line}");
}

/// Blocks every worker of the runtime for ever, and says "all blocked" when that is so. To be called on the runtime.
pub(crate) fn block_all_workers() {
    static BLOCKED: AtomicUsize = AtomicUsize::new(0);
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    for _ in 0..workers {
        tokio::spawn(async move {
            if BLOCKED.fetch_add(1, Ordering::SeqCst) + 1 == workers {
                say("all blocked");
            }
            adieu::testing::Fault::BlocksWorker.happen().await
        });
    }
}

/// A service that runs.
pub(crate) struct Service {
    child: Child,
    lines: Receiver<String>,
    stderr: Receiver<String>,
    said: Vec<String>,
}

/// Waits until no process has this number any more, or only a zombie that nobody reaps.
pub(crate) fn wait_until_gone(pid: i32) {
    let by = Instant::now() + PATIENCE;
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    let zombie = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
    };
    while rustix::process::test_kill_process(pid).is_ok() && !zombie() {
        assert!(Instant::now() < by, "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How a service ended.
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) said: Vec<String>,
    pub(crate) stderr: String,
}

impl End {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The report that `run` returned.
    pub(crate) fn report(&self) -> StopReport {
        let line = self.said.iter().find_map(|line| line.strip_prefix("report "));
        let line = line.unwrap_or_else(|| panic!("no report; said {:?}, stderr:\n{}", self.said, self.stderr));
        serde_json::from_str(line).expect("a report")
    }

    /// Everything said but the report.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.said.iter().map(String::as_str).filter(|line| !line.starts_with("report ")).collect()
    }
}

impl Service {
    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the service starts");
        let (line, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            for text in stdout.lines().map_while(Result::ok) {
                if let Some(said) = text.strip_prefix("> ")
                    && line.send(said.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let (all, stderr) = mpsc::channel();
        let mut pipe = child.stderr.take().expect("a pipe");
        std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).expect("stderr");
            // Nobody waits any more for what an orphan has kept open.
            let _told = all.send(String::from_utf8_lossy(&text).into_owned());
        });
        Self { child, lines, stderr, said: Vec::new() }
    }

    /// Waits until the service says exactly this.
    pub(crate) fn hears(&mut self, line: &str) {
        let by = Instant::now() + PATIENCE;
        while !self.said.iter().any(|said| said == line) {
            match self.lines.recv_timeout(by.saturating_duration_since(Instant::now())) {
                Ok(said) => self.said.push(said),
                Err(error) => {
                    let _killed = self.child.kill();
                    let stderr = self.stderr();
                    panic!(
                        "{line:?} was not said ({error}), but {:?}; stderr:
{stderr}",
                        self.said
                    );
                }
            }
        }
    }

    /// Waits until the service says something that `wanted` takes.
    pub(crate) fn hears_some<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let by = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.said.iter().find_map(|said| wanted(said)) {
                return found;
            }
            match self.lines.recv_timeout(by.saturating_duration_since(Instant::now())) {
                Ok(said) => self.said.push(said),
                Err(error) => {
                    let _killed = self.child.kill();
                    let stderr = self.stderr();
                    panic!("not said ({error}), but {:?}; stderr:\n{stderr}", self.said);
                }
            }
        }
    }

    /// Waits until the service says something that begins so, and returns the rest.
    #[cfg(feature = "http")]
    pub(crate) fn hears_of(&mut self, start: &str) -> String {
        self.hears_some(|said| said.strip_prefix(start).map(str::to_owned))
    }

    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success(), "SIG{name} could not be sent");
    }

    fn stderr(&mut self) -> String {
        let text = self.stderr.recv_timeout(Duration::from_secs(5));
        text.unwrap_or_else(|_| "(somebody keeps standard error open)".to_owned())
    }

    /// Waits for its end.
    pub(crate) fn ends(mut self) -> End {
        let by = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            if Instant::now() > by {
                let _killed = self.child.kill();
                let stderr = self.stderr();
                panic!(
                    "it does not end; said {:?}, stderr:
{stderr}",
                    self.said
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        // The pipe is closed: everything that was said comes in.
        let by = Instant::now() + Duration::from_secs(5);
        let next = || self.lines.recv_timeout(by.saturating_duration_since(Instant::now())).ok();
        let rest: Vec<String> = std::iter::from_fn(next).collect();
        self.said.extend(rest);
        End { status, said: std::mem::take(&mut self.said), stderr: self.stderr() }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Ended already, unless the test has failed.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
