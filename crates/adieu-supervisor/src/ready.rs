//! When a generation counts as ready: it listens where the one before listened, says so, or answers a probe.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::address::{Endpoint, missing};
use adieu_core::switch::{Event, Generation};
use adieu_linux::poll::Readiness;
use adieu_linux::{clock, connections, sockets};

use crate::groups::{Groups, HELD};
use crate::http::{Exchange, Outcome};
use crate::options::{HttpTarget, ReadyWhen, Sockets};
use crate::running::Running;
use crate::supervisor::Supervisor;

const PROBE_EVERY: Duration = Duration::from_millis(50);
const PROBE_TIME: Duration = Duration::from_secs(2);

/// A probe under way, or the pause before the next one.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) generation: Generation,
    pub(crate) next: Timestamp,
    steered: Option<Endpoint>,
    state: State,
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
        Self { generation, next: now, steered: None, state: State::Pause }
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
}

impl Supervisor {
    /// Looks whether `generation` has become ready by what is known of it.
    pub(crate) fn check_ready(&mut self, generation: Generation) {
        if self.switch.starting() != Some(generation) {
            return;
        }
        let ready = match &self.options.ready {
            ReadyWhen::Notify => self.running.get(&generation).is_some_and(|running| running.said_ready),
            ReadyWhen::Auto => self.is_ready_by_itself(generation),
            ReadyWhen::Http(_) | ReadyWhen::Tcp(_) | ReadyWhen::Exec(_) => false,
        };
        if ready {
            self.tell(Event::Ready(generation));
        }
    }

    fn is_ready_by_itself(&self, generation: Generation) -> bool {
        let Some(running) = self.running.get(&generation).filter(|running| running.is_alive()) else { return false };
        if self.must_say_ready && !running.said_ready {
            return false;
        }
        match self.options.sockets {
            Sockets::Off => true,
            // Our own sockets listen before the program runs: it has to accept a probe, or say READY=1.
            _ if !self.options.listen.is_empty() => running.said_ready,
            Sockets::Pass => true,
            Sockets::Auto if running.listener.is_none() && !running.unseen => false,
            Sockets::Auto => self.listens(generation, running),
        }
    }

    /// Where the one before listens; the first one of all, somewhere. READY=1 does not stand for that: it may come from a
    /// supervisor in between, which does not see it.
    fn listens(&self, generation: Generation, running: &Running) -> bool {
        let wanted = self.wanted(generation);
        let present = self.present(generation);
        if !wanted.is_empty() || self.switch.serving() != Some(generation) {
            return missing(&wanted, &present).is_empty();
        }
        let unknown = || running.unseen && self.unseen_listeners(generation).is_none();
        running.said_ready || !present.is_empty() || unknown()
    }

    /// Where the generation before listens, or listened.
    pub(crate) fn wanted(&self, generation: Generation) -> Vec<Endpoint> {
        let serving = self.switch.serving().filter(|serving| *serving != generation);
        let mut wanted = serving.map(|old| self.groups.endpoints(old)).unwrap_or_default();
        wanted.extend(self.groups.endpoints(HELD));
        if serving.is_none() {
            wanted.extend(&self.unseen_wanted.endpoints);
        }
        wanted
    }

    /// Where it listens, or wants to and is held.
    pub(crate) fn present(&self, generation: Generation) -> Vec<Endpoint> {
        let mut present = self.groups.endpoints(generation);
        let waiting =
            self.running.get(&generation).map(|running| running.waiting_listens.as_slice()).unwrap_or_default();
        let held = waiting.iter().filter_map(|waiting| self.groups.get(waiting.socket));
        present.extend(held.filter_map(|socket| Groups::endpoint_of(socket.fd.as_fd())));
        present.extend(self.present_unseen(generation));
        present
    }

    /// Begins probing, where readiness is found out that way.
    pub(crate) fn begin_probing(&mut self, generation: Generation) {
        let by_accept = self.options.ready == ReadyWhen::Auto && !self.options.listen.is_empty();
        if by_accept || matches!(self.options.ready, ReadyWhen::Http(_) | ReadyWhen::Tcp(_) | ReadyWhen::Exec(_)) {
            self.probe = Some(Probe::new(generation, clock::now()));
        }
    }

