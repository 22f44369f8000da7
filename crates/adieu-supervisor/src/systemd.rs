//! What we tell the service manager that started us (`sd_notify(3)`), if one did: `adieu run` as a Type=notify service.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use adieu_core::Timestamp;

/// The notify socket of our own environment.
#[derive(Debug, Default)]
pub(crate) struct Systemd {
    socket: Option<UnixDatagram>,
}

impl Systemd {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{alone, alone_with};

    /// What a manager at `socket` has been told.
    fn told(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).expect("ours");
        let mut buffer = [0; 512];
        let next = || {
            let length = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        std::iter::from_fn(next).collect()
    }

    fn tell_all(systemd: &Systemd) {
        systemd.ready();
        systemd.reloading(Timestamp::from_origin(Duration::from_nanos(1_234_567_890)));
        systemd.stopping();
        systemd.pass_on("STATUS=busy");
    }

    const LINES: [&str; 4] = ["READY=1\n", "RELOADING=1\nMONOTONIC_USEC=1234567\n", "STOPPING=1\n", "STATUS=busy\n"];

    #[test]
    fn a_manager_at_a_path_is_told_in_its_words() {
        drop(alone_with(&[("NOTIFY_SOCKET", "{}/notify")], || {
            let manager = UnixDatagram::bind("notify").expect("free");
            tell_all(&Systemd::from_environment());
            assert_eq!(told(&manager), LINES);
        }));
    }

    #[test]
    fn a_manager_with_an_abstract_name_is_told_too() {
        drop(alone_with(&[("NOTIFY_SOCKET", "@{}/notify")], || {
            let name = std::env::var("NOTIFY_SOCKET").expect("it was set");
            let address = SocketAddr::from_abstract_name(name.strip_prefix('@').expect("abstract")).expect("a name");
            let manager = UnixDatagram::bind_addr(&address).expect("free");
            tell_all(&Systemd::from_environment());
            assert_eq!(told(&manager), LINES);
        }));
    }

    #[test]
    fn a_manager_that_does_not_read_does_not_hold_us() {
        drop(alone_with(&[("NOTIFY_SOCKET", "{}/notify")], || {
            let manager = UnixDatagram::bind("notify").expect("free");
            let systemd = Systemd::from_environment();
            for _ in 0..10_000 {
                systemd.ready();
            }
            let told = told(&manager);
            assert!(!told.is_empty() && told.len() < 10_000 && told.iter().all(|line| line == "READY=1\n"));
        }));
    }

    #[test]
    fn without_a_manager_nobody_is_told() {
        drop(alone(|| {
            assert!(Systemd::default().socket.is_none());
            tell_all(&Systemd::default());
        }));
    }

    #[test]
    fn a_manager_that_is_not_there_is_none() {
        drop(alone_with(&[("NOTIFY_SOCKET", "{}/nobody")], || {
            let systemd = Systemd::from_environment();
            assert!(systemd.socket.is_none());
            tell_all(&systemd);
        }));
    }
}
