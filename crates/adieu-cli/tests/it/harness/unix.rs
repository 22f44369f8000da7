//! Clients of a Unix socket: one, one that insists, and several that ask again and again.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, until};

/// The body of one GET.
pub(crate) fn ask(path: &Path, what: &str) -> io::Result<String> {
    let mut connection = UnixStream::connect(path)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "GET {what} HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).ok_or_else(|| io::Error::other("cut off"))
}

/// As a client that tries again when it finds nothing at the path; and for how long it did.
pub(crate) fn insist(path: &Path) -> (io::Result<String>, Duration) {
    let (began, mut missed) = (Instant::now(), Duration::ZERO);
    loop {
        match ask(path, "/") {
            Err(error) if error.kind() == io::ErrorKind::NotFound && missed < PATIENCE => missed = began.elapsed(),
            end => return (end, missed),
        }
    }
}

/// How the requests of several clients ended, while something was done; those that found nothing at the path are there as
/// well, and the longest time in which one did not.
pub(crate) fn under_load(path: &Path, act: impl FnOnce(&dyn Fn())) -> (BTreeMap<String, usize>, Duration) {
    let (ends, over) = (Mutex::new(BTreeMap::<String, usize>::new()), AtomicBool::new(false));
    let longest = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let (end, missed) = insist(path);
                    let end = end.unwrap_or_else(|error| error.to_string());
                    let mut longest = longest.lock().expect("no client panicked");
                    *longest = (*longest).max(missed);
                    drop(longest);
                    *ends.lock().expect("no client panicked").entry(end).or_default() += 1;
                }
            });
        }
        let all = || ends.lock().expect("no client panicked").values().sum::<usize>();
        let more = || {
            let enough = all() + 100;
            until("clients are answered", || all() >= enough);
        };
        more();
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&more)));
        more();
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = acted {
            std::panic::resume_unwind(panic);
        }
    });
    (ends.into_inner().expect("no client panicked"), longest.into_inner().expect("no client panicked"))
}
