//! One request that was taken from an old generation's connection: relayed to the new one, its answer sent back, the
//! connection closed so that nothing of the answer is lost.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::http1::Answer;
use adieu_core::switch::Generation;
use adieu_linux::poll::Readiness;
use adieu_linux::{clock, connections, sockets};

use crate::supervisor::Supervisor;

/// Answer bytes that may wait for a slow client.
const MOST_PENDING: usize = 256 * 1024;
/// How long a client may take to close after the answer.
const LINGER: Duration = Duration::from_secs(2);

/// A request under way.
#[derive(Debug)]
pub(crate) struct Carry {
    /// The generation that had it, and its cookie.
    origin: (Generation, u64),
    client: OwnedFd,
    upstream: TcpStream,
    request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    answered: bool,
    marking: Answer,
    deadline: Timestamp,
}

/// A connection whose answer is complete: open until the client has closed it.
#[derive(Debug)]
pub(crate) struct Lingering {
    fd: OwnedFd,
    until: Timestamp,
}

impl Lingering {
    /// Sends our FIN and waits for the client's.
    pub(crate) fn new(fd: OwnedFd, now: Timestamp) -> Self {
        drop(connections::linger_off(fd.as_fd()));
        drop(connections::shut_down_writing(fd.as_fd()));
        Self { fd, until: now + LINGER }
    }

    /// Whether it can be closed without resetting the client.
    fn is_over(&self, now: Timestamp) -> bool {
        let mut buffer = [0; 1024];
        loop {
            match connections::receive_now(self.fd.as_fd(), &mut buffer, false) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return now >= self.until,
                Err(_) => return true,
            }
        }
    }
}

impl Carry {
    /// Connects to where the connection was made to: the kernel gives that to the new generation.
    pub(crate) fn connect(
        origin: (Generation, u64),
        client: OwnedFd,
        local: SocketAddr,
        request: Vec<u8>,
        deadline: Timestamp,
    ) -> Option<Self> {
        let socket = sockets::tcp_socket(if local.is_ipv4() { 2 } else { 10 }).ok()?;
        connections::connect(socket.as_fd(), local).ok()?;
        Some(Self {
            origin,
            client,
            upstream: socket.into(),
            request,
            sent: 0,
            answer: Vec::new(),
            answered: false,
            marking: Answer::default(),
            deadline,
        })
    }

    pub(crate) fn interests(&self) -> Vec<(BorrowedFd<'_>, Readiness)> {
        let upstream = if self.sent < self.request.len() {
            Some(Readiness::WRITE)
        } else {
            (self.answer.len() < MOST_PENDING).then_some(Readiness::READ)
        };
        let client = (!self.answer.is_empty()).then_some((self.client.as_fd(), Readiness::WRITE));
        upstream.map(|readiness| (self.upstream.as_fd(), readiness)).into_iter().chain(client).collect()
    }

    /// Goes as far as it can without waiting; `Ok(true)` when the answer is with the client.
    fn advance(&mut self) -> io::Result<bool> {
        match self.exchange() {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {}
            other => other?,
        }
        while !self.answer.is_empty() {
            match connections::send_now(self.client.as_fd(), &self.answer) {
                Ok(length) => drop(self.answer.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(self.answered)
    }

    fn exchange(&mut self) -> io::Result<()> {
        let errno = connections::pending_error(self.upstream.as_fd());
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno));
        }
        while let Some(rest) = self.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.sent += self.upstream.write(rest)?;
        }
        let mut buffer = [0; 16 * 1024];
        while !self.answered && self.answer.len() < MOST_PENDING {
            let length = self.upstream.read(&mut buffer)?;
            self.answered = length == 0;
            self.answer.extend(self.marking.next(buffer.get(..length).unwrap_or_default()));
            if self.answered {
                self.answer.extend(self.marking.end());
            }
        }
        Ok(())
    }
}

impl Supervisor {
    pub(crate) fn advance_carries(&mut self) {
        let now = clock::now();
        for mut carry in std::mem::take(&mut self.carries) {
            let trouble = match carry.advance() {
                Ok(true) => None,
                Ok(false) if now < carry.deadline => {
                    self.carries.push(carry);
                    continue;
                }
                Ok(false) => Some("it took longer than the grace".to_owned()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(trouble) = trouble {
                self.note(format!("a request that was carried over was not answered whole: {trouble}"));
            }
            self.carried.push(carry.origin);
            self.lingering.push(Lingering::new(carry.client, now));
        }
        self.lingering.retain(|connection| !connection.is_over(now));
    }
}
