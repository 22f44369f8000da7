//! A server that serves well, but for so many requests after each restart, and counts those.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use adieu_drill::{Class, Config, Report, Target};
use rustix::net::sockopt;
use tempfile::TempDir;

/// What it does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Reads it and closes.
    CloseUnanswered,
    /// Reads it and resets, at once or after a while.
    Reset(Duration),
    /// Does not read it and closes, which resets.
    CloseUnread,
    /// Closes in the middle of this answer.
    Cut(&'static str),
    /// Says this, whole.
    Say(&'static str),
    /// Never answers.
    Silence,
}

/// On which connections it does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Fresh,
    Reused,
}

/// Lost requests by restart (from 1 on) and whether their connection had been used before.
pub(crate) type Counts = BTreeMap<(usize, bool), usize>;

struct Shared {
    deed: Option<(Deed, On)>,
    restarts: PathBuf,
    /// Whether answers carry the FIN with them, unannounced.
    closes_idle: bool,
    done: Mutex<Counts>,
    over: AtomicBool,
}

/// The server, on a port of its own. Dropped, it ends.
pub(crate) struct Lossy {
    shared: Arc<Shared>,
    address: SocketAddr,
    directory: TempDir,
}

/// After restart number n it does its deed to so many requests.
pub(crate) fn budget(restart: usize) -> usize {
    2 * restart
}

impl Lossy {
    pub(crate) fn start(deed: Option<(Deed, On)>, closes_idle: bool) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let restarts = directory.path().join("restarts");
        let (done, over) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { deed, restarts, closes_idle, done, over });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.over.load(Ordering::Relaxed) {
                    return;
                }
                let serving = Arc::clone(&serving);
                // A client that goes away is no concern here.
                thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        Self { shared, address, directory }
    }

    /// A drill of it: three restarts, short pauses. A restart command ends when the server has done all its deeds, however
    /// long that takes on this machine.
    pub(crate) fn config(&self) -> Config {
        let restarts = self.shared.restarts.display();
        let mut restart = format!("echo >>'{restarts}'");
        if self.shared.deed.is_some() {
            restart += &format!("; n=$(wc -l <'{restarts}'); while [ ! -e '{restarts}'-$n ]; do sleep 0.01; done");
        }
        let mut config = Config::new(Target::at(self.address), restart);
        config.count = 3;
        config.connections = 8;
        config.calm = Duration::from_millis(300);
        config.pause = Duration::from_millis(700);
        config.expect = Some("hello".to_owned());
        config
    }

    /// What it has done so far.
    pub(crate) fn done(&self) -> Counts {
        self.shared.done.lock().expect("no connection panicked").clone()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reused = false;
        loop {
            if stream.peek(&mut [0])? == 0 {
                return Ok(());
            }
            let deed = self.choose(reused);
            if deed == Some(Deed::CloseUnread) {
                return Ok(());
            }
            let keeps = read_head(&mut stream)?.contains("keep-alive");
            match deed {
                None => {}
                Some(Deed::CloseUnanswered | Deed::CloseUnread) => return Ok(()),
                Some(Deed::Reset(after)) => {
                    thread::sleep(after);
                    return Ok(sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?);
                }
                Some(Deed::Cut(part)) => return stream.write_all(part.as_bytes()),
                Some(Deed::Say(text)) => {
                    stream.write_all(text.as_bytes())?;
                    stream.shutdown(Shutdown::Write)?;
                    return drain(&mut stream);
                }
                Some(Deed::Silence) => return drain(&mut stream),
            }
            if self.closes_idle {
                // In one segment with the answer: nobody can write in between.
                sockopt::set_tcp_cork(&stream, true)?;
            }
            let connection = if keeps { "keep-alive" } else { "close" };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: {connection}\r\n\r\nhello");
            stream.write_all(answer.as_bytes())?;
            if !keeps || self.closes_idle {
                stream.shutdown(Shutdown::Write)?;
                return drain(&mut stream);
            }
            reused = true;
        }
    }

    /// The deed for this request, counted, if there is still one to do.
    fn choose(&self, reused: bool) -> Option<Deed> {
        let (deed, on) = self.deed?;
        let restart = std::fs::metadata(&self.restarts).map_or(0, |meta| meta.len() as usize);
        if (on == On::Reused) != reused {
            return None;
        }
        let mut done = self.done.lock().expect("no connection panicked");
        let count = done.entry((restart, reused)).or_default();
        (*count < budget(restart)).then(|| {
            *count += 1;
            if *count == budget(restart) {
                let all_done = format!("{}-{restart}", self.restarts.display());
                std::fs::write(all_done, "").expect("a test's own directory is writable");
            }
            deed
        })
    }
}

fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..length]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Waits for the client to close, so that nothing is reset.
fn drain(stream: &mut TcpStream) -> io::Result<()> {
    while stream.read(&mut [0; 1024])? > 0 {}
    Ok(())
}

/// Runs a drill to its end.
pub(crate) fn drill(config: Config) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime
        .expect("a runtime can be made")
        .block_on(adieu_drill::run(config, std::future::pending(), |_| {}))
        .expect("the drill begins")
}

/// What the report says of one class, in the same form as the server's own account.
pub(crate) fn found(report: &Report, class: Class) -> Counts {
    let mut counts = Counts::new();
    for (number, restart) in (1..).zip(&report.restarts) {
        for (reused, tally) in [(false, &restart.period.fresh), (true, &restart.period.reused)] {
            if tally.get(class) > 0 {
                counts.insert((number, reused), tally.get(class));
            }
        }
    }
    counts
}
