//! What goes wrong around a switch: newcomers that fail, processes that are killed at any step of it, stops and reloads in
//! the middle of others. Whoever is left serves, nobody is refused, and what happened is told.

mod alone;
mod command;
mod crashes;
mod crowd;
mod draining;
mod flat;
mod meetings;
mod messages;
mod newcomer;
mod settling;
mod steps;
mod watched;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::harness::{Port, get, wait_until_it_answers};
use crate::init::{ADIEU, Init, PYTHON, Scene, lives, until};

/// Short, so that a reload is over soon; the defaults only wait longer for the same.
const QUICK: &[&str] = &["--settle", "200ms", "--drain-timeout", "2s", "--drain-quiet", "500ms", "--grace", "10s"];

/// `programs/server.py` under `adieu run`, with clients' commands at hand.
#[derive(Debug)]
struct Service {
    init: Init,
    port: Port,
    scene: Scene,
}

impl Service {
    /// Starts it with [`QUICK`] and these options (which win, and may bring another program), and waits until it answers.
    fn start(options: &[&str]) -> Self {
        Self::start_in(&[], options)
    }

    /// As [`Self::start`], with variables for adieu and its program, and options of `env`.
    fn start_in(environment: &[&str], options: &[&str]) -> Self {
        let service = Self::begin_in(environment, options);
        service.answered()
    }

    /// Waits until it answers.
    fn answered(mut self) -> Self {
        wait_until_it_answers(&mut self.init.process, self.port.number(), "/");
        self
    }

    /// As [`Self::start_in`], without waiting for the program.
    fn begin_in(environment: &[&str], options: &[&str]) -> Self {
        let (scene, port) = (Scene::new(), Port::claim());
        let at = format!("PORT={}", port.number());
        // An option may be given once: what a test says replaces what is usual.
        let usual = QUICK.chunks(2).filter(|pair| !options.contains(&pair[0])).flatten().copied().collect::<Vec<_>>();
        let front = [&["env"][..], environment, &[&at, ADIEU, "run", "--name", "s"]].concat();
        let program = server();
        let program: &[&str] = if options.contains(&"--") { &[] } else { &["--", PYTHON, &program] };
        let words = [&front[..], &usual, options, program].concat();
        let service = Self { init: scene.start("adieu", &words), port, scene };
        until("it can be asked", || service.command(&["status", "s"]).output().is_ok_and(|told| told.status.success()));
        service
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        get(self.port.number(), path)
    }

    /// The generation that answers a fresh connection.
    fn answers(&self) -> u64 {
        let answer = self.get("/").unwrap_or_else(|error| panic!("{error}\n{}", self.account()));
        crowd::generation(&answer).unwrap_or_else(|| panic!("{answer:?}"))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.scene.command(&[ADIEU]);
        command.args(words);
        command
    }

    /// Runs `adieu reload s WORDS` to its end.
    fn reload(&self, words: &[&str]) -> Told {
        Told::from(self.command(&[&["reload", "s"], words].concat()).output().expect("adieu can be started"))
    }

    /// Starts `adieu reload s WORDS`.
    fn begin_reload(&self, words: &[&str]) -> Begun {
        self.begin(&[&["reload", "s"], words].concat())
    }

    /// Starts `adieu WORDS`.
    fn begin(&self, words: &[&str]) -> Begun {
        let mut command = self.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Begun(command.spawn().expect("adieu can be started"))
    }

    /// A reload that must go well.
    fn must_reload(&self, words: &[&str]) -> Told {
        let told = self.reload(words);
        assert_eq!(told.code, 0, "{told:?}\n{}", self.account());
        told
    }

    fn stop_from_outside(&self) -> Told {
        Told::from(self.command(&["stop", "s"]).output().expect("adieu can be started"))
    }

    fn status(&self) -> Value {
        self.status_if_up().expect("it is up")
    }

    /// `None` as long as there is nobody to ask.
    fn status_if_up(&self) -> Option<Value> {
        let output = self.command(&["status", "s", "--json"]).output().expect("adieu can be started");
        let read = || serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code() != Some(6)).then(read)
    }

    /// What `adieu status` shows of one generation.
    fn generation(&self, number: u64) -> Option<Value> {
        let status = self.status_if_up()?;
        let all = status["generations"].as_array().expect("a list").clone();
        all.into_iter().find(|generation| generation["generation"] == number)
    }

    /// Waits until that generation is in that phase.
    fn wait_for_phase(&self, number: u64, phase: &str) {
        let mut last = None;
        until(&format!("generation {number} is {phase}\n{last:?}"), || {
            last = self.generation(number);
            last.as_ref().is_some_and(|generation| generation["phase"] == phase)
        });
    }

    /// The pid of a generation's main process.
    fn main(&self, number: u64) -> Pid {
        let generation =
            self.generation(number).unwrap_or_else(|| panic!("no generation {number}\n{}", self.account()));
        let pid = generation["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        pid.unwrap_or_else(|| panic!("{generation}"))
    }

    /// What happened, one entry per line.
    fn timeline(&self) -> String {
        let output = self.command(&["timeline", "s"]).output().expect("adieu can be started");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Everything that explains a failure.
    fn account(&self) -> String {
        format!("--- timeline ---\n{}--- output ---\n{}", self.timeline(), self.init.process.output())
    }

    /// Stops it as a user does; nothing is left of it then.
    fn end(mut self) {
        let told = self.stop_from_outside();
        assert_eq!(told.code, 0, "{told:?}\n{}", self.init.process.output());
        self.init.wait();
        self.nobody_is_left();
    }

    /// Waits until no process works in this test's directory.
    fn nobody_is_left(&self) {
        let here = self.scene.directory().canonicalize().expect("the directory is there");
        let left = || {
            let all = fs::read_dir("/proc").expect("/proc is mounted").flatten();
            all.filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|there| there == here)).count()
        };
        until("nobody is left", || left() == 0);
    }
}

/// The path of the server.
fn server() -> String {
    format!("{}/tests/it/failures/programs/server.py", env!("CARGO_MANIFEST_DIR"))
}

/// A request that is not answered in the time of a test.
fn slow_request(service: &Service) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", service.port.number())).expect("it listens");
    stream.write_all(b"GET /sleep/600000 HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    stream
}

fn kill(pid: Pid, signal: Signal) {
    rustix::process::kill_process(pid, signal).expect("the process is there");
}

/// Kills a process and waits until it is gone.
fn kill_for_good(pid: Pid) {
    kill(pid, Signal::KILL);
    until("it is dead", || !lives(pid));
}

/// What a command said in the end.
#[derive(Debug)]
struct Told {
    code: i32,
    out: String,
    error: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), error: text(&output.stderr) }
    }
}

/// A command that runs.
#[derive(Debug)]
struct Begun(std::process::Child);

impl Begun {
    fn end(self) -> Told {
        Told::from(self.0.wait_with_output().expect("its output can be read"))
    }

    fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("a child can be waited for").is_some()
    }

    fn kill(mut self) {
        self.0.kill().expect("one's own child can be killed");
        self.0.wait().expect("a child can be waited for");
    }
}
