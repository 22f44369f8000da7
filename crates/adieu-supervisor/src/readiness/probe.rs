//! Probes: asking a generation whether it serves, while another one does.
//!
//! Invariant: a probe reaches the generation that is asked, or nobody. It comes from a source port that the program of each
//! group sends to that generation, and only to an address where no other listener would get it. Steering and starting
//! commands is not ours to do: what is needed is said as a [`Need`].

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use adieu_core::Timestamp;
use adieu_core::address::{Endpoint, receiver};
use adieu_core::ids::Pid;
use adieu_core::switch::Generation;
use adieu_linux::poll::Readiness as Interest;
use adieu_linux::{connections, sockets};

use super::ways::{reachable, ways, wildcard};
use crate::http::{Exchange, Outcome};
use crate::options::{HttpTarget, ReadyWhen};
use crate::process_table::ProcessTable;
use crate::processes::{Shell, kill_tree};
use crate::sockets::Sockets;
use crate::view::View;

/// Connections to addresses of this machine come in over it, and it is the first of every network namespace.
const LOOPBACK: u32 = 1;

/// A probe under way, or the pause before the next one.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) generation: Generation,
    pub(super) next: Timestamp,
    pub(super) state: State,
    /// What the last one came to.
    pub(super) failure: Option<String>,
}

#[derive(Debug)]
pub(super) enum State {
    Pause,
    Http(Exchange),
    /// Connected by the kernel; the program has not accepted yet.
    Accepting {
        socket: OwnedFd,
        connected: bool,
        deadline: Timestamp,
    },
    Command {
        pid: Pid,
        deadline: Timestamp,
    },
}

/// What the probe needs of others now.
#[derive(Debug)]
#[must_use = "the probe waits for it"]
pub(crate) enum Need {
    Nothing,
    /// Its port shall not be steered any more.
    Release,
    /// Its port shall be steered; then [`Readiness::start_probe`].
    Start(ProbeStart),
}

/// A probe that is about to be made.
#[derive(Debug)]
pub(crate) struct ProbeStart {
    pub(super) generation: Generation,
    /// The source port that has to lead to the generation.
    port: Option<u16>,
    ask: Ask,
}

impl ProbeStart {
    /// The source port that has to lead to a generation.
    pub(crate) fn steering(&self) -> Option<(u16, Generation)> {
        self.port.map(|port| (port, self.generation))
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }
}

#[derive(Debug)]
enum Ask {
    Http(OwnedFd, HttpTarget),
    Accept(OwnedFd, SocketAddr),
    Command(String),
}

impl Probe {
    pub(super) fn new(generation: Generation, now: Timestamp) -> Self {
        Self { generation, next: now, state: State::Pause, failure: None }
    }

    pub(super) fn is_pausing(&self) -> bool {
        matches!(self.state, State::Pause)
    }

    /// The question under way has come to nothing.
    pub(super) fn failed(&mut self, why: String) {
        (self.state, self.failure) = (State::Pause, Some(why));
    }

    pub(super) fn interest(&self) -> Option<(BorrowedFd<'_>, Interest)> {
        match &self.state {
            State::Http(exchange) => Some((exchange.as_fd(), exchange.interest())),
            State::Accepting { socket, connected: false, .. } => Some((socket.as_fd(), Interest::WRITE)),
            State::Accepting { .. } | State::Pause | State::Command { .. } => None,
        }
    }

    pub(super) fn command(&self) -> Option<Pid> {
        if let State::Command { pid, .. } = self.state { Some(pid) } else { None }
    }

    /// What the question under way has come to; `None` while it has not.
    pub(super) fn go_on(&mut self, now: Timestamp, sockets: &Sockets) -> Option<Result<(), String>> {
        match &mut self.state {
            State::Pause => None,
            State::Http(exchange) => match exchange.advance(now) {
                Outcome::Pending => None,
                Outcome::Status(200..400) => Some(Ok(())),
                Outcome::Status(status) => Some(Err(format!("it was answered with status {status}"))),
                Outcome::Failed(error) => Some(Err(error.to_string())),
            },
            State::Accepting { socket, connected, deadline } => {
                *connected = *connected || connections::is_connected(socket.as_fd());
                let errno = connections::pending_error(socket.as_fd());
                if errno != 0 {
                    Some(Err(std::io::Error::from_raw_os_error(errno).to_string()))
                } else if *connected && sockets.waiting(self.generation) == 0 {
                    Some(Ok(()))
                } else if now >= *deadline {
                    Some(Err("the program has not accepted it".to_owned()))
                } else {
                    None
                }
            }
            State::Command { pid, deadline } => {
                if now >= *deadline {
                    kill_tree(*pid);
                }
                None
            }
        }
    }
}

