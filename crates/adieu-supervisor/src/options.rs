//! What `adieu run` was told, parsed and checked.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use adieu_core::restart::Restart;
use adieu_core::signal::Signal;
use adieu_core::switch::Policy;

/// Everything about one run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the instance; the program's base name when not given.
    pub name: Option<String>,
    /// From the stop of a generation to its kill, draining included.
    pub grace: Duration,
    /// The longest wait for connections that are owed an answer; two thirds of the grace when not given.
    pub drain_timeout: Option<Duration>,
    /// How long a connection that is owed an answer may show no movement before it counts as given up.
    pub drain_quiet: Duration,
    /// How long the old generation can still take over after a switch.
    pub settle: Duration,
    /// How long a final stop waits before the stop signal.
    pub linger: Duration,
    /// The signal that asks the program to end; when not given, TERM (and INT when INT was received).
    pub stop_signal: Option<Signal>,
    /// Received signals that are replaced by others.
    pub rewrite: Vec<(Signal, Signal)>,
    /// Exit codes that are replaced by others.
    pub map_exit: Vec<(i32, i32)>,
    /// Sockets that adieu opens and passes as LISTEN_FDS and the peers' variables.
    pub listen: Vec<SocketAddr>,
    /// When a generation counts as ready.
    pub ready: ReadyWhen,
    /// How long a new generation may take to get ready.
    pub ready_timeout: Duration,
    /// Whether old and new may run at the same time.
    pub overlap: bool,
    /// Runs before the stop signal.
    pub pre_stop: Option<Hook>,
    /// Runs after each end of a generation.
    pub post_stop: Option<Hook>,
    /// What happens when the program ends by itself.
    pub restart: Restart,
    /// The least accept queue that every listener gets.
    pub backlog: Option<i32>,
    /// How sockets are handled.
    pub sockets: Sockets,
    /// Log lines as JSON.
    pub json_log: bool,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

impl Options {
    /// The drain time-out in force.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout.unwrap_or(self.grace * 2 / 3).min(self.grace)
    }

    /// What the machine is told of these options.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            grace: self.grace,
            drain_timeout: self.drain_timeout(),
            settle: self.settle,
            linger: self.linger,
            ready_timeout: self.ready_timeout,
            // A plain init knows nothing of sockets: two at once would fight over them.
            overlap: self.overlap && self.sockets != Sockets::Off,
            restart: self.restart,
            pre_stop: self.pre_stop.is_some(),
        }
    }
}

/// How sockets are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sockets {
    /// The program's own calls are watched.
    Auto,
    /// Only the sockets of `--listen` are handled.
    Pass,
    /// None: a plain init.
    Off,
}

/// When a generation counts as ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyWhen {
    /// It listens wherever the one before listened.
    Auto,
    /// It has sent READY=1 (`sd_notify(3)`).
    Notify,
    /// It answers this request with a status from 200 to 399.
    Http(HttpTarget),
    /// It accepts a connection here.
    Tcp(SocketAddr),
    /// This shell command ends with 0.
    Exec(String),
}

/// A URL with an address instead of a name: adieu does not resolve names while it supervises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    /// Where to connect.
    pub address: SocketAddr,
    /// Path and query, from the slash on.
    pub path: String,
}

/// Something to run at a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// A shell command.
    Command(String),
    /// A URL that gets a POST.
    Url(HttpTarget),
}

/// A value that an option does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// Not a way to get ready.
    #[error("unknown readiness {0:?}: use auto, notify, http://IP:PORT/PATH, tcp:IP:PORT or exec:COMMAND")]
    Ready(String),
    /// Not a URL that can be used here.
    #[error("{0:?} is not of the form http://IP:PORT/PATH (a numeric address; https is not supported)")]
    Url(String),
    /// Not an address.
    #[error("{0:?} is not an address to listen on: use PORT, IP:PORT or [IP]:PORT")]
    Address(String),
    /// Not a pair.
    #[error("{0:?} is not of the form FROM=TO")]
    Pair(String),
    /// Not an exit code.
    #[error("{0:?} is not an exit code from 0 to 255")]
    ExitCode(String),
    /// Nothing to run.
    #[error("the command is empty")]
    EmptyCommand,
    /// Not a mode.
    #[error("unknown socket mode {0:?}: use auto, pass or off")]
    Sockets(String),
}

impl FromStr for HttpTarget {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || BadValue::Url(text.to_owned());
        let rest = text.strip_prefix("http://").ok_or_else(bad)?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let authority = authority.replace("localhost", "127.0.0.1");
        let address = authority.parse().or_else(|_| format!("{authority}:80").parse()).map_err(|_| bad())?;
        if path.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()) {
            return Err(bad());
        }
        Ok(Self { address, path: path.to_owned() })
    }
}

