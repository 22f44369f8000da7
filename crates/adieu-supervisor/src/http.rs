//! One small HTTP/1.1 exchange on a non-blocking socket: for probes and for hooks that are URLs (RFC 9112).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use adieu_core::Timestamp;
use adieu_linux::connections;
use adieu_linux::poll::Readiness;

use crate::options::HttpTarget;

/// An exchange under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
    head: Vec<u8>,
    connected: bool,
    pub(crate) deadline: Timestamp,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum Outcome {
    Pending,
    /// The answer's status code.
    Status(u16),
    Failed(io::Error),
}

impl Exchange {
    /// Begins to connect `socket` (non-blocking, perhaps bound already).
    pub(crate) fn start(
        socket: OwnedFd,
        method: &str,
        target: &HttpTarget,
        body: &str,
        deadline: Timestamp,
    ) -> io::Result<Self> {
        let connected = connections::connect(socket.as_fd(), target.address)?;
        let (address, path, length) = (target.address, &target.path, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: adieu\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let request = request.into_bytes();
        Ok(Self { stream: socket.into(), request, sent: 0, head: Vec::new(), connected, deadline })
    }

    pub(crate) fn interest(&self) -> Readiness {
        if !self.connected || self.sent < self.request.len() { Readiness::WRITE } else { Readiness::READ }
    }

    /// Goes as far as it can without waiting.
    pub(crate) fn advance(&mut self, now: Timestamp) -> Outcome {
        if now >= self.deadline {
            return Outcome::Failed(io::ErrorKind::TimedOut.into());
        }
        match self.step() {
            Ok(outcome) => outcome,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                Outcome::Pending
            }
            Err(error) => Outcome::Failed(error),
        }
    }

    fn step(&mut self) -> io::Result<Outcome> {
        if !self.connected {
            let errno = connections::pending_error(self.stream.as_fd());
            if errno != 0 {
                return Err(io::Error::from_raw_os_error(errno));
            }
            self.stream.peer_addr()?;
            self.connected = true;
        }
        while let Some(rest) = self.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.sent += self.stream.write(rest)?;
        }
        let mut buffer = [0; 512];
        loop {
            let got = self.stream.read(&mut buffer)?;
            self.head.extend_from_slice(buffer.get(..got).unwrap_or_default());
            if let Some(status) = status_of(&self.head)? {
                return Ok(Outcome::Status(status));
            }
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl AsFd for Exchange {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The status code of an answer's first line, once the line is whole.
fn status_of(head: &[u8]) -> io::Result<Option<u16>> {
    let Some(end) = head.iter().position(|b| *b == b'\n') else {
        return if head.len() > 4096 { Err(io::ErrorKind::InvalidData.into()) } else { Ok(None) };
    };
    let line = String::from_utf8_lossy(head.get(..end).unwrap_or_default()).into_owned();
    let status =
        line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).and_then(|code| code.trim().parse().ok());
    status.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
