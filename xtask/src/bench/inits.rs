//! `adieu run` as a plain init beside tini, dumb-init and catatonit: what starting a program under it costs, how
//! soon a SIGTERM is through, and how much memory it holds while it waits.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::samples::Samples;
use crate::command::{Failure, Outcome, cargo, step, target_dir, which};
use crate::tables;

const SPAWNS: usize = 300;
const STOPS: usize = 60;

/// A way of starting a program; the program and its arguments come last.
struct Init {
    name: &'static str,
    command: Vec<String>,
    spawn: Samples,
    to_handler: Samples,
    to_exit: Samples,
    pss: Samples,
    private: Samples,
}

impl Init {
    fn new(name: &'static str, command: Vec<String>) -> Self {
        let [spawn, to_handler, to_exit, pss, private] = Default::default();
        Self { name, command, spawn, to_handler, to_exit, pss, private }
    }

    fn installed(name: &'static str, args: &[&str]) -> Outcome<Self> {
        let missing = || Failure(format!("{name} is not installed: `cargo xtask test` installs it"));
        let file = which(name).ok_or_else(missing)?;
        let args = args.iter().map(ToString::to_string);
        Ok(Self::new(name, [file.display().to_string()].into_iter().chain(args).collect()))
    }

    fn start(&self, program: &[&str], directory: &str) -> Command {
        let mut words = self.command.iter().map(String::as_str).chain(program.iter().copied());
        let mut command = Command::new(words.next().unwrap_or("/bin/false"));
        command.args(words).stdin(Stdio::null()).stderr(Stdio::null());
        command.env("ADIEU_RUNTIME_DIR", directory);
        command
    }

    fn binary_kb(&self) -> u64 {
        self.command.first().and_then(|file| fs::metadata(file).ok()).map_or(0, |meta| meta.len() / 1024)
    }
}

/// Measures them all in turns and returns the table.
pub(crate) fn compare() -> Outcome<String> {
    step(&mut cargo(&["build", "--quiet", "--release", "--package", "adieu-cli"]))?;
    let adieu = target_dir().join("release").join("adieu").display().to_string();
    let run =
        |options: &[&str]| [&[&adieu, "run"], options, &["--"]].concat().iter().map(ToString::to_string).collect();
    let mut inits = vec![
        Init::new("no init", Vec::new()),
        Init::new("adieu run --sockets off", run(&["--sockets", "off"])),
        Init::new("adieu run, with its keeper", run(&[])),
        Init::installed("tini", &["-s", "--"])?,
        Init::installed("dumb-init", &["--"])?,
        Init::installed("catatonit", &["--"])?,
    ];
    let runtime = RuntimeDir::new()?;
    let directory = runtime.0.display().to_string();
    for round in 0..SPAWNS {
        for init in &mut inits {
            let took = spawn_true(init, &directory)?;
            // The first rounds fill the page cache.
            if round >= SPAWNS / 10 {
                init.spawn.add(took);
            }
        }
    }
    for _ in 0..STOPS {
        for init in &mut inits {
            stop_once(init, &directory)?;
        }
    }
    Ok(table(&inits))
}

/// Microseconds from before the fork until the init was waited for, with `/bin/true` under it.
fn spawn_true(init: &Init, directory: &str) -> Outcome<f64> {
    let began = now()?;
    let status = init.start(&["/bin/true"], directory).stdout(Stdio::null()).status()?;
    let took = (now()? - began) as f64 / 1e3;
    if status.success() { Ok(took) } else { Err(Failure(format!("{}: /bin/true gave {status}", init.name))) }
}

