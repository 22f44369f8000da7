//! What a process listens on and who is connected to it, by the kernel's list of sockets of this network namespace.

use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::owed::{Config, Ledger};
use adieu_linux::diag::{self, LocalPort, state};
use adieu_linux::{clock, descriptors, proc};

use super::{Connection, Facts, Listener, Relative};

const EVERYTHING: [LocalPort; 2] = [LocalPort { port: 0, v6: false }, LocalPort { port: 0, v6: true }];

/// Fills in the listeners and connections among these sockets of the process.
pub(super) fn read(facts: &mut Facts, inodes: &[u64]) -> Result<(), String> {
    if inodes.is_empty() {
        return Ok(());
    }
    if let (Ok(theirs), Ok(ours)) = (proc::namespace(facts.pid, "net"), proc::namespace(own(), "net"))
        && theirs != ours
    {
        return Err("its sockets are in another network namespace".to_owned());
    }
    let states = [state::LISTEN, state::ESTABLISHED, state::CLOSE_WAIT];
    let all = diag::tcp_sockets(&EVERYTHING, &states).map_err(|error| error.to_string())?;
    let is_own = |socket: &&diag::Socket| socket.inode != 0 && inodes.contains(&socket.inode);
    let is_listener = |socket: &&diag::Socket| socket.state == state::LISTEN;
    let listening: Vec<u16> = all.iter().filter(is_listener).map(|socket| socket.local.port()).collect();
    let connected: Vec<&diag::Socket> =
        all.iter().filter(is_own).filter(|socket| socket.state != state::LISTEN).collect();
    let now = clock::now();
    let mut ledger = Ledger::new(Config::default());
    let samples: Vec<_> = connected.iter().map(|socket| socket.sample()).collect();
    // Long ago as far as the ledger can tell: what is quiet by now counts as quiet.
    ledger.handle_samples(now.max(Timestamp::ZERO), &samples);
    let unsettled: Vec<u64> = ledger.unsettled().collect();
    facts.connections = connected
        .iter()
        .map(|socket| {
            let port = socket.local.port();
            let shared = connected.iter().filter(|other| other.local.port() == port).count() > 1;
            let info = socket.info.unwrap_or_default();
            Connection {
                local: socket.local,
                peer: socket.remote,
                inbound: shared || listening.contains(&port) || port < first_client_port(),
                served: listening.contains(&port),
                idle: f64::from(info.last_data_received_ms.min(info.last_data_sent_ms)) / 1000.0,
                owed: unsettled.contains(&socket.cookie),
                inode: socket.inode,
            }
        })
        .collect();
    facts.listeners = all
        .iter()
        .filter(is_own)
        .filter(is_listener)
        .map(|socket| Listener { address: socket.local, queue: socket.receive_queue, strangers: Vec::new() })
        .collect();
    facts.listener_inodes = all.iter().filter(is_own).filter(is_listener).map(|socket| socket.inode).collect();
    Ok(())
}

/// Whether bytes went out on one of its connections, be it one that has come since, within this time.
pub(super) fn sent_within(facts: &Facts, time: Duration) -> bool {
    let held = descriptors::sockets(facts.pid).unwrap_or_default();
    if held.is_empty() {
        return false;
    }
    let sockets = diag::tcp_sockets(&EVERYTHING, &[state::ESTABLISHED, state::CLOSE_WAIT]).unwrap_or_default();
    sockets.iter().filter(|socket| held.iter().any(|(_, inode)| *inode == socket.inode)).any(|socket| {
        let sent = socket.info.map_or(u32::MAX, |info| info.last_data_sent_ms);
        Duration::from_millis(u64::from(sent)) < time
    })
}

fn own() -> Pid {
    adieu_linux::process::own_pid()
}

/// The first of the ports that the kernel gives to clients.
fn first_client_port() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    text.split_ascii_whitespace().next().and_then(|port| port.parse().ok()).unwrap_or(32_768)
}

/// Adds the descendants that hold a listener and run another program than its owner.
pub(super) fn strangers(listeners: &mut [Listener], inodes: &[u64], descendants: &[Relative], program: Option<&str>) {
    if listeners.is_empty() {
        return;
    }
    for relative in descendants.iter().filter(|relative| relative.program.is_some()) {
        if relative.program.as_deref() == program {
            continue;
        }
        let held = descriptors::sockets(relative.pid).unwrap_or_default();
        for (listener, inode) in listeners.iter_mut().zip(inodes) {
            if held.iter().any(|(_, other)| other == inode) {
                listener.strangers.push(relative.clone());
            }
        }
    }
}
