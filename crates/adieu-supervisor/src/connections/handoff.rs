//! The hand-off: one request that was taken from an old generation's connection is relayed to the new one, its answer sent
//! back, and the connection closed so that nothing of the answer is lost.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::http1::Answer;
use adieu_core::switch::Generation;
use adieu_linux::poll::Readiness;
use adieu_linux::{connections, sockets};

/// Answer bytes that may wait for a slow client.
const MOST_PENDING: usize = 256 * 1024;
/// How long a client may take to close after the answer.
const LINGER: Duration = Duration::from_secs(2);

/// A request under way.
#[derive(Debug)]
pub(super) struct Handoff {
    /// The generation that had it, and its cookie.
    pub(super) origin: (Generation, u64),
    pub(super) client: OwnedFd,
    next_generation: TcpStream,
    request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    /// Something of an answer has come.
    begun: bool,
    answered: bool,
    marking: Answer,
    pub(super) deadline: Timestamp,
}

/// How a hand-off has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handed {
    /// The generation that had the request, and its cookie.
    pub(super) origin: (Generation, u64),
    /// The whole answer is with the client.
    pub(super) answered: bool,
}

/// A connection whose answer is complete: open until the client has closed it.
#[derive(Debug)]
pub(super) struct Lingering {
    fd: OwnedFd,
    until: Timestamp,
}

impl Lingering {
    /// Sends our FIN and waits for the client's.
    pub(super) fn new(fd: OwnedFd, now: Timestamp) -> Self {
        drop(connections::linger_off(fd.as_fd()));
        drop(connections::shut_down_writing(fd.as_fd()));
        Self { fd, until: now + LINGER }
    }

    /// Whether it can be closed without resetting the client.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
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

impl Handoff {
    /// Connects to where the connection was made to: the kernel gives that to the new generation.
    pub(super) fn connect(
        origin: (Generation, u64),
        client: OwnedFd,
        local: SocketAddr,
        request: Vec<u8>,
        deadline: Timestamp,
    ) -> Option<Self> {
        let socket = sockets::tcp_socket(sockets::family_for(local)).ok()?;
        connections::connect(socket.as_fd(), local).ok()?;
        Some(Self {
            origin,
            client,
            next_generation: socket.into(),
            request,
            sent: 0,
            answer: Vec::new(),
            begun: false,
            answered: false,
            marking: Answer::default(),
            deadline,
        })
    }

    /// Whether the next generation has closed the connection without a word.
    pub(super) fn is_refused(&self) -> bool {
        self.answered && !self.begun
    }

    pub(super) fn interests(&self) -> Vec<(BorrowedFd<'_>, Readiness)> {
        let next_generation = if self.sent < self.request.len() {
            Some(Readiness::WRITE)
        } else {
            (self.answer.len() < MOST_PENDING).then_some(Readiness::READ)
        };
        let client = (!self.answer.is_empty()).then_some((self.client.as_fd(), Readiness::WRITE));
        next_generation.map(|readiness| (self.next_generation.as_fd(), readiness)).into_iter().chain(client).collect()
    }

    /// Goes as far as it can without waiting; `Ok(true)` when the answer is with the client.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
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
        let errno = connections::pending_error(self.next_generation.as_fd());
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno));
        }
        while let Some(rest) = self.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.sent += self.next_generation.write(rest)?;
        }
        let mut buffer = [0; 16 * 1024];
        while !self.answered && self.answer.len() < MOST_PENDING {
            let length = self.next_generation.read(&mut buffer)?;
            self.answered = length == 0;
            self.begun |= length > 0;
            self.answer.extend(self.marking.next(buffer.get(..length).unwrap_or_default()));
            if self.answered {
                self.answer.extend(self.marking.end());
            }
        }
        Ok(())
    }
}