fn stop_once(init: &mut Init, directory: &str) -> Outcome {
    let own = std::env::current_exe()?.display().to_string();
    let mut command = init.start(&[&own, super::CHILD], directory);
    let mut started = Started(command.stdout(Stdio::piped()).spawn()?);
    let child = &mut started.0;
    let mut output = BufReader::new(child.stdout.take().ok_or_else(|| Failure("no pipe".into()))?);
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        return Err(Failure(format!("{}: the program under it did not start", init.name)));
    }
    // Idle is what it is when its start is over, and what only that needed is let go.
    std::thread::sleep(Duration::from_millis(200));
    let (pss, private) = init_memory(child.id())?;
    let asked = now()?;
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)?;
    child.wait()?;
    let ended = now()?;
    let mut stamp = String::new();
    output.read_to_string(&mut stamp)?;
    let handled: i64 = stamp
        .trim()
        .parse()
        .map_err(|_| Failure(format!("{}: the program under it never saw SIGTERM: {stamp:?}", init.name)))?;
    init.to_handler.add((handled - asked) as f64 / 1e3);
    init.to_exit.add((ended - asked) as f64 / 1e3);
    init.pss.add(pss);
    init.private.add(private);
    Ok(())
}

/// The program under the init: says that it waits, then when SIGTERM came, by the machine's monotonic clock.
pub(crate) fn child() -> Outcome {
    let mut term = SigSet::empty();
    term.add(Signal::SIGTERM);
    term.thread_block()?;
    println!("ready");
    term.wait()?;
    let stamp = now()?;
    println!("{stamp}");
    Ok(())
}

fn now() -> Outcome<i64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// The memory of an init: also of the process that it keeps between itself and the program, if it does.
fn init_memory(pid: u32) -> Outcome<(f64, f64)> {
    let below = |pid: u32| -> Vec<u32> {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
    };
    // The program itself has no children.
    let between = below(pid).into_iter().filter(|child| !below(*child).is_empty());
    let mut sum = memory(pid)?;
    for keeper in between {
        let (pss, private) = memory(keeper)?;
        sum = (sum.0 + pss, sum.1 + private);
    }
    Ok(sum)
}

/// Proportional memory of one process in kB, and what each further one of its kind would add: the dirty part.
fn memory(pid: u32) -> Outcome<(f64, f64)> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| -> Option<f64> {
        let line = rollup.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let both = field("Pss:").zip(field("Private_Dirty:"));
    both.ok_or_else(|| Failure(format!("process {pid} has no memory of its own")))
}

fn table(inits: &[Init]) -> String {
    let bare = inits.first().map_or(1.0, |init| init.spawn.median());
    let rows: Vec<Vec<String>> = inits
        .iter()
        .map(|init| {
            let itself = init.command.is_empty();
            let or_none = |text: String| if itself { "–".to_owned() } else { text };
            vec![
                init.name.to_owned(),
                format!("{:.2} ms", init.spawn.median() / 1e3),
                format!("{:.2}", init.spawn.median() / bare),
                format!("{:.0}", init.to_handler.median()),
                format!("{:.0}", init.to_exit.median()),
                or_none(format!("{:.0} / {:.0}", init.pss.median(), init.private.median())),
                or_none(format!("{}", init.binary_kb())),
            ]
        })
        .collect();
    let header = [
        "init",
        "spawn of /bin/true",
        "times a bare one",
        "SIGTERM to the handler, µs",
        "to its own exit, µs",
        "idle PSS / private dirty, kB",
        "binary, kB",
    ];
    let words = format!("Medians of {} spawns and {STOPS} stops each, in turns.\n\n", SPAWNS - SPAWNS / 10);
    words + &tables::markdown(&header, &rows)
}

/// Control sockets of the measured supervisors go here.
struct RuntimeDir(PathBuf);

impl RuntimeDir {
    fn new() -> Outcome<Self> {
        let directory = std::env::temp_dir().join(format!("adieu-bench-{}", std::process::id()));
        fs::create_dir(&directory)?;
        Ok(Self(directory))
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("xtask: {}: {error}", self.0.display());
        }
    }
}

/// A started process that does not outlive a measurement that failed.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}
