use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

#[cfg(all(feature = "systemd", target_os = "linux"))]
use super::handed_over::handed_over;
use super::socket::Socket;

/// Where a server listens: an address to bind when it starts, or a listener that there is already.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listen {
    /// Binds this address.
    Address(SocketAddr),
    /// This listener; one of tokio's by its `into_std`.
    Tcp(std::net::TcpListener),
    /// Binds this path, in place of a socket that is there and that nobody listens on.
    Path(PathBuf),
    /// This listener.
    Unix(std::os::unix::net::UnixListener),
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

/// As for [`SocketAddr`]: `([127, 0, 0, 1], 3000)`, `(Ipv6Addr::UNSPECIFIED, 3000)`.
impl<I: Into<IpAddr>> From<(I, u16)> for Listen {
    fn from(address: (I, u16)) -> Self {
        Self::Address(address.into())
    }
}

impl From<std::net::TcpListener> for Listen {
    fn from(listener: std::net::TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<std::os::unix::net::UnixListener> for Listen {
    fn from(listener: std::os::unix::net::UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl From<PathBuf> for Listen {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

#[cfg(not(all(feature = "systemd", target_os = "linux")))]
fn handed_over(_name: Option<&str>, _wanted: &Listen) -> Option<Listen> {
    None
}

/// How many connections may wait to be accepted, where this crate binds; the kernel has a limit of its own.
const BACKLOG: i32 = 4096;

impl Listen {
    /// One that was handed over comes first: of the same name, or bound to what this would bind.
    pub(super) fn open(self, name: Option<&str>) -> io::Result<Listener> {
        match (handed_over(name, &self), self) {
            (Some(listener), _) => listener.listen(),
            (None, own) => {
                let at = own.bound_to();
                // The error alone does not say which of its addresses a service could not have.
                own.listen().map_err(|error| match at {
                    Some(at) => io::Error::new(error.kind(), format!("{at}: {error}")),
                    None => error,
                })
            }
        }
    }

    /// What it binds, for people.
    fn bound_to(&self) -> Option<String> {
        match self {
            Self::Address(address) => Some(address.to_string()),
            Self::Path(path) => Some(path.display().to_string()),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    fn listen(self) -> io::Result<Listener> {
        match self {
            Self::Address(address) => {
                let kind = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
                // Connections of the generation before that are in TIME_WAIT do not take the address away.
                kind.set_reuse_address(true)?;
                kind.bind(&address.into())?;
                kind.listen(BACKLOG)?;
                Self::Tcp(kind.into()).listen()
            }
            Self::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Listener::Tcp(TcpListener::from_std(listener)?))
            }
            Self::Path(path) => {
                // A socket that nobody listens on refuses; anything else is left where it is, and `bind` says so.
                let dead = std::os::unix::net::UnixStream::connect(&path);
                if dead.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                    std::fs::remove_file(&path)?;
                }
                Self::Unix(std::os::unix::net::UnixListener::bind(path)?).listen()
            }
            Self::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Listener::Unix(UnixListener::from_std(listener)?))
            }
        }
    }
}

/// A listener that is open.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
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

    /// Takes everything out of the accept queue and closes. Asks the kernel itself: the runtime may not have been told yet
    /// of what has just come in, and closing a listener resets its queue.
    pub(super) fn empty_and_close(self) -> Vec<(Socket, Option<SocketAddr>)> {
        // A flood must not hold the stop up.
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

/// The next connection of a non-blocking listener; one that was reset meanwhile is passed over.
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
