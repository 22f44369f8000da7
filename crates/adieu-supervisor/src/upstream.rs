//! What we tell whoever started us (`sd_notify(3)`), when there is somebody: `adieu run` as a Type=notify service.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use adieu_core::Timestamp;

/// The notify socket of our own environment.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    socket: Option<UnixDatagram>,
}

impl Upstream {
    pub(crate) fn from_environment() -> Self {
        let connect = |path: &str| {
            let socket = UnixDatagram::unbound().ok()?;
            let address = match path.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name).ok()?,
                None => SocketAddr::from_pathname(path).ok()?,
            };
            socket.connect_addr(&address).ok()?;
            socket.set_nonblocking(true).ok()?;
            Some(socket)
        };
        Self { socket: std::env::var("NOTIFY_SOCKET").ok().and_then(|path| connect(&path)) }
    }

    /// A manager that does not read must not hold us: what does not fit is dropped.
    fn send(&self, text: &str) {
        if let Some(socket) = &self.socket {
            drop(socket.send(text.as_bytes()));
        }
    }

    pub(crate) fn ready(&self) {
        self.send("READY=1\n");
    }

    pub(crate) fn reloading(&self, now: Timestamp) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", now.since_origin().as_micros()));
    }

    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    /// Passes on what the serving generation says about itself and not about its start.
    pub(crate) fn pass_on(&self, line: &str) {
        self.send(&format!("{line}\n"));
    }
}
