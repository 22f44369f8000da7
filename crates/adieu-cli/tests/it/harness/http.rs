//! The smallest client that can tell whether a server serves.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, Process};

/// The body of one GET, over a connection of its own.
pub(crate) fn get(port: u16, path: &str) -> io::Result<String> {
    get_at(SocketAddr::from(([127, 0, 0, 1], port)), path)
}

/// As [`get`], from a server anywhere.
pub(crate) fn get_at(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    // In one piece, as clients send it.
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other(format!("cut off: {answer:?}")))?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(format!("not a 200: {head}")));
    }
    Ok(body.to_owned())
}

/// Asks until there is an answer; panics with the process's output when it ends first or takes too long.
pub(crate) fn wait_until_it_answers(process: &mut Process, port: u16, path: &str) -> String {
    let began = Instant::now();
    loop {
        let error = match get(port, path) {
            Ok(body) => return body,
            Err(error) => error,
        };
        if let Some(status) = process.ended() {
            panic!("{} ended with {status} before it answered:\n{}", process.name(), process.output());
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{} does not answer on port {port}: {error}\n{}",
            process.name(),
            process.output()
        );
        thread::sleep(Duration::from_millis(20));
    }
}