    /// Goes on with the probe; true when the generation answered it.
    pub(crate) fn advance_probe(&mut self) {
        let Some(mut probe) = self.probe.take() else { return };
        if self.switch.starting() != Some(probe.generation) {
            self.end_steering(&mut probe);
            return;
        }
        let now = clock::now();
        let passed = match &mut probe.state {
            State::Pause if now >= probe.next => {
                self.start_probe(&mut probe, now);
                None
            }
            State::Pause => None,
            State::Http(exchange) => match exchange.advance(now) {
                Outcome::Pending => None,
                Outcome::Status(status) => Some((200..400).contains(&status)),
                Outcome::Failed(_) => Some(false),
            },
            State::Accepting { socket, connected, deadline } => {
                *connected = *connected || connections::is_connected(socket.as_fd());
                let failed = now >= *deadline || connections::pending_error(socket.as_fd()) != 0;
                let accepted = *connected && self.groups.waiting(probe.generation) == 0;
                if failed { Some(false) } else { accepted.then_some(true) }
            }
            State::Command { pid, deadline } => {
                if now >= *deadline {
                    crate::running::signal_each(&[*pid], adieu_core::signal::Signal::KILL);
                }
                None
            }
        };
        self.conclude(probe, passed, now);
    }

    /// An `exec:` probe has ended.
    pub(crate) fn probe_command_ended(&mut self, success: bool) {
        if let Some(probe) = self.probe.take() {
            self.conclude(probe, Some(success), clock::now());
        }
    }

    fn conclude(&mut self, mut probe: Probe, passed: Option<bool>, now: Timestamp) {
        match passed {
            None => {
                if !matches!(probe.state, State::Pause) {
                    probe.next = now + PROBE_EVERY / 10;
                }
                self.probe = Some(probe);
            }
            Some(false) => {
                self.end_steering(&mut probe);
                probe.state = State::Pause;
                probe.next = now + PROBE_EVERY;
                self.probe = Some(probe);
            }
            Some(true) => {
                self.end_steering(&mut probe);
                self.tell(Event::Ready(probe.generation));
            }
        }
    }

    fn end_steering(&self, probe: &mut Probe) {
        if let Some(endpoint) = probe.steered.take() {
            drop(self.groups.probe(&endpoint, probe.generation, None));
        }
    }

    fn start_probe(&mut self, probe: &mut Probe, now: Timestamp) {
        probe.next = now + PROBE_EVERY;
        let deadline = now + PROBE_TIME;
        match self.options.ready.clone() {
            ReadyWhen::Http(target) => {
                if let Some(socket) = self.probe_socket(probe, target.address) {
                    let target = HttpTarget { address: reachable(target.address), ..target };
                    if let Ok(exchange) = Exchange::start(socket, "GET", &target, "", deadline) {
                        probe.state = State::Http(exchange);
                    }
                }
            }
            ReadyWhen::Tcp(address) => self.start_accept_probe(probe, address, deadline),
            ReadyWhen::Exec(command) => match self.run_shell(&command, probe.generation, &[], None) {
                Ok(pid) => probe.state = State::Command { pid, deadline },
                Err(error) => self.note_once(format!("cannot run the readiness command: {error}")),
            },
            ReadyWhen::Auto | ReadyWhen::Notify => {
                if let Some(endpoint) = self.groups.endpoints(probe.generation).first() {
                    self.start_accept_probe(probe, endpoint.address, deadline);
                }
            }
        }
    }

    fn start_accept_probe(&mut self, probe: &mut Probe, address: SocketAddr, deadline: Timestamp) {
        let Some(socket) = self.probe_socket(probe, address) else { return };
        if let Ok(connected) = connections::connect(socket.as_fd(), reachable(address)) {
            probe.state = State::Accepting { socket, connected, deadline };
        }
    }

    /// A socket whose connection reaches the generation that is probed and no other. `None` while that one does not listen
    /// at an address where another one does.
    fn probe_socket(&self, probe: &mut Probe, address: SocketAddr) -> Option<OwnedFd> {
        let target = Endpoint { address, v6_only: false, interface: 0 };
        let own = self
            .groups
            .endpoints(probe.generation)
            .into_iter()
            .find(|endpoint| endpoint.covers(&target) || target.covers(endpoint));
        let socket = sockets::tcp_socket(if address.is_ipv4() { 2 } else { 10 }).ok()?;
        match own {
            Some(endpoint) => {
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                sockets::bind(socket.as_fd(), any.parse().ok()?).ok()?;
                let port = sockets::local_address(socket.as_fd()).ok()??.port();
                self.groups.probe(&endpoint, probe.generation, Some(port)).ok()?;
                probe.steered = Some(endpoint);
            }
            // Somebody of ours serves there, but not (yet) this generation.
            None if self.groups.is_shared(probe.generation, &target) => return None,
            None => {}
        }
        Some(socket)
    }
}

/// A wildcard address is reached through loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}
