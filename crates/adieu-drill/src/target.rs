//! What is loaded.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// An `http://` URL, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it may be, in the order of the resolver: a name can have an address of each family. The first that answers is
    /// loaded.
    pub addresses: Vec<SocketAddr>,
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
    #[error("{0:?} contains blanks or control characters: percent-encode them")]
    Characters(String),
}

impl Target {
    /// The root of a server at this address.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { addresses: vec![address], host: address.to_string(), path: "/".to_owned() }
    }

    /// The URL again.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.host, self.path)
    }
}

impl FromStr for Target {
    type Err = BadUrl;
    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let rest = match text.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => rest,
            _ => return Err(BadUrl::Scheme(text.to_owned())),
        };
        if rest.bytes().any(|b| b <= b' ' || b == 127) {
            return Err(BadUrl::Characters(text.to_owned()));
        }
        // What follows a # stays with the client.
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (host, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let with_port = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let bad = |reason: &str| BadUrl::Host(text.to_owned(), reason.to_owned());
        let found = with_port.to_socket_addrs().map_err(|error| bad(&error.to_string()))?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(bad("it has no address"));
        }
        if addresses.iter().any(|address| address.port() == 0) {
            return Err(bad("port 0 is nobody's"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { addresses, host: host.to_owned(), path: format!("{slash}{path}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parse = |text: &str| {
            let target: Target = text.parse().expect("a good URL");
            (target.addresses[0].to_string(), target.host, target.path)
        };
        let is = |address: &str, host: &str, path: &str| (address.to_owned(), host.to_owned(), path.to_owned());
        assert_eq!(parse("http://127.0.0.1:81/a?b#c"), is("127.0.0.1:81", "127.0.0.1:81", "/a?b"));
        assert_eq!(parse("HTTP://127.0.0.1?b=/"), is("127.0.0.1:80", "127.0.0.1", "/?b=/"));
        assert_eq!(parse("http://[::1]"), is("[::1]:80", "[::1]", "/"));
        assert_eq!("http://127.0.0.1:81?a".parse::<Target>().expect("a good URL").url(), "http://127.0.0.1:81/?a");
    }

    #[test]
    fn bad_urls() {
        for url in ["https://127.0.0.1/", "127.0.0.1:80", "", "ftp://x", "http:/x"] {
            assert!(matches!(url.parse::<Target>(), Err(BadUrl::Scheme(_))), "{url}");
        }
        for url in ["http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y", "http://127.0.0.1\n/"] {
            assert!(matches!(url.parse::<Target>(), Err(BadUrl::Characters(_))), "{url}");
        }
        for url in ["http://127.0.0.1:x/", "http:///", "http://127.0.0.1:99999/", "http://127.0.0.1:0/", "http://a@:1/"]
        {
            assert!(matches!(url.parse::<Target>(), Err(BadUrl::Host(..))), "{url}");
        }
    }
}
