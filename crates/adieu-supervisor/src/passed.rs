//! Sockets that the program is given instead of opening them: LISTEN_FDS and the peers' variables.
//!
//! Each generation gets sockets of its own in the reuseport group, so that a switch moves new connections as it does for
//! sockets that the program opens. Of sockets that we were started with ourselves the first generation gets the original.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use adieu_core::switch::Generation;
use adieu_linux::{descriptors, sockets};

use crate::supervisor::Supervisor;

const BACKLOG: i32 = 4096;
const SOL_SOCKET: i32 = 1;
const SO_REUSEADDR: i32 = 2;

/// What came with our own LISTEN_FDS (`sd_listen_fds(3)`).
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    sockets: Vec<OwnedFd>,
    names: Vec<String>,
}

impl Inherited {
    /// Takes the descriptors, if they are meant for this process.
    pub(crate) fn from_environment() -> Self {
        let number = |key: &str| std::env::var(key).ok().and_then(|value| value.parse::<i32>().ok());
        let count = match (number("LISTEN_PID"), number("LISTEN_FDS")) {
            (Some(pid), Some(count)) if pid == adieu_linux::process::own_pid() => count.clamp(0, 1024),
            _ => 0,
        };
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').map(str::to_owned);
        Self { sockets: (3..3 + count).filter_map(|fd| descriptors::take(fd).ok()).collect(), names: names.collect() }
    }
}

impl Inherited {
    fn name(&self, at: usize) -> String {
        let name = self.names.get(at).filter(|name| !name.is_empty());
        name.cloned().unwrap_or_else(|| "unknown".to_owned())
    }

    /// Whether one of them has this inode.
    pub(crate) fn has(&self, inode: u64) -> bool {
        self.sockets.iter().any(|socket| sockets::inode_and_owner(socket.as_fd()).is_ok_and(|(own, _)| own == inode))
    }
}

/// Environment variables to set.
type Variables = Vec<(OsString, OsString)>;

impl Supervisor {
    /// The descriptors for a new generation, and the variables that tell it about them.
    pub(crate) fn passed(&mut self, generation: Generation) -> std::io::Result<(Vec<OwnedFd>, Variables)> {
        let mut passed = Vec::new();
        let mut names = Vec::new();
        let mut starter = Vec::new();
        let backlog = self.options.backlog.unwrap_or(BACKLOG).max(1);
        let mut failed = None;
        for socket in &self.inherited.sockets {
            passed.push(match self.groups.beside(generation, socket, backlog) {
                Ok(own) => own,
                Err(error) => {
                    failed = Some(error).filter(|error| error.kind() != ErrorKind::Unsupported).or(failed);
                    socket.try_clone()?
                }
            });
        }
        if let Some(error) = failed {
            self.note_once(format!(
                "a listener that adieu was started with cannot be had twice ({error}): generations share it, and the old one has to \
                 finish what it accepts"
            ));
        }
        names.extend((0..passed.len()).map(|at| self.inherited.name(at)));
        for address in self.options.listen.clone() {
            let socket = self.open(generation, address)?;
            starter.push(format!("{}={}", address, 3 + passed.len()));
            names.push("adieu".to_owned());
            passed.push(socket);
        }
        let mut variables = Variables::new();
        if !passed.is_empty() {
            let mut set = |key: &str, value: String| variables.push((key.into(), value.into()));
            set("LISTEN_FDS", passed.len().to_string());
            set("LISTEN_PID", String::new());
            set("LISTEN_FDNAMES", names.join(":"));
            set("EINHORN_FD_COUNT", passed.len().to_string());
            for at in 0..passed.len() {
                set(&format!("EINHORN_FD_{at}"), (3 + at).to_string());
            }
            if !starter.is_empty() {
                set("SERVER_STARTER_PORT", starter.join(";"));
                set("SERVER_STARTER_GENERATION", generation.to_string());
            }
        }
        Ok((passed, variables))
    }

    fn open(&mut self, generation: Generation, address: SocketAddr) -> std::io::Result<OwnedFd> {
        let socket = sockets::tcp_socket(if address.is_ipv4() { 2 } else { 10 })?;
        sockets::set_option(socket.as_fd(), SOL_SOCKET, SO_REUSEADDR, 1)?;
        sockets::set_nonblocking(socket.as_fd(), false)?;
        let shared = adieu_core::address::Endpoint { address, v6_only: false, interface: 0 };
        if let Some(held) = self.groups.held_at(&shared) {
            self.groups.pass_on(held, generation);
            return self.groups.get(held).map_or_else(|| Ok(socket), |held| held.fd.as_fd().try_clone_to_owned());
        }
        if self.groups.is_shared(generation, &shared) {
            sockets::share_port(socket.as_fd())?;
        }
        sockets::bind(socket.as_fd(), address)?;
        let given = socket.as_fd().try_clone_to_owned()?;
        let id = self.groups.keep(generation, socket, None)?;
        let steers = self.switch.serving() == Some(generation);
        self.groups.listen(id, self.options.backlog.unwrap_or(BACKLOG).max(1), steers)?;
        Ok(given)
    }
}