/// Asks.
pub(super) fn ask(
    deadline: Timestamp,
    start: ProbeStart,
    steered: std::io::Result<()>,
    shell: &mut Shell<'_>,
) -> std::io::Result<State> {
    match start.ask {
        Ask::Http(socket, target) => {
            steered?;
            Exchange::start(socket, "GET", &target, "", deadline).map(State::Http)
        }
        Ask::Accept(socket, address) => {
            steered?;
            let connected = connections::connect(socket.as_fd(), address)?;
            Ok(State::Accepting { socket, connected, deadline })
        }
        Ask::Command(command) => {
            let port = start.port.filter(|_| steered.is_ok());
            let facts = port.map(|port| ("ADIEU_PROBE_PORT", port.to_string()));
            shell.run(&command, facts.as_slice(), None).map(|pid| State::Command { pid, deadline })
        }
    }
}

/// Prepares a probe; `None` while there is nothing to ask.
pub(super) fn prepare(
    view: &View<'_>,
    table: &dyn ProcessTable,
    sockets: &Sockets,
    generation: Generation,
) -> Result<Option<ProbeStart>, String> {
    let accept = |address| {
        let (socket, address, port) = probe_socket(sockets, generation, address)?;
        Ok(Some(ProbeStart { generation, port, ask: Ask::Accept(socket, address) }))
    };
    match &view.options.ready {
        ReadyWhen::Http(target) => {
            let (socket, address, port) = probe_socket(sockets, generation, target.address)?;
            let target = HttpTarget { address, ..target.clone() };
            Ok(Some(ProbeStart { generation, port, ask: Ask::Http(socket, target) }))
        }
        ReadyWhen::Tcp(address) => accept(*address),
        // Before it listens, all that the command asks reaches the one before it.
        ReadyWhen::Exec(_) if !sockets.may_be_asked(view, table, generation) => Ok(None),
        ReadyWhen::Exec(command) => {
            // Below the ports that the kernel gives to clients.
            let port = adieu_linux::sockets::free_source_port().ok();
            Ok(Some(ProbeStart { generation, port, ask: Ask::Command(command.clone()) }))
        }
        ReadyWhen::Auto | ReadyWhen::Notify => match sockets.endpoints(generation).first() {
            Some(endpoint) => accept(endpoint.address),
            None => Ok(None),
        },
    }
}

/// A socket, where it has to be connected to reach the generation that is probed and no other, and the source port that has
/// to be steered for that.
fn probe_socket(
    all: &Sockets,
    generation: Generation,
    target: SocketAddr,
) -> Result<(OwnedFd, SocketAddr, Option<u16>), String> {
    // Those that are meant: all of a wildcard's, or what covers an address.
    let meant = Endpoint { address: target, v6_only: false, interface: 0 };
    let mut own = all.endpoints(generation);
    own.retain(|endpoint| endpoint.covers(&meant) || meant.covers(endpoint));
    let visible = all.visible();
    let reaches = |to: &SocketAddr| receiver(&visible, *to, LOOPBACK).is_some_and(|endpoint| own.contains(&endpoint));
    let ours = ways(target).into_iter().find(reaches);
    let to = match (ours, receiver(&visible, reachable(target), LOOPBACK)) {
        (Some(to), _) => to,
        // Not a socket of ours: another process of its, or a port that the kernel has chosen.
        (None, None) => reachable(target),
        (None, Some(_)) if all.waits_to_listen(generation) => {
            return Err("it does not listen before it is ready, as that would take the traffic at once".to_owned());
        }
        (None, Some(there)) => return Err(format!("only the one before it can be reached there ({there})")),
    };
    let text = |error: std::io::Error| error.to_string();
    let socket = sockets::tcp_socket(sockets::family_for(to)).map_err(text)?;
    let mut port = None;
    if ours.is_some() {
        sockets::bind(socket.as_fd(), SocketAddr::new(wildcard(to), 0)).map_err(text)?;
        let bound = sockets::local_address(socket.as_fd()).map_err(text)?;
        port = Some(bound.map_or(0, |address| address.port()));
    }
    Ok((socket, to, port))
}
