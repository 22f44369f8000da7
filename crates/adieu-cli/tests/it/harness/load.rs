//! Clients that ask again and again, each at most once at a time, and say how every request ended.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Adieu;

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
/// somebody had read it, and it is lost.
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
    pub(crate) fn run(self, adieu: &Adieu) -> Ends {
        let address = SocketAddr::from(([127, 0, 0, 1], adieu.port().number()));
        self.during(address, |more| {
            for number in 1..=self.reloads {
                adieu.reload(number);
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
    pub(crate) fn assert_nothing_lost(&self, adieu: &Adieu) {
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
    let mut kept: Option<BufReader<TcpStream>> = None;
    while !over.load(Ordering::Relaxed) {
        let reused = kept.is_some();
        let began = Instant::now();
        let outcome = match kept.take() {
            Some(connection) => Ok(connection),
            None => connect(address).map_err(|error| (0, error)),
        }
        .and_then(|connection| ask(connection, path, keeps));
        let mut ends = ends.lock().expect("no client panicked");
        match outcome {
            Ok((body, connection)) => {
                ends.answered += 1;
                *ends.bodies.entry(body).or_default() += 1;
                kept = connection;
            }
            Err((0, _)) if reused && began.elapsed() < AT_ONCE => ends.races += 1,
            Err((got, error)) => {
                let words = format!("reused={reused} after {got} bytes: {error}");
                *ends.lost.entry(words).or_default() += 1;
                drop(ends);
                // A server that refuses is not asked a hundred thousand times.
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let connection = TcpStream::connect_timeout(&address, Duration::from_secs(20))?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(BufReader::new(connection))
}

/// The body, and the connection if both sides keep it.
type Answer = (String, Option<BufReader<TcpStream>>);

/// One request and its answer; on an error, how many bytes of the answer had come.
fn ask(mut connection: BufReader<TcpStream>, path: &str, keeps: bool) -> Result<Answer, (usize, io::Error)> {
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
    Ok((String::from_utf8_lossy(&body).into_owned(), (!closes).then_some(connection)))
}
