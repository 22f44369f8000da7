//! Which listening addresses stand for one another: the rule behind automatic readiness and address mixtures.
//!
//! A reuseport group matches family, address, V6ONLY and interface exactly ([`Endpoint`] equality). A new generation that
//! listens *wider* than the old one takes nothing away from it; one that listens *narrower* would steal part of the
//! traffic at `listen`, because the kernel prefers the more specific socket. Of two on the same IPv4 address that differ in
//! their interface it takes the newest, as it does not compare sockets with SO_REUSEPORT any further; of two on the same IPv6
//! address the oldest (`inet_lhash2_lookup` and `__inet_hash` in `inet_hashtables.c`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// One listening TCP address, as the kernel tells groups apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// IPV6_V6ONLY; always false for IPv4.
    pub v6_only: bool,
    /// Index of the interface it is bound to; 0 for any.
    pub interface: u32,
}

impl Endpoint {
    /// Whether the two can receive the same packet.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.address.port() == other.address.port()
            && (self.interface == 0 || other.interface == 0 || self.interface == other.interface)
            && (self.contains_ips_of(other) || other.contains_ips_of(self))
    }

    /// Whether every packet for `other` can also be received here: equal, or wider.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.address.port() == other.address.port()
            && (self.interface == 0 || self.interface == other.interface)
            && self.contains_ips_of(other)
    }

    /// Whether listening here beside `other` takes part of its traffic at once.
    #[must_use]
    pub fn steals_from(&self, other: &Self) -> bool {
        let newest_wins = self.address == other.address && self.address.is_ipv4();
        self != other && self.overlaps(other) && (!self.covers(other) || newest_wins)
    }

    fn contains_ips_of(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.address.ip().to_canonical(), other.address.ip().to_canonical());
        match (mine, theirs) {
            (IpAddr::V6(mine), IpAddr::V6(theirs)) if mine.is_unspecified() => {
                !self.v6_only || other.v6_only || !theirs.is_unspecified()
            }
            (IpAddr::V6(mine), IpAddr::V4(_)) => mine.is_unspecified() && !self.v6_only,
            (IpAddr::V4(mine), IpAddr::V4(_)) if mine.is_unspecified() => true,
            _ => mine == theirs,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if self.v6_only {
            f.write_str(" (IPv6 only)")?;
        }
        if self.interface != 0 {
            write!(f, " (interface {})", self.interface)?;
        }
        Ok(())
    }
}

/// Which of `listeners` the kernel gives a new connection to `to` that comes in over the interface with index `over`: the
/// exact address before the wildcard, then for IPv4 a socket of IPv4 before one of IPv6. Of two that differ in their interface
/// only, one that is bound to it: the other [would not listen yet](Endpoint::steals_from).
#[must_use]
pub fn receiver<'a>(listeners: impl IntoIterator<Item = &'a Endpoint>, to: SocketAddr, over: u32) -> Option<Endpoint> {
    let target = Endpoint { address: to, v6_only: false, interface: over };
    let rank = |listener: &&Endpoint| {
        (!listener.address.ip().is_unspecified(), listener.address.is_ipv4(), listener.interface != 0)
    };
    listeners.into_iter().filter(|listener| listener.covers(&target)).max_by_key(rank).copied()
}

/// Which of `wanted` are not covered by `present`: the addresses that a new generation still has to listen on.
#[must_use]
pub fn missing(wanted: &[Endpoint], present: &[Endpoint]) -> Vec<Endpoint> {
    wanted.iter().filter(|endpoint| !present.iter().any(|candidate| candidate.covers(endpoint))).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Endpoint {
        let (text, v6_only) = text.strip_suffix("!").map_or((text, false), |text| (text, true));
        Endpoint { address: text.parse().expect("address"), v6_only, interface: 0 }
    }

    #[test]
    fn the_table_of_mixtures() {
        // (new, old, new covers old, new steals from old)
        let table = [
            ("127.0.0.1:80", "127.0.0.1:80", true, false),
            ("127.0.0.1:80", "127.0.0.1:81", false, false),
            ("127.0.0.1:80", "127.0.0.2:80", false, false),
            ("0.0.0.0:80", "127.0.0.1:80", true, false),
            ("127.0.0.1:80", "0.0.0.0:80", false, true),
            ("[::]:80", "0.0.0.0:80", true, false),
            ("[::]:80", "127.0.0.1:80", true, false),
            ("[::]:80", "[::1]:80", true, false),
            ("0.0.0.0:80", "[::]:80", false, true),
            ("127.0.0.1:80", "[::]:80", false, true),
            ("[::1]:80", "[::]:80", false, true),
            ("[::]:80!", "[::]:80", false, true),
            ("[::]:80", "[::]:80!", true, false),
            ("[::]:80!", "0.0.0.0:80", false, false),
            ("0.0.0.0:80", "[::]:80!", false, false),
            ("[::1]:80", "127.0.0.1:80", false, false),
        ];
        for (new, old, covers, steals) in table {
            assert_eq!(at(new).covers(&at(old)), covers, "{new} covers {old}");
            assert_eq!(at(new).steals_from(&at(old)), steals, "{new} steals from {old}");
        }
    }

    #[test]
    fn an_interface_narrows() {
        let bound = Endpoint { interface: 3, ..at("0.0.0.0:80") };
        assert!(at("0.0.0.0:80").covers(&bound));
        assert!(bound.steals_from(&at("0.0.0.0:80")) && at("0.0.0.0:80").steals_from(&bound));
        let bound6 = Endpoint { interface: 3, ..at("[::]:80") };
        assert!(bound6.steals_from(&at("[::]:80")) && !at("[::]:80").steals_from(&bound6));
        assert!(!bound.overlaps(&Endpoint { interface: 4, ..bound }));
    }

    #[test]
    fn the_kernel_prefers_what_is_more_specific() {
        let all = ["0.0.0.0:80", "[::]:80", "127.0.0.1:80", "[::1]:80", "0.0.0.0:81"].map(at);
        let to = |text: &str, listeners: &[Endpoint]| {
            receiver(listeners, text.parse().expect("address"), 1).map(|endpoint| endpoint.to_string())
        };
        let found = |text: &str| Some(text.to_owned());
        assert_eq!(to("127.0.0.1:80", &all), found("127.0.0.1:80"));
        assert_eq!(to("127.0.0.2:80", &all), found("0.0.0.0:80"));
        assert_eq!(to("[::1]:80", &all), found("[::1]:80"));
        assert_eq!(to("[::2]:80", &all), found("[::]:80"));
        assert_eq!(to("127.0.0.1:80", &all[1..2]), found("[::]:80"));
        assert_eq!(to("127.0.0.1:80", &[at("[::]:80!")]), None);
        assert_eq!(to("127.0.0.1:82", &all), None);
        let bound = Endpoint { interface: 1, ..at("0.0.0.0:80") };
        assert_eq!(to("127.0.0.1:80", &[at("0.0.0.0:80"), bound]), found("0.0.0.0:80 (interface 1)"));
        assert_eq!(to("127.0.0.1:80", &[Endpoint { interface: 2, ..bound }]), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let wanted = [at("0.0.0.0:80"), at("127.0.0.1:81")];
        assert_eq!(missing(&wanted, &[at("[::]:80")]), [at("127.0.0.1:81")]);
        assert_eq!(missing(&[], &[]), []);
    }
}
