//! Clients that ask again and again, each at most once at a time, and say how every request ended.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adieu_linux::connections;

use super::{Instance, PATIENCE};

/// A load during reloads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) path: &'static str,
    pub(crate) reloads: usize,
    /// Of the 32 clients, how many keep their connection for all their requests.
    pub(crate) kept: usize,
}

const CLIENTS: usize = 32;

/// A kept connection that was closed before the request was read tells the client so at once. Later than that,
/// somebody had read it, and it is lost; unless the kernel says that nobody can have (see [`is_unread`]).
const AT_ONCE: Duration = Duration::from_millis(10);

/// How requests ended.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    answered: usize,
    /// The server closed a kept connection while the client wrote on it: no byte of an answer came.
    races: usize,
    /// Refused, reset or cut off, by the error's words.
    lost: BTreeMap<String, usize>,
    /// How often each answer came.
    bodies: BTreeMap<String, usize>,
    reloads: usize,
}

impl Load {
    /// Loads the server from before the first reload until after the last.
    pub(crate) fn run(self, adieu: &Instance) -> Ends {
        self.run_at(SocketAddr::from(([127, 0, 0, 1], adieu.port())), adieu)
    }

    /// As [`Self::run`], of one that listens elsewhere.
    pub(crate) fn run_at(self, address: SocketAddr, adieu: &Instance) -> Ends {
        self.during(address, |more| {
            for number in 1..=self.reloads {
                adieu.replace();
                if number < self.reloads {
                    more();
                }
            }
        })
    }

    /// Loads whoever listens at `address` from before `act` until after it. `act` is given a function that waits for more
    /// answers.
    pub(crate) fn during(self, address: SocketAddr, act: impl FnOnce(&dyn Fn())) -> Ends {
        let ends = Mutex::new(Ends { reloads: self.reloads, ..Ends::default() });
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (ends, over) = (&ends, &over);
                scope.spawn(move || client_loop(address, self.path, client < self.kept, ends, over));
            }
            // Also when a reload fails: the scope waits for the clients.
            let _stop = StopOnDrop(&over);
            let more = || wait_for_answers(&ends, 2 * CLIENTS);
            more();
            act(&more);
            more();
        });
        ends.into_inner().expect("no client panicked")
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Ends {
    /// Nothing refused, reset or cut off, and few races: those a client may try again, but it had a reset.
    pub(crate) fn assert_nothing_lost(&self, adieu: &Instance) {
        println!("{self:?}");
        let fine = self.lost.is_empty() && self.races <= 3 * self.reloads;
        assert!(fine, "{self:#?}\n--- timeline ---\n{}", adieu.timeline());
    }

    /// Whether a client found nobody.
    pub(crate) fn refused(&self) -> bool {
        self.lost.keys().any(|words| words.contains("refused"))
    }

    /// Whether a client got no answer and no end either.
    pub(crate) fn hung(&self) -> bool {
        let timed_out = io::Error::from_raw_os_error(rustix::io::Errno::AGAIN.raw_os_error()).to_string();
        self.lost.keys().any(|words| words.contains(&timed_out) || words.contains("timed out"))
    }

    /// The different answers that came.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &str> {
        self.bodies.keys().map(String::as_str)
    }
}

fn wait_for_answers(ends: &Mutex<Ends>, more: usize) {
    let finished = |ends: &Mutex<Ends>| {
        let ends = ends.lock().expect("no client panicked");
        ends.answered + ends.races + ends.lost.values().sum::<usize>()
    };
    let enough = finished(ends) + more;
    while finished(ends) < enough {
        thread::sleep(Duration::from_millis(5));
    }
}

fn client_loop(address: SocketAddr, path: &str, keeps: bool, ends: &Mutex<Ends>, over: &AtomicBool) {
    let mut kept: Option<Connection> = None;
    while !over.load(Ordering::Relaxed) {
        let reused = kept.is_some();
        let outcome = request(address, kept.take(), path, keeps);
        let mut ends = ends.lock().expect("no client panicked");
        match outcome {
            Ok((body, connection)) => {
                ends.answered += 1;
                *ends.bodies.entry(body).or_default() += 1;
                kept = connection;
            }
            Err(Failed { raced: true, .. }) => ends.races += 1,
            Err(Failed { got, error, .. }) => {
                let words = format!("reused={reused} after {got} bytes: {error}");
                *ends.lost.entry(words).or_default() += 1;
                drop(ends);
                // A server that refuses is not asked a hundred thousand times.
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

type Connection = BufReader<TcpStream>;

/// The body, and the connection if both sides keep it.
type Answer = (String, Option<Connection>);

/// A request without a whole answer.
struct Failed {
    /// How many bytes of the answer had come.
    got: usize,
    /// It was sent on a kept connection that was being closed, and nobody had read it.
    raced: bool,
    error: io::Error,
}

/// One request, on a connection that was kept or a fresh one.
fn request(address: SocketAddr, kept: Option<Connection>, path: &str, keeps: bool) -> Result<Answer, Failed> {
    let reused = kept.is_some();
    let mut connection = match kept {
        Some(connection) => connection,
        None => connect(address).map_err(|error| Failed { got: 0, raced: false, error })?,
    };
    let (began, before) = (Instant::now(), acknowledged(connection.get_ref()));
    match ask(&mut connection, path, keeps) {
        Ok((body, stays)) => Ok((body, stays.then_some(connection))),
        Err((got, error)) => {
            let closed = reused && got == 0 && error.kind() != io::ErrorKind::WouldBlock;
            let raced = closed && (began.elapsed() < AT_ONCE || is_unread(connection.get_ref(), before));
            Err(Failed { got, raced, error })
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<Connection> {
    let connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(connection))
}

/// Bytes that the other side's kernel has taken so far.
fn acknowledged(stream: &TcpStream) -> Option<u64> {
    connections::counters(stream.as_fd()).ok().map(|counters| counters.info.bytes_acked)
}

/// Of a connection that was closed: whether nobody can have read what was sent last. This client may have been kept from
/// looking for any time, so its clock does not tell; the kernel does. A reset after the end means that the request came
/// when the socket was closed, and so does one that was never acknowledged.
fn is_unread(stream: &TcpStream, before: Option<u64>) -> bool {
    let reset = stream.take_error().ok().flatten().is_some();
    reset || before.is_some_and(|before| acknowledged(stream) == Some(before))
}

/// One request and its answer: the body, and whether both sides keep the connection. On an error, how many bytes of the
/// answer had come.
fn ask(connection: &mut Connection, path: &str, keeps: bool) -> Result<(String, bool), (usize, io::Error)> {
    let word = if keeps { "keep-alive" } else { "close" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: {word}\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes()).map_err(|error| (0, error))?;
    let (mut got, mut length, mut closes) = (0, None, !keeps);
    loop {
        let mut line = String::new();
        let read = connection.read_line(&mut line).map_err(|error| (got, error))?;
        if read == 0 {
            return Err((got, io::ErrorKind::UnexpectedEof.into()));
        }
        if got == 0 && !line.contains(" 200") {
            return Err((read, io::Error::other(line)));
        }
        got += read;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse::<usize>().ok();
        }
        closes |= line.strip_prefix("connection:").is_some_and(|value| value.trim() == "close");
    }
    let length = length.ok_or_else(|| (got, io::Error::other("an answer without a length")))?;
    let mut body = vec![0; length];
    connection.read_exact(&mut body).map_err(|error| (got, error))?;
    Ok((String::from_utf8_lossy(&body).into_owned(), !closes))
}
