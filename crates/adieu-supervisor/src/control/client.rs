//! One client of the control socket: what it has asked, and what it is still to be told.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use adieu_core::outcome::code;
use adieu_core::switch::RequestId;
use adieu_core::wire::{self, Reply, Request, Wait};
use adieu_linux::poll::Readiness;

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The reload it waits for.
    pub(super) reload: Option<(RequestId, Wait)>,
    /// Its reload has failed and nobody serves: it is answered when the command before does again.
    pub(super) failed: Option<(String, Vec<String>)>,
    /// It waits for the end of everything.
    pub(super) waits_for_end: bool,
    /// Its request has been taken: there is one per connection.
    taken: bool,
    closing: bool,
}

impl Client {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            reload: None,
            failed: None,
            waits_for_end: false,
            taken: false,
            closing: false,
        }
    }

    pub(super) fn interest(&self) -> (BorrowedFd<'_>, Readiness) {
        let readiness = Readiness { readable: true, writable: !self.output.is_empty(), hung_up: false };
        (self.stream.as_fd(), readiness)
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        self.output.extend(wire::line(reply));
        self.flush();
    }

    pub(super) fn done(&mut self, code: i32, message: Option<String>, output: Vec<String>) {
        self.say(&Reply::Done { code, message, output });
        self.closing = true;
    }

    /// Whether it has its last answer.
    pub(super) fn is_answered(&self) -> bool {
        self.closing
    }

    pub(super) fn is_over(&self) -> bool {
        self.closing && self.output.is_empty()
    }

    fn flush(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => break,
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Gone: nobody to answer.
                    self.output.clear();
                    self.closing = true;
                }
            }
        }
    }

    /// Writes and reads what it can without waiting; its request, once that is whole.
    pub(super) fn advance(&mut self) -> Option<Request> {
        self.flush();
        self.read();
        self.take_request()
    }

    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while self.input.len() <= wire::LONGEST_REQUEST {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    // A client that has gone away does not stop what it has asked for.
                    self.closing = true;
                    self.output.clear();
                    return;
                }
                Ok(length) if !self.taken => self.input.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn take_request(&mut self) -> Option<Request> {
        if self.taken {
            return None;
        }
        let end = self.input.iter().position(|b| *b == b'\n');
        if end.is_none() && self.input.len() <= wire::LONGEST_REQUEST {
            return None;
        }
        self.taken = true;
        let line = std::mem::take(&mut self.input);
        match Request::parse(line.get(..end.unwrap_or(line.len())).unwrap_or_default()) {
            Ok(request) => Some(request),
            Err(error) => {
                self.done(code::USAGE, Some(error.to_string()), Vec::new());
                None
            }
        }
    }
}
