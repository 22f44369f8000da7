//! The output of a generation on its way to ours, with its last lines kept: what a failed reload shows.
//!
//! Only generations started by a reload are relayed, and only where output is not a terminal; the first one writes
//! directly.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use adieu_linux::poll::{Readiness, poll};

const KEPT_LINES: usize = 20;
const LONGEST_LINE: usize = 1000;
/// POLLOUT on a pipe promises room for this much: a write of it does not wait.
const CHUNK: usize = 4096;

/// The last lines of an output.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<Vec<u8>>,
    open: bool,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            if !std::mem::replace(&mut self.open, !ends) {
                self.lines.push_back(Vec::new());
                if self.lines.len() > KEPT_LINES {
                    self.lines.pop_front();
                }
            }
            if let Some(last) = self.lines.back_mut() {
                let room = LONGEST_LINE.saturating_sub(last.len()).min(text.len());
                last.extend_from_slice(text.get(..room).unwrap_or_default());
            }
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }
}

/// Whether a line of a program's output says that it has found another one of its kind: a pid file, a lock, a directory in use.
pub(crate) fn tells_of_another(line: &str) -> bool {
    // An address is taken by whoever it may be, and no pid file changes that.
    let line = line.to_lowercase().replace("address already in use", "");
    let words = [
        "already running",
        "already in use",
        "already locked",
        "another instance",
        "another process",
        "another program",
        "lock file",
    ];
    let refused = ["can't", "cannot", "could not", "unable", "failed"];
    let locked = line.contains("lock ") && refused.iter().any(|word| line.contains(word));
    locked || words.iter().any(|word| line.contains(word))
}

/// One pipe from a generation to one of our outputs.
#[derive(Debug)]
pub(super) struct Relay {
    from: Option<std::fs::File>,
    to_error: bool,
    pending: Vec<u8>,
}

/// A pipe, reading end first.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

impl Relay {
    pub(super) fn new(from: OwnedFd, to_error: bool) -> io::Result<Self> {
        adieu_linux::sockets::set_nonblocking(from.as_fd(), true)?;
        Ok(Self { from: Some(from.into()), to_error, pending: Vec::new() })
    }

    pub(super) fn is_open(&self) -> bool {
        self.from.is_some() || !self.pending.is_empty()
    }

    /// What to wait for: input, or room for what could not be written yet.
    pub(super) fn interest(&self) -> Option<(BorrowedFd<'_>, Readiness)> {
        if self.pending.is_empty() {
            return self.from.as_ref().map(|from| (from.as_fd(), Readiness::READ));
        }
        Some((self.target(), Readiness::WRITE))
    }

    fn target(&self) -> BorrowedFd<'static> {
        // Standard descriptors live as long as the process.
        if self.to_error { STDERR.as_fd() } else { STDOUT.as_fd() }
    }

    /// Moves on without waiting: writes what is pending if there is room, reads if nothing is pending.
    pub(super) fn advance(&mut self, tail: &mut Tail) {
        for _ in 0..16 {
            if self.pending.is_empty() {
                let mut buffer = [0; CHUNK];
                let got = self.from.as_mut().map(|from| from.read(&mut buffer));
                match got {
                    Some(Ok(0)) | None => {
                        self.from = None;
                        return;
                    }
                    Some(Ok(length)) => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        tail.push(bytes);
                        self.pending.extend_from_slice(bytes);
                    }
                    Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                    Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Some(Err(_)) => {
                        self.from = None;
                        return;
                    }
                }
            }
            let room = poll(&[(self.target(), Readiness::WRITE)], Some(std::time::Duration::ZERO));
            if !room.is_ok_and(|room| room.first().is_some_and(|room| room.writable || room.hung_up)) {
                return;
            }
            let written = if self.to_error { io::stderr().write(&self.pending) } else { write_out(&self.pending) };
            match written {
                Ok(length) => drop(self.pending.drain(..length.min(self.pending.len()))),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return,
                // Nobody reads our output any more: the program must not be blocked by that.
                Err(_) => self.pending.clear(),
            }
        }
    }
}

static STDOUT: std::sync::LazyLock<io::Stdout> = std::sync::LazyLock::new(io::stdout);
static STDERR: std::sync::LazyLock<io::Stderr> = std::sync::LazyLock::new(io::stderr);

/// Past the line buffer of `io::stdout`: whole chunks go out as they came.
fn write_out(bytes: &[u8]) -> io::Result<usize> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_lines_however_they_were_cut() {
        let mut tail = Tail::default();
        for part in ["one\ntw", "o\nthr", "ee"] {
            tail.push(part.as_bytes());
        }
        assert_eq!(tail.lines(), ["one", "two", "three"]);
        tail.push(b"\n");
        for number in 0..30 {
            tail.push(format!("{number}\n").as_bytes());
        }
        assert_eq!(tail.lines().len(), KEPT_LINES);
        assert_eq!(tail.lines().last().map(String::as_str), Some("29"));
        tail.push(&[b'x'; 5000]);
        assert_eq!(tail.lines().last().map(String::len), Some(LONGEST_LINE));
    }

    #[test]
    fn programs_that_mind_another_one_are_understood() {
        for line in [
            "httpd (pid 2032) already running",
            "Error: Varnishd is already running (pid=27708) (pidfile=/run/v/_.pid)",
            "[ERROR] mariadbd: Can't lock aria control file '/data/aria_log_control' for exclusive use, error: 11.",
            "FATAL:  lock file \"postmaster.pid\" already exists",
            "A server is already running (pid: 4711, file: tmp/pids/server.pid).",
        ] {
            assert!(tells_of_another(line), "{line}");
        }
        for line in
            ["syntax error near line 7", "cannot connect to the database", "bind: Address already in use", "unlocked"]
        {
            assert!(!tells_of_another(line), "{line}");
        }
    }
}
