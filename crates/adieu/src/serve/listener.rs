//! Listeners that are open, from `LISTEN_FDS` or bound here.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

#[cfg(all(feature = "systemd", target_os = "linux"))]
use super::activation::activated_listener;
use super::listen::Listen;
use super::socket::Socket;

#[cfg(not(all(feature = "systemd", target_os = "linux")))]
fn activated_listener(_name: Option<&str>, _wanted: &Listen) -> Option<Listen> {
    None
}

/// How many connections may wait to be accepted, where this crate binds; the kernel has a limit of its own.
const BACKLOG: i32 = 4096;

/// A listener that is open.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Opens a listener: one from `LISTEN_FDS` of the same name or address, or else what `listen` says.
    pub(super) fn open(listen: Listen, name: Option<&str>) -> io::Result<Self> {
        match (activated_listener(name, &listen), listen) {
            (Some(given), _) => Self::listen(given),
            (None, own) => {
                let at = own.bound_to();
                // The error alone does not say which address is taken.
                Self::listen(own).map_err(|error| match at {
                    Some(at) => io::Error::new(error.kind(), format!("{at}: {error}")),
                    None => error,
                })
            }
        }
    }

    fn listen(listen: Listen) -> io::Result<Self> {
        match listen {
            Listen::Address(address) => {
                let kind = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
                // Connections of the last generation may be in TIME_WAIT, which must not keep us from the address.
                kind.set_reuse_address(true)?;
                kind.bind(&address.into())?;
                kind.listen(BACKLOG)?;
                Self::listen(Listen::Tcp(kind.into()))
            }
            Listen::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpListener::from_std(listener)?))
            }
            Listen::Path(path) => {
                // A socket without a listener refuses. Anything else is left alone, and `bind` fails.
                let dead = std::os::unix::net::UnixStream::connect(&path);
                if dead.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                    std::fs::remove_file(&path)?;
                }
                Self::listen(Listen::Unix(std::os::unix::net::UnixListener::bind(path)?))
            }
            Listen::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(UnixListener::from_std(listener)?))
            }
        }
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| (Socket::tcp(stream), Some(peer))),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| (Socket::Unix(stream), None)),
        }
    }

    /// Accepts everything in the accept queue and closes the listener.
    ///
    /// Closing a listener resets the connections in its queue, and the runtime may not know of the latest yet. So this
    /// asks the kernel, until the queue is empty.
    pub(super) fn empty_and_close(self) -> Vec<(Socket, Option<SocketAddr>)> {
        // A flood of connections must not hold the stop up.
        let most = usize::try_from(BACKLOG).unwrap_or(usize::MAX);
        match self {
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else { return Vec::new() };
                let accepted = std::iter::from_fn(|| next(|| listener.accept()));
                let tcp = |(stream, peer): (std::net::TcpStream, _)| {
                    stream.set_nonblocking(true)?;
                    Ok::<_, io::Error>((Socket::tcp(TcpStream::from_std(stream)?), Some(peer)))
                };
                accepted.take(most).filter_map(|one| tcp(one).ok()).collect()
            }
            Self::Unix(listener) => {
                let Ok(listener) = listener.into_std() else { return Vec::new() };
                let accepted = std::iter::from_fn(|| next(|| listener.accept()));
                let unix = |(stream, _): (std::os::unix::net::UnixStream, _)| {
                    stream.set_nonblocking(true)?;
                    Ok::<_, io::Error>((Socket::Unix(UnixStream::from_std(stream)?), None))
                };
                accepted.take(most).filter_map(|one| unix(one).ok()).collect()
            }
        }
    }
}

/// The next connection of a non-blocking listener, but none that was reset meanwhile.
fn next<S, A>(accept: impl Fn() -> io::Result<(S, A)>) -> Option<(S, A)> {
    loop {
        match accept() {
            Ok(accepted) => return Some(accepted),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
