//! What a generation says of itself over its notify socket (`sd_notify(3)`).

use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use adieu_core::notify;
pub(crate) use adieu_core::notify::Message;
use adieu_core::switch::Generation;
use adieu_linux::process;

/// What one generation has told.
#[derive(Debug, Default)]
pub(super) struct NotifyState {
    socket: Option<UnixDatagram>,
    /// It has sent READY=1.
    pub(super) ready: bool,
    /// It has been said that it takes long to be ready.
    pub(super) said_unready: bool,
}

impl NotifyState {
    /// Opens a notify socket for `generation`; with the value of its NOTIFY_SOCKET. Without one it is told nothing and says
    /// nothing.
    pub(super) fn open(generation: Generation) -> (Self, Option<String>) {
        let name = format!("adieu-notify/{}/{generation}", process::own_pid());
        let socket = SocketAddr::from_abstract_name(&name)
            .and_then(|address| UnixDatagram::bind_addr(&address))
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        let value = socket.is_ok().then(|| format!("@{name}"));
        (Self { socket: socket.ok(), ..Self::default() }, value)
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// The next message that has come; what is none is passed over.
    pub(super) fn next(&self) -> Option<Message> {
        let socket = self.socket.as_ref()?;
        let mut buffer = vec![0; notify::LONGEST + 1];
        loop {
            let length = socket.recv(&mut buffer).ok()?;
            if let Ok(message) = notify::parse(buffer.get(..length).unwrap_or_default()) {
                return Some(message);
            }
        }
    }
}
