//! Addresses at which a listener can be reached from here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Loopback addresses beside 127.0.0.1: a listener there does not hide one on the wildcard here.
const ASIDE: Ipv4Addr = Ipv4Addr::new(127, 83, 117, 1);

/// The addresses at which a listener on `target` can be reached from here.
pub(super) fn ways(target: SocketAddr) -> Vec<SocketAddr> {
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
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// Any address of the family that `like` is of.
pub(super) fn wildcard(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
