//! A client that says exactly what became of a request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::scene::PATIENCE;

/// A connection.
pub(super) struct Client<S = TcpStream> {
    pub(super) stream: BufReader<S>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    /// It is the last of its connection.
    pub(super) last: bool,
}

impl Client {
    pub(super) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Self { stream: BufReader::new(stream) }
    }
}

impl<S: Read + Write> Client<S> {
    pub(super) fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("sends");
    }

    pub(super) fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n"));
        self.answer().expect("an answer")
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_ascii_lowercase())
    }

    /// Reads a whole answer.
    pub(super) fn answer(&mut self) -> std::io::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let (mut length, mut chunked, mut last) = (None, false, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            match name {
                "content-length" => length = value.parse().ok(),
                "transfer-encoding" => chunked = value == "chunked",
                "connection" => last = value == "close",
                _ => {}
            }
        }
        let body = match chunked {
            true => self.chunks()?,
            false => self.bytes(length.unwrap_or(0))?,
        };
        Ok(Answer { status, body, last })
    }

    fn bytes(&mut self, length: usize) -> std::io::Result<String> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(String::from_utf8(body).expect("text"))
    }

    fn chunks(&mut self) -> std::io::Result<String> {
        let mut body = String::new();
        loop {
            let length = usize::from_str_radix(&self.line()?, 16).expect("a length");
            body += &self.bytes(length)?;
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    /// Whether the other side ends the connection without a reset.
    pub(super) fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(self.stream.read_to_end(&mut rest), Ok(0))
    }
}
