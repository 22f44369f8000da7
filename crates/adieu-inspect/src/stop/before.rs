//! What goes before the signal: the application's own `/shutdown`, or a command.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use adieu_core::ids::Pid;
use adieu_core::signal::Signal;
use adieu_linux::poll::{Readiness, poll};

use crate::target::Target;

/// A URL that is posted to, or a shell command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// `http://HOST[:PORT]/PATH`.
    Url {
        /// Host and port.
        authority: String,
        /// Path and query.
        path: String,
    },
    /// For `/bin/sh -c`, with ADIEU_PID in its environment.
    Command(String),
}

/// A URL that cannot be posted to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a pre-stop: http://HOST[:PORT]/PATH, or a shell command (curl, for https)")]
pub struct ParseBeforeError(String);

impl FromStr for Before {
    type Err = ParseBeforeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseBeforeError(text.to_owned());
        let Some(rest) = text.strip_prefix("http://") else {
            let bad = text.trim().is_empty() || text.starts_with("https://");
            return if bad { Err(refused()) } else { Ok(Self::Command(text.to_owned())) };
        };
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
        if authority.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(refused());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self::Url { authority, path: format!("/{path}") })
    }
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { authority, path } => write!(f, "POST http://{authority}{path}"),
            Self::Command(command) => f.write_str(command),
        }
    }
}

/// A pre-stop under way, in a thread of its own.
#[derive(Debug)]
pub(super) struct Running {
    /// Readable when there is a result.
    bell: UnixStream,
    result: Receiver<String>,
}

impl Running {
    pub(super) fn start(before: &Before, pid: Pid, budget: Duration) -> io::Result<Self> {
        let (bell, ring) = UnixStream::pair()?;
        let (tell, result) = mpsc::channel();
        let before = before.clone();
        thread::Builder::new().name("pre-stop".to_owned()).spawn(move || {
            let came = match &before {
                Before::Url { authority, path } => post(authority, path, budget),
                Before::Command(command) => run(command, pid, budget),
            };
            let text = came.unwrap_or_else(|error| format!("pre-stop failed: {error}"));
            // Nobody listens when its time was up before.
            drop(tell.send(text));
            drop(ring);
        })?;
        Ok(Self { bell, result })
    }

    /// What came of it, once it has ended.
    pub(super) fn result(&mut self) -> Option<String> {
        self.result.try_recv().ok()
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

fn post(authority: &str, path: &str, budget: Duration) -> io::Result<String> {
    let deadline = Instant::now() + budget;
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left()) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(left()))?;
                stream.set_write_timeout(Some(left()))?;
                // In one piece: some servers read a request's head at once or not at all.
                let request = format!(
                    "POST {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: adieu\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n"
                );
                stream.write_all(request.as_bytes())?;
                return status(&mut stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The status of the answer, from its first line.
fn status(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 512];
    while !head.contains(&b'\n') && head.len() < 4096 {
        match stream.read(&mut buffer)? {
            0 => break,
            got => head.extend_from_slice(buffer.get(..got).unwrap_or_default()),
        }
    }
    let line = String::from_utf8_lossy(&head);
    let code = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.trim().parse::<u16>().ok());
    match code {
        Some(code @ 200..400) => Ok(format!("pre-stop was answered with status {code}")),
        Some(code) => Err(io::Error::other(format!("answered with status {code}"))),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP")),
    }
}

fn run(command: &str, pid: Pid, budget: Duration) -> io::Result<String> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).env("ADIEU_PID", pid.to_string()).stdin(Stdio::null()).process_group(0);
    let mut child = shell.spawn()?;
    let group = i32::try_from(child.id()).unwrap_or(0);
    let held = Target::open(Pid::new(group)).map_err(io::Error::other)?;
    let deadline = Instant::now() + budget;
    while !held.has_ended() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // Not reaped yet, so the group is still its own.
            adieu_linux::signals::signal_group(group, Signal::KILL)?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        poll(&[(held.as_fd(), Readiness::READ)], Some(left))?;
    }
    match child.wait()? {
        status if status.success() => Ok("pre-stop has ended".to_owned()),
        status => Err(io::Error::other(status.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(before: &str, budget: Duration) -> String {
        let before: Before = before.parse().expect("valid");
        let mut running = Running::start(&before, Pid::new(42), budget).expect("started");
        poll(&[(running.as_fd(), Readiness::READ)], None).expect("it ends");
        running.result().expect("it has said so")
    }

    #[test]
    fn a_command_is_told_the_pid_and_its_failure_is_told() {
        let long = Duration::from_secs(60);
        assert_eq!(finish("test \"$ADIEU_PID\" = 42", long), "pre-stop has ended");
        assert!(finish("exit 3", long).contains("exit status: 3"));
        assert!(finish("sleep 1000", Duration::from_millis(50)).contains("timed out"));
    }

    #[test]
    fn a_url_is_posted_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let url = format!("http://{}/shutdown?now=1", listener.local_addr().expect("address"));
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepted");
            let mut head = [0; 200];
            let got = stream.read(&mut head).expect("read");
            stream.write_all(b"HTTP/1.1 202 Accepted\r\n\r\n").expect("written");
            String::from_utf8_lossy(&head[..got]).into_owned()
        });
        assert_eq!(finish(&url, Duration::from_secs(60)), "pre-stop was answered with status 202");
        assert!(server.join().expect("no panic").starts_with("POST /shutdown?now=1 HTTP/1.1\r\n"));
    }

    #[test]
    fn what_cannot_be_posted_to_is_refused() {
        for bad in ["", " ", "https://x/y", "http:///x", "http://a b/", "http://a/\r\nX: y"] {
            assert!(bad.parse::<Before>().is_err(), "{bad:?}");
        }
        let parsed = "http://localhost".parse();
        assert_eq!(parsed, Ok(Before::Url { authority: "localhost:80".into(), path: "/".into() }));
    }
}
