//! Where a server listens.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Where a server listens: an address to bind when it starts, or an open listener.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listen {
    /// Binds this address.
    Address(SocketAddr),
    /// Uses this listener. One of tokio's becomes such a listener by `into_std`.
    Tcp(std::net::TcpListener),
    /// Binds this path. Replaces a socket that is there if no process listens on it.
    Path(PathBuf),
    /// Uses this listener.
    Unix(std::os::unix::net::UnixListener),
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

/// For example `([127, 0, 0, 1], 3000)` or `(Ipv6Addr::UNSPECIFIED, 3000)`.
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

impl Listen {
    /// The address or path to bind, for error messages.
    pub(super) fn bound_to(&self) -> Option<String> {
        match self {
            Self::Address(address) => Some(address.to_string()),
            Self::Path(path) => Some(path.display().to_string()),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }
}
