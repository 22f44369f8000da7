//! Probes: asking a generation whether it serves, while another one does.
//!
//! Invariant: a probe reaches the generation that is asked, or nobody. It comes from a source port that the program of each
//! group sends to that generation, and only to an address where no other listener would get it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::address::{Endpoint, receiver};
use adieu_core::signal::Signal;
use adieu_core::switch::{Event, Generation};
use adieu_linux::poll::Readiness;
use adieu_linux::{clock, connections, process, sockets};

use crate::http::{Exchange, Outcome};
use crate::options::{HttpTarget, ReadyWhen};
use crate::running::signal_each;
use crate::supervisor::Supervisor;

const PROBE_EVERY: Duration = Duration::from_millis(50);
const PROBE_TIME: Duration = Duration::from_secs(2);
/// Connections to addresses of this machine come in over it, and it is the first of every network namespace.
const LOOPBACK: u32 = 1;
/// Loopback addresses beside 127.0.0.1: a listener there does not hide one on the wildcard here.
const ASIDE: Ipv4Addr = Ipv4Addr::new(127, 83, 117, 1);

/// A probe under way, or the pause before the next one.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) generation: Generation,
    pub(crate) next: Timestamp,
    state: State,
    /// What the last one came to.
    pub(crate) failure: Option<String>,
}

#[derive(Debug)]
enum State {
    Pause,
    Http(Exchange),
    /// Connected by the kernel; the program has not accepted yet.
    Accepting {
        socket: OwnedFd,
        connected: bool,
        deadline: Timestamp,
    },
    Command {
        pid: i32,
        deadline: Timestamp,
    },
}

impl Probe {
    pub(crate) fn new(generation: Generation, now: Timestamp) -> Self {
        Self { generation, next: now, state: State::Pause, failure: None }
    }

    pub(crate) fn interest(&self) -> Option<(BorrowedFd<'_>, Readiness)> {
        match &self.state {
            State::Http(exchange) => Some((exchange.as_fd(), exchange.interest())),
            State::Accepting { socket, connected: false, .. } => Some((socket.as_fd(), Readiness::WRITE)),
            State::Accepting { .. } | State::Pause | State::Command { .. } => None,
        }
    }

    pub(crate) fn command(&self) -> Option<i32> {
        if let State::Command { pid, .. } = self.state { Some(pid) } else { None }
    }

    fn kill_command(&self) {
        if let Some(pid) = self.command() {
            kill_command(pid);
        }
    }
}