impl FromStr for ReadyWhen {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "notify" => Ok(Self::Notify),
            Some(("http", _)) => text.parse().map(Self::Http),
            Some(("tcp", address)) => parse_address(address).map(Self::Tcp),
            Some(("exec", "")) => Err(BadValue::EmptyCommand),
            Some(("exec", command)) => Ok(Self::Exec(command.to_owned())),
            _ => Err(BadValue::Ready(text.to_owned())),
        }
    }
}

impl ReadyWhen {
    /// What a generation that is not ready has failed to do.
    pub(crate) fn unmet(&self) -> String {
        match self {
            Self::Auto => "it did not accept a connection".to_owned(),
            Self::Notify => "it did not send READY=1".to_owned(),
            Self::Http(target) => {
                format!("http://{}{} was not answered with a status from 200 to 399", target.address, target.path)
            }
            Self::Tcp(address) => format!("it accepted no connection at {address}"),
            Self::Exec(command) => format!("the command {command:?} did not end with 0"),
        }
    }
}

impl FromStr for Hook {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.trim().is_empty() {
            return Err(BadValue::EmptyCommand);
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return text.parse().map(Self::Url);
        }
        Ok(Self::Command(text.to_owned()))
    }
}

impl FromStr for Sockets {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "auto" => Ok(Self::Auto),
            "pass" => Ok(Self::Pass),
            "off" => Ok(Self::Off),
            other => Err(BadValue::Sockets(other.to_owned())),
        }
    }
}

impl Sockets {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pass => "pass",
            Self::Off => "off",
        }
    }
}

/// Reads an address to listen on: `8080` and `:8080` are every address of both families.
///
/// # Errors
/// [`BadValue::Address`].
pub fn parse_address(text: &str) -> Result<SocketAddr, BadValue> {
    let bad = || BadValue::Address(text.to_owned());
    match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        Ok(0) => Err(bad()),
        Ok(port) => Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
        Err(_) => text.replace("localhost:", "127.0.0.1:").parse().map_err(|_| bad()),
    }
}

/// Reads `FROM=TO` as two signals.
///
/// # Errors
/// Names the part that is wrong.
pub fn parse_rewrite(text: &str) -> Result<(Signal, Signal), String> {
    let (from, to) = text.split_once('=').ok_or_else(|| BadValue::Pair(text.to_owned()).to_string())?;
    let parse = |part: &str| part.trim().parse::<Signal>().map_err(|error| error.to_string());
    Ok((parse(from)?, parse(to)?))
}

/// Reads `FROM=TO` as two exit codes.
///
/// # Errors
/// Names the part that is wrong.
pub fn parse_exit_pair(text: &str) -> Result<(i32, i32), BadValue> {
    let (from, to) = text.split_once('=').ok_or_else(|| BadValue::Pair(text.to_owned()))?;
    let parse = |part: &str| part.trim().parse::<u8>().map(i32::from).map_err(|_| BadValue::ExitCode(part.to_owned()));
    Ok((parse(from)?, parse(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_need_an_address_and_plain_http() {
        let target: HttpTarget = "http://127.0.0.1:8080/healthz?x=1".parse().expect("url");
        assert_eq!((target.address.port(), target.path.as_str()), (8080, "/healthz?x=1"));
        assert_eq!("http://[::1]:80".parse::<HttpTarget>().expect("url").path, "/");
        assert_eq!("http://localhost:81/".parse::<HttpTarget>().expect("url").address.port(), 81);
        for bad in ["https://127.0.0.1/", "http://example.org/", "127.0.0.1", "http://", "http://1.2.3.4:99999/"] {
            assert!(bad.parse::<HttpTarget>().is_err(), "{bad}");
        }
    }

    #[test]
    fn readiness_words() {
        assert_eq!("tcp:127.0.0.1:80".parse(), Ok(ReadyWhen::Tcp("127.0.0.1:80".parse().expect("address"))));
        assert_eq!("exec:test -e /x".parse(), Ok(ReadyWhen::Exec("test -e /x".to_owned())));
        for bad in ["", "maybe", "tcp:", "exec:", "ftp://x"] {
            assert!(bad.parse::<ReadyWhen>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_and_pairs() {
        assert_eq!(parse_address(":80").map(|a| a.to_string()), Ok("[::]:80".to_owned()));
        assert!(parse_address("0").is_err() && parse_address("x:80").is_err() && parse_address("70000").is_err());
        assert_eq!(parse_exit_pair("143=0"), Ok((143, 0)));
        assert!(parse_exit_pair("143").is_err() && parse_exit_pair("300=0").is_err());
    }
}
