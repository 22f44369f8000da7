//! What this process has asked of the kernel that changes something, as lines that can be compared between two runs.
//!
//! Only built with the feature `trace`, which the tests' supervisor asks for and nothing that is shipped has. Processes,
//! descriptors, cookies and ports that nobody listens at have another number in each run: they are left out.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use adieu_core::group::Instruction;

/// The process that is traced. A child that it forks has the same memory and is not meant.
static TRACED: AtomicU32 = AtomicU32::new(0);
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Ports that were listened at, in the order in which that happened: the place in it stands for the port.
static PORTS: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// Begins; what was traced before is forgotten.
pub fn begin() {
    TRACED.store(std::process::id(), Ordering::Relaxed);
    take();
}

/// Everything since [`begin`], and begins anew.
pub fn take() -> Vec<String> {
    LINES.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
}

/// Adds a line that is no system call.
pub fn say(line: fmt::Arguments<'_>) {
    // First of all: a child between fork and exec must not touch what it shares with us.
    if TRACED.load(Ordering::Relaxed) != std::process::id() {
        return;
    }
    if let Ok(mut lines) = LINES.lock() {
        lines.push(line.to_string());
    }
}

/// Adds a call and what came of it.
pub(crate) fn note<T>(result: &io::Result<T>, call: fmt::Arguments<'_>) {
    match result.as_ref().map_err(|error| error.raw_os_error().unwrap_or(0)) {
        Ok(_) => say(call),
        Err(errno) => say(format_args!("{call}: errno {errno}")),
    }
}

/// A socket, told by where it is bound.
pub(crate) struct At<'a>(pub(crate) BorrowedFd<'a>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match crate::sockets::local_address(self.0) {
            Ok(Some(address)) => write!(f, "at {}", To(address)),
            Ok(None) => f.write_str("not of the Internet"),
            Err(_) => f.write_str("no socket"),
        }
    }
}

/// An address with its port's name for its number.
pub(crate) struct To(pub(crate) SocketAddr);

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port();
        let known = PORTS.lock().ok().and_then(|ports| ports.iter().position(|other| *other == port));
        match known {
            _ if port == 0 => write!(f, "{} any port", self.0.ip()),
            Some(at) => write!(f, "{} port no. {at}", self.0.ip()),
            None => write!(f, "{} some port", self.0.ip()),
        }
    }
}

/// As [`At`], and gives its port a name.
pub(crate) struct ListensAt<'a>(pub(crate) BorrowedFd<'a>);

impl fmt::Display for ListensAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Ok(Some(address)), Ok(mut ports)) = (crate::sockets::local_address(self.0), PORTS.lock())
            && !ports.contains(&address.port())
        {
            ports.push(address.port());
        }
        At(self.0).fmt(f)
    }
}

/// The last part of a path: tests have a directory of another name each time.
pub(crate) struct Base<'a>(pub(crate) &'a Path);

impl fmt::Display for Base<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.file_name().unwrap_or_default().display())
    }
}

impl<'a> Base<'a> {
    /// Of a path that system calls take.
    pub(crate) fn of(path: &'a std::ffi::CStr) -> Self {
        Self(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())))
    }
}

/// A BPF program.
pub(crate) struct Bpf<'a>(pub(crate) &'a [Instruction]);

impl fmt::Display for Bpf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// What is compared with numbers this large is a port, of a probe mostly.
        const PORTS_BEGIN: u32 = 1024;
        for Instruction { code, jt, jf, k } in self.0 {
            match *k {
                PORTS_BEGIN..=65_535 => write!(f, " {code:x}:{jt}:{jf}:port")?,
                k => write!(f, " {code:x}:{jt}:{jf}:{k}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn calls_are_told_without_what_differs_in_each_run() {
        begin();
        let any = "127.0.0.1:0".parse().expect("address");
        let socket = crate::sockets::tcp_socket(libc::AF_INET).expect("socket");
        crate::sockets::bind(socket.as_fd(), any).expect("bind");
        crate::sockets::listen(socket.as_fd(), 5).expect("listen");
        drop(crate::sockets::bind(socket.as_fd(), any));
        // Tests of other modules may run in this process at the same time.
        let lines: Vec<String> = take().into_iter().filter(|line| line.contains("127.0.0.1")).collect();
        for line in [
            "bind to 127.0.0.1 any port",
            "listen at 127.0.0.1 port no. 0, backlog 5",
            "bind to 127.0.0.1 any port: errno 22",
        ] {
            assert!(lines.iter().any(|told| told == line), "{line}: {lines:?}");
        }
    }
}
