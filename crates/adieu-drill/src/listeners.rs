//! Who listens where the load goes, as far as this machine knows (`sock_diag(7)`, `/proc/PID/fd`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use adieu_core::ids::Pid;
use adieu_linux::diag::{self, LocalPort, Socket, state};
use adieu_linux::{descriptors, process};

/// A process that holds a listening socket: pid and start time.
type Holder = (Pid, u64);

/// The sockets that can get a connection to an address, and who holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listeners {
    /// By inode.
    sockets: BTreeMap<u64, BTreeSet<Holder>>,
    /// What a holder runs.
    programs: BTreeMap<Holder, PathBuf>,
    /// There are processes that must not be looked at.
    blind: bool,
}

/// Listens at `address`: `None` when it is not one of this machine's, or nobody is found. Walks over `/proc`: for a thread
/// that may block.
pub(crate) fn at(address: SocketAddr) -> Option<Listeners> {
    // Sockets of both families: one of IPv6 can be open for both.
    let places = [LocalPort { port: address.port(), v6: false }, LocalPort { port: address.port(), v6: true }];
    let all = diag::tcp_sockets(&places, &[state::LISTEN]).ok()?;
    let sockets: BTreeMap<u64, _> = nearest(address.ip(), &all).map(|socket| (socket.inode, BTreeSet::new())).collect();
    let mut found = Listeners { sockets, programs: BTreeMap::new(), blind: false };
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.look_at(pid);
        }
    }
    (!found.sockets.is_empty()).then_some(found)
}

/// Those that the kernel prefers: bound to this very address, else to any of its family, else to any of both.
fn nearest(ip: IpAddr, all: &[Socket]) -> impl Iterator<Item = &Socket> {
    let rank = move |socket: &Socket| match socket.local.ip() {
        local if local.to_canonical() == ip.to_canonical() => Some(0),
        local if local.is_unspecified() && local.is_ipv4() == ip.is_ipv4() => Some(1),
        local if local.is_unspecified() && ip.is_ipv4() => Some(2),
        _ => None,
    };
    let best = all.iter().filter_map(rank).min();
    all.iter().filter(move |socket| best.is_some() && rank(socket) == best)
}

impl Listeners {
    fn look_at(&mut self, pid: Pid) {
        let held = match descriptors::sockets(pid) {
            Ok(held) => held,
            Err(error) => {
                self.blind |= error.kind() == ErrorKind::PermissionDenied;
                return;
            }
        };
        let Ok(stat) = process::stat(pid) else { return };
        for (_, inode) in held {
            if let Some(holders) = self.sockets.get_mut(&inode) {
                holders.insert((pid, stat.start_time));
                let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_else(|_| PathBuf::from(&stat.comm));
                self.programs.insert((pid, stat.start_time), program);
            }
        }
    }

    /// Two different programs, of which either can get the next connection, if there are such: they share the address
    /// (SO_REUSEPORT) and neither holds a socket of the other. Processes of one server hold each other's sockets, or run the
    /// same program.
    pub(crate) fn two_programs(&self) -> Option<(String, String)> {
        let mut groups: Vec<BTreeSet<Holder>> = Vec::new();
        for holders in self.sockets.values().filter(|holders| !holders.is_empty()) {
            let (touching, mut apart): (Vec<_>, Vec<_>) =
                groups.into_iter().partition(|group| !group.is_disjoint(holders));
            apart.push(touching.into_iter().flatten().chain(holders.iter().copied()).collect());
            groups = apart;
        }
        let programs = |group: &BTreeSet<Holder>| -> BTreeSet<&PathBuf> {
            group.iter().filter_map(|holder| self.programs.get(holder)).collect()
        };
        let first = groups.first()?;
        let other = groups.iter().skip(1).find(|group| programs(group).is_disjoint(&programs(first)))?;
        Some((self.name(first), self.name(other)))
    }

