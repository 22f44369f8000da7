//! Sockets that the program is given instead of opening them: LISTEN_FDS and the peers' variables.
//!
//! Each generation gets sockets of its own in the reuseport group, so that a switch moves new connections as it does for
//! sockets that the program opens. Of sockets that we were started with ourselves the first generation gets the original.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use adieu_core::switch::Generation;
use adieu_linux::sockets;

use super::Sockets;
use super::bind::endpoint_for;
use crate::view::{Out, View};

const BACKLOG: i32 = 4096;

/// Environment variables to set.
type Variables = Vec<(OsString, OsString)>;

impl Sockets {
    /// The descriptors for a new generation, and the variables that tell it about them.
    ///
    /// # Errors
    /// Where an address of `--listen` cannot be had, or no descriptor is left.
    pub(crate) fn pass(
        &mut self,
        view: &View<'_>,
        generation: Generation,
        out: &mut Out,
    ) -> std::io::Result<(Vec<OwnedFd>, Variables)> {
        let mut passed = Vec::new();
        let mut names = Vec::new();
        let mut starter = Vec::new();
        let backlog = view.options.backlog.unwrap_or(BACKLOG).max(1);
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
            out.note_once(format!(
                "a listener that adieu was started with cannot be had twice ({error}): generations share it, and the old one has to \
                 finish what it accepts"
            ));
        }
        names.extend((0..passed.len()).map(|at| self.inherited.name(at)));
        for address in &view.options.listen {
            let socket = self.open(view, generation, *address)?;
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

    fn open(&mut self, view: &View<'_>, generation: Generation, address: SocketAddr) -> std::io::Result<OwnedFd> {
        let socket = sockets::tcp_socket(sockets::family_for(address))?;
        sockets::reuse_address(socket.as_fd())?;
        sockets::set_nonblocking(socket.as_fd(), false)?;
        let shared = endpoint_for(socket.as_fd(), address);
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
        let steers = view.switch.serving() == Some(generation);
        self.groups.listen(id, view.options.backlog.unwrap_or(BACKLOG).max(1), steers)?;
        Ok(given)
    }
}
