//! Asking a running instance: one request, replies until it is done.

use std::io::{self, BufRead, BufReader, Write};
use std::time::Duration;

use adieu_core::wire::{self, Reply, Request};

/// What is answered at once is waited for at most so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `request` to the instance `name` and hands each reply to `on_reply`, the last one being [`Reply::Done`].
///
/// # Errors
/// `NotFound` and `PermissionDenied` as [`connect`](crate::connect); `UnexpectedEof` when the instance ended before it
/// answered; `TimedOut` when it does not answer what needs no waiting; `InvalidData` when the answer is not of this protocol.
pub fn ask(name: &str, request: &Request, mut on_reply: impl FnMut(Reply)) -> io::Result<()> {
    let mut stream = crate::connect(name)?;
    if !matches!(request, Request::Reload { .. } | Request::Stop {}) {
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    // Whoever is refused at the door is told so before the request has been read.
    let written = stream.write_all(&wire::line(request));
    for line in BufReader::new(stream).lines() {
        let line = match (line, &written) {
            (Ok(line), _) => line,
            // It was refused and the answer is lost: the write says more than the read.
            (Err(_), Err(_)) => break,
            (Err(error), Ok(())) if error.kind() == io::ErrorKind::WouldBlock => {
                let text = format!("the instance {name:?} does not answer: its process may be stopped");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            // It ended with our request unread.
            (Err(error), Ok(())) if error.kind() == io::ErrorKind::ConnectionReset => break,
            (Err(error), Ok(())) => return Err(error),
        };
        let reply: Reply = serde_json::from_str(&line)?;
        let done = matches!(reply, Reply::Done { .. });
        on_reply(reply);
        if done {
            return Ok(());
        }
    }
    written?;
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the instance ended before it answered"))
}
