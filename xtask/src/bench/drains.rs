//! Stopping a service: `App::serve` beside axum, hyper-util, axum-server and Go, and what serving costs meanwhile.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::reloads::wait_for;
use super::samples::Samples;
use crate::command::{Failure, Outcome, cargo, root, step, target_dir};
use crate::tables::markdown;

/// Ways of stopping, the first of them without any handler: the floor.
const WAYS: [&str; 6] = ["default", "axum", "hyper-util", "axum-server", "Go", "adieu"];
/// Idle keep-alive connections, and how often that is measured.
const IDLE: [(usize, usize); 4] = [(0, 15), (1_000, 7), (10_000, 3), (19_500, 1)];
const SILENT: usize = 1_000;
const SLOW_ROUNDS: usize = 9;
const SILENT_ROUNDS: usize = 3;
const LOAD_ROUNDS: usize = 7;
const LOAD: Duration = Duration::from_secs(2);

/// Compares how fast they stop and returns the table.
pub(crate) fn compare() -> Outcome<String> {
    let programs = build()?;
    open_many()?;
    let mut rows: Vec<Vec<String>> = WAYS.iter().map(|way| vec![(*way).to_owned()]).collect();
    let mut measure = |rounds: usize, once: &dyn Fn(&Programs, &str) -> Outcome<f64>| -> Outcome {
        let mut samples: Vec<Samples> = WAYS.iter().map(|_| Samples::default()).collect();
        for _ in 0..rounds {
            for (way, samples) in WAYS.iter().zip(&mut samples) {
                samples.add(once(&programs, way)?);
            }
        }
        let medians: Vec<f64> = samples.iter().map(Samples::median).collect();
        let floor = medians.first().copied().unwrap_or(1.0);
        for (row, median) in rows.iter_mut().zip(medians) {
            row.push(format!("{median:.1} ({:.2})", median / floor));
        }
        Ok(())
    };
    measure(SLOW_ROUNDS, &after_the_last_answer)?;
    for (connections, rounds) in IDLE {
        measure(rounds, &move |programs, way| with_open(programs, way, connections, true))?;
    }
    measure(SILENT_ROUNDS, &|programs, way| with_open(programs, way, SILENT, false))?;
    let (mut plain, mut ours, mut ratios) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..LOAD_ROUNDS {
        let (of_plain, of_ours) = (requests(&programs, "axum")?, requests(&programs, "adieu")?);
        plain.add(of_plain);
        ours.add(of_ours);
        ratios.add(of_ours / of_plain);
    }
    let text = "From SIGTERM to exit in ms, and as a multiple of the floor, which is the signal's default action (`cargo xtask bench drains`); \
         medians, in turns (of 15, 7, 3 and 1 rounds with idle connections). In the first column from the end of the last answer to exit (the default action does not answer: there \
         from SIGTERM). Silent: connections that never sent a byte. `adieu` without linger, as the others have none.\n\n";
    let idle = IDLE.map(|(connections, _)| format!("{connections} idle"));
    let header = [&["stopped by", "last answer to exit"][..], &idle.each_ref().map(String::as_str), &["1000 silent"]];
    let load = format!(
        "\nServing: {:.0} requests a second through `App::serve` and {:.0} through `axum::serve`, 32 keep-alive connections; median of {LOAD_ROUNDS} paired \
         ratios {:.3}.\n",
        ours.median(),
        plain.median(),
        ratios.median()
    );
    Ok([text, &markdown(&header.concat(), &rows), &load].concat())
}

struct Programs {
    rust: PathBuf,
    go: PathBuf,
}

fn build() -> Outcome<Programs> {
    step(&mut cargo(&["build", "--quiet", "--release", "--package", "adieu-bench-drains"]))?;
    let rust = target_dir().join("release").join("adieu-bench-drains");
    let go = target_dir().join("release").join("adieu-bench-drains-go");
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(&go).arg("main.go").current_dir(root().join("bench/drains/go"));
    step(command.env("CGO_ENABLED", "0").env("GO111MODULE", "off"))?;
    Ok(Programs { rust, go })
}

/// A descriptor for each connection, here and in the servers.
fn open_many() -> Outcome {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    if most < 20_000 { Err(Failure(format!("{most} descriptors are too few: ulimit -n 20000"))) } else { Ok(()) }
}

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(programs: &Programs, way: &str) -> Outcome<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = match way {
            "Go" => Command::new(&programs.go),
            way => {
                let mut command = Command::new(&programs.rust);
                command.arg(way);
                command
            }
        };
        let child = command.arg(port.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { child: child.spawn()?, port };
        wait_for(port)?;
        Ok(server)
    }

    fn connect(&self) -> Outcome<TcpStream> {
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?)
    }

    fn ask_to_stop(&self) -> Outcome {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Asks for a page and reads the answer, whose end is known.
fn ask(stream: &mut TcpStream, path: &str, end: &[u8]) -> Outcome {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    read_answer(stream, end)
}

fn read_answer(stream: &mut TcpStream, end: &[u8]) -> Outcome {
    let mut buffer = [0; 4096];
    let mut length = 0;
    while !buffer.get(..length).is_some_and(|answer| answer.ends_with(end)) {
        let got = stream.read(buffer.get_mut(length..).unwrap_or_default())?;
        if got == 0 {
            return Err(Failure("an answer was cut off".into()));
        }
        length += got;
    }
    Ok(())
}

/// Milliseconds from the end of the answer to a request that was under way at SIGTERM to the exit.
fn after_the_last_answer(programs: &Programs, way: &str) -> Outcome<f64> {
    let mut server = Server::start(programs, way)?;
    let mut stream = server.connect()?;
    if way == WAYS[0] {
        return with_open(programs, way, 0, true);
    }
    let client = thread::spawn(move || ask(&mut stream, "/slow", b"done\n").map(|()| Instant::now()));
    thread::sleep(Duration::from_millis(100));
    server.ask_to_stop()?;
    server.child.wait()?;
    let exited = Instant::now();
    let answered = client.join().map_err(|_| Failure("a client panicked".into()))??;
    Ok(exited.saturating_duration_since(answered).as_secs_f64() * 1e3)
}

/// Milliseconds from SIGTERM to exit with so many open connections, all of which have been used once or never.
fn with_open(programs: &Programs, way: &str, connections: usize, used: bool) -> Outcome<f64> {
    let mut server = Server::start(programs, way)?;
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut stream = server.connect()?;
        if used {
            ask(&mut stream, "/", b"here\n")?;
        }
        open.push(stream);
    }
    // What was accepted last is known to the server by then.
    thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    server.ask_to_stop()?;
    server.child.wait()?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    drop(open);
    Ok(took)
}

/// Requests a second over 32 connections, each with one request under way at any time.
fn requests(programs: &Programs, way: &str) -> Outcome<f64> {
    let server = Server::start(programs, way)?;
    let mut open = (0..32).map(|_| server.connect()).collect::<Outcome<Vec<_>>>()?;
    let (began, mut answered) = (Instant::now(), 0u32);
    while began.elapsed() < LOAD {
        for stream in &mut open {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        }
        for stream in &mut open {
            read_answer(stream, b"here\n")?;
            answered += 1;
        }
    }
    Ok(f64::from(answered) / began.elapsed().as_secs_f64())
}
