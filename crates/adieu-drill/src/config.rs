//! What a drill is told.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

/// One drill.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is loaded.
    pub target: Target,
    /// The shell command that restarts it.
    pub restart: String,
    /// How often.
    pub count: usize,
    /// Clients, each with one request at a time.
    pub connections: usize,
    /// How many of a hundred clients keep their connection; the others open one for each request.
    pub keepalive: u8,
    /// Load before the first restart, for comparison.
    pub calm: Duration,
    /// Load between the end of one restart and the next, and after the last.
    pub pause: Duration,
    /// The whole load; sets `pause`, as far as the restarts leave time.
    pub duration: Option<Duration>,
    /// The longest a request may take.
    pub timeout: Duration,
    /// A restart command that takes longer is killed and has failed.
    pub restart_timeout: Duration,
    /// Text that every body must contain.
    pub expect: Option<String>,
}

impl Config {
    /// The defaults of `adieu drill`: 5 restarts, 32 clients, half of them keep-alive.
    #[must_use]
    pub fn new(target: Target, restart: impl Into<String>) -> Self {
        Self {
            target,
            restart: restart.into(),
            count: 5,
            connections: 32,
            keepalive: 50,
            calm: Duration::from_secs(2),
            pause: Duration::from_secs(1),
            duration: None,
            timeout: Duration::from_secs(5),
            restart_timeout: Duration::from_secs(120),
            expect: None,
        }
    }

    /// How many clients keep their connection: at least one when any shall.
    #[must_use]
    pub fn kept(&self) -> usize {
        let kept = self.connections * usize::from(self.keepalive.min(100));
        kept.div_ceil(100)
    }
}

/// An `http://` URL, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// For the Host header.
    pub host: String,
    /// Path and query.
    pub path: String,
}

/// A URL that cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Another scheme.
    #[error("{0:?} is not an http:// URL (https is not supported: drill the plain port behind it)")]
    Scheme(String),
    /// No such host.
    #[error("the host of {0:?} cannot be resolved: {1}")]
    Host(String, String),
    /// Blanks or control characters.
    #[error("the path of {0:?} contains blanks or control characters: percent-encode them")]
    Path(String),
}

impl FromStr for Target {
    type Err = BadUrl;
    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let rest = text.strip_prefix("http://").ok_or_else(|| BadUrl::Scheme(text.to_owned()))?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        if path.bytes().any(|b| b <= b' ' || b == 127) {
            return Err(BadUrl::Path(text.to_owned()));
        }
        let with_port = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let bad = |reason: &str| BadUrl::Host(text.to_owned(), reason.to_owned());
        let mut found = with_port.to_socket_addrs().map_err(|error| bad(&error.to_string()))?;
        let address = found.next().ok_or_else(|| bad("no address"))?;
        Ok(Self { address, host: host.to_owned(), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let target: Target = "http://127.0.0.1:81/a?b".parse().expect("url");
        assert_eq!((target.address.to_string().as_str(), target.path.as_str()), ("127.0.0.1:81", "/a?b"));
        assert_eq!("http://[::1]".parse::<Target>().expect("url").address.to_string(), "[::1]:80");
        assert!(matches!("https://127.0.0.1/".parse::<Target>(), Err(BadUrl::Scheme(_))));
        assert!(matches!("http://127.0.0.1/a b".parse::<Target>(), Err(BadUrl::Path(_))));
        assert!(matches!("http://127.0.0.1:x/".parse::<Target>(), Err(BadUrl::Host(..))));
    }
}