impl Supervisor {
    /// Goes on with the probe.
    pub(crate) fn advance_probe(&mut self) {
        let Some(mut probe) = self.probe.take() else { return };
        if self.switch.starting() != Some(probe.generation) {
            // A command that went on would ask another one.
            probe.kill_command();
            drop(self.groups.steer_probe(None));
            return;
        }
        let now = clock::now();
        let passed = match &mut probe.state {
            State::Pause if now >= probe.next => {
                probe.next = now + PROBE_EVERY;
                match self.start_probe(probe.generation, now) {
                    Ok(Some(state)) => probe.state = state,
                    Ok(None) => {}
                    Err(why) => probe.failure = Some(why),
                }
                None
            }
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
                } else if *connected && self.groups.waiting(probe.generation) == 0 {
                    Some(Ok(()))
                } else if now >= *deadline {
                    Some(Err("the program has not accepted it".to_owned()))
                } else {
                    None
                }
            }
            State::Command { pid, deadline } => {
                if now >= *deadline {
                    kill_command(*pid);
                }
                None
            }
        };
        self.conclude(probe, passed, now);
    }

    /// An `exec:` probe has ended.
    pub(crate) fn probe_command_ended(&mut self, success: bool) {
        if let Some(probe) = self.probe.take() {
            let passed = if success { Ok(()) } else { Err("the command ended with an error".to_owned()) };
            self.conclude(probe, Some(passed), clock::now());
        }
    }

    fn conclude(&mut self, mut probe: Probe, passed: Option<Result<(), String>>, now: Timestamp) {
        match passed {
            None => {
                if !matches!(probe.state, State::Pause) {
                    probe.next = now + PROBE_EVERY / 10;
                }
                self.probe = Some(probe);
            }
            Some(Err(why)) => {
                drop(self.groups.steer_probe(None));
                (probe.state, probe.failure) = (State::Pause, Some(why));
                probe.next = now + PROBE_EVERY;
                self.probe = Some(probe);
            }
            Some(Ok(())) => {
                drop(self.groups.steer_probe(None));
                self.tell(Event::Ready(probe.generation));
            }
        }
    }

    /// Begins a probe; `None` while there is nothing to ask.
    fn start_probe(&mut self, generation: Generation, now: Timestamp) -> Result<Option<State>, String> {
        let deadline = now + PROBE_TIME;
        let text = |error: std::io::Error| error.to_string();
        match self.options.ready.clone() {
            ReadyWhen::Http(target) => {
                let (socket, address) = self.probe_socket(generation, target.address)?;
                let target = HttpTarget { address, ..target };
                Exchange::start(socket, "GET", &target, "", deadline).map(State::Http).map(Some).map_err(text)
            }
            ReadyWhen::Tcp(address) => self.start_accepting(generation, address, deadline).map(Some),
            // Before it listens, all that the command asks reaches the one before it.
            ReadyWhen::Exec(_) if !self.may_be_asked(generation) => Ok(None),
            ReadyWhen::Exec(command) => {
                let facts = self.steer_command(generation).map(|port| ("ADIEU_PROBE_PORT", port.to_string()));
                let started = self.run_shell(&command, generation, facts.as_slice(), None);
                started.map(|pid| Some(State::Command { pid, deadline })).map_err(text)
            }
            ReadyWhen::Auto | ReadyWhen::Notify => match self.groups.endpoints(generation).first() {
                Some(endpoint) => self.start_accepting(generation, endpoint.address, deadline).map(Some),
                None => Ok(None),
            },
        }
    }

    fn start_accepting(
        &mut self,
        generation: Generation,
        address: SocketAddr,
        deadline: Timestamp,
    ) -> Result<State, String> {
        let (socket, address) = self.probe_socket(generation, address)?;
        let connected = connections::connect(socket.as_fd(), address).map_err(|error| error.to_string())?;
        Ok(State::Accepting { socket, connected, deadline })
    }

    /// A socket, and where it has to be connected to reach the generation that is probed and no other.
    fn probe_socket(&mut self, generation: Generation, target: SocketAddr) -> Result<(OwnedFd, SocketAddr), String> {
        // Those that are meant: all of a wildcard's, or what covers an address.
        let meant = Endpoint { address: target, v6_only: false, interface: 0 };
        let mut own = self.groups.endpoints(generation);
        own.retain(|endpoint| endpoint.covers(&meant) || meant.covers(endpoint));
        let all = self.groups.visible();
        let reaches = |to: &SocketAddr| receiver(&all, *to, LOOPBACK).is_some_and(|endpoint| own.contains(&endpoint));
        let ours = ways(target).into_iter().find(reaches);
        let to = match (ours, receiver(&all, reachable(target), LOOPBACK)) {
            (Some(to), _) => to,
            // Not a socket of ours: another process of its, or a port that the kernel has chosen.
            (None, None) => reachable(target),
            (None, Some(_)) if self.waits_to_listen(generation) => {
                return Err("it does not listen before it is ready, as that would take the traffic at once".to_owned());
            }
            (None, Some(there)) => return Err(format!("only the one before it can be reached there ({there})")),
        };
        let text = |error: std::io::Error| error.to_string();
        let socket = sockets::tcp_socket(if to.is_ipv4() { 2 } else { 10 }).map_err(text)?;
        if ours.is_some() {
            let any = SocketAddr::new(wildcard(to), 0);
            sockets::bind(socket.as_fd(), any).map_err(text)?;
            let port = sockets::local_address(socket.as_fd()).map_err(text)?.map_or(0, |address| address.port());
            self.groups.steer_probe(Some((port, generation))).map_err(text)?;
        }
        Ok((socket, to))
    }

    /// Whether it listens somewhere, if that is to be expected and can be seen.
    fn may_be_asked(&self, generation: Generation) -> bool {
        let unseen = self.running.get(&generation).is_none_or(|running| running.unseen);
        unseen || self.wanted(generation).is_empty() || !self.present(generation).is_empty()
    }

    fn waits_to_listen(&self, generation: Generation) -> bool {
        self.running.get(&generation).is_some_and(|running| !running.waiting_listens.is_empty())
    }

    /// A source port from which a command reaches the generation: below those that the kernel gives to clients.
    fn steer_command(&mut self, generation: Generation) -> Option<u16> {
        let port = sockets::free_source_port().ok()?;
        self.groups.steer_probe(Some((port, generation))).ok()?;
        Some(port)
    }
}

fn kill_command(pid: i32) {
    let mut all = process::descendants(pid);
    all.push(pid);
    signal_each(&all, Signal::KILL);
}

/// The addresses at which a listener on `target` can be reached from here.
fn ways(target: SocketAddr) -> Vec<SocketAddr> {
    let mut ways = vec![reachable(target)];
    let local = target.ip().is_unspecified() || target.ip().to_canonical().is_loopback();
    if local {
        // A listener on a wildcard can be reached at these as well, and one on a loopback address may be in front of it.
        let others = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(ASIDE)];
        ways.extend(others.map(|ip| SocketAddr::new(ip, target.port())));
    }
    ways
}

/// A wildcard address is reached through loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

fn wildcard(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