    /// Whether `self`, seen later, is somebody else than `before`: `None` when that cannot be known.
    pub(crate) fn are_others_than(&self, before: &Self) -> Option<bool> {
        if self.sockets != before.sockets {
            return Some(true);
        }
        let known = !self.blind || self.sockets.values().all(|holders| !holders.is_empty());
        known.then_some(false)
    }

    fn name(&self, holders: &BTreeSet<Holder>) -> String {
        let mut text = holders.iter().take(3).map(|holder| {
            let program = self.programs.get(holder).and_then(|path| path.file_name()).unwrap_or_default();
            format!("{} (pid {})", program.to_string_lossy(), holder.0)
        });
        text.by_ref().collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name(&self.sockets.values().flatten().copied().collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn listeners(sockets: &[(u64, &[i32])], programs: &[(i32, &str)]) -> Listeners {
        Listeners {
            sockets: sockets
                .iter()
                .map(|(inode, pids)| (*inode, pids.iter().map(|pid| (Pid::new(*pid), 1)).collect()))
                .collect(),
            programs: programs.iter().map(|(pid, program)| ((Pid::new(*pid), 1), PathBuf::from(program))).collect(),
            blind: false,
        }
    }

    #[test]
    fn the_nearest_listener_gets_the_connection() {
        let socket = |ip: IpAddr| {
            let listener = TcpListener::bind((ip, 0)).expect("a port is free");
            let address = listener.local_addr().expect("it has one");
            let all = diag::tcp_sockets(&[LocalPort::of(address)], &[state::LISTEN]).expect("they can be listed");
            all.into_iter().find(|socket| socket.local == address).expect("it listens")
        };
        let [here, any, both] = [LOCALHOST, Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].map(socket);
        let of = |all: &[Socket], ip| nearest(ip, all).map(|socket| socket.inode).collect::<Vec<_>>();
        let all = [both.clone(), any.clone(), here.clone()];
        assert_eq!(of(&all, LOCALHOST), [here.inode]);
        assert_eq!(of(&all, [127, 0, 0, 2].into()), [any.inode]);
        assert_eq!(of(&all, Ipv6Addr::LOCALHOST.into()), [both.inode]);
        assert_eq!(of(std::slice::from_ref(&both), LOCALHOST), [both.inode]);
        assert_eq!(of(&[here], [127, 0, 0, 2].into()), [0; 0]);
    }

    #[test]
    fn this_process_is_found_by_its_listener_and_is_no_other_than_before() {
        let listener = TcpListener::bind((LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it has one");
        let before = at(address).expect("somebody listens");
        assert!(before.to_string().contains(&format!("(pid {})", std::process::id())), "{before}");
        assert_eq!(
            (before.two_programs(), at(address).and_then(|now| now.are_others_than(&before))),
            (None, Some(false))
        );
        drop(listener);
        assert_eq!(at(address), None);
        let again = TcpListener::bind(address).expect("it is free again");
        assert_eq!(at(address).and_then(|now| now.are_others_than(&before)), Some(true));
        drop(again);
    }

    #[test]
    fn two_programs_that_share_an_address_are_told_from_the_processes_of_one() {
        let programs = [(1, "/bin/a"), (2, "/bin/a"), (3, "/bin/b")];
        let shared = listeners(&[(10, &[1, 2]), (11, &[2, 3])], &programs);
        assert_eq!(shared.two_programs(), None, "a supervisor and its program");
        assert_eq!(listeners(&[(10, &[1]), (11, &[2])], &programs).two_programs(), None, "two of one program");
        let two = listeners(&[(10, &[1, 2]), (11, &[3]), (12, &[])], &programs);
        assert_eq!(two.two_programs(), Some(("a (pid 1), a (pid 2)".to_owned(), "b (pid 3)".to_owned())));
    }

    #[test]
    fn what_must_not_be_looked_at_is_not_known() {
        let mut before = listeners(&[(10, &[])], &[]);
        before.blind = true;
        assert_eq!(before.are_others_than(&before.clone()), None);
        assert_eq!(listeners(&[(11, &[])], &[]).are_others_than(&before), Some(true));
    }
}
