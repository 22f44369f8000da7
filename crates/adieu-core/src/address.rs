//! Which listening addresses stand for one another: the rule behind automatic readiness and address mixtures.
//!
//! A reuseport group matches family, address, V6ONLY and interface exactly ([`Endpoint`] equality). A new generation that
//! listens *wider* than the old one takes nothing away from it; one that listens *narrower* would steal part of the
//! traffic at `listen`, because the kernel prefers the more specific socket (`compute_score` in `inet_hashtables.c`).

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
        self != other && self.overlaps(other) && !self.covers(other)
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
        assert!(bound.steals_from(&at("0.0.0.0:80")));
        assert!(!bound.overlaps(&Endpoint { interface: 4, ..bound }));
    }

    #[test]
    fn what_is_missing_is_named() {
        let wanted = [at("0.0.0.0:80"), at("127.0.0.1:81")];
        assert_eq!(missing(&wanted, &[at("[::]:80")]), [at("127.0.0.1:81")]);
        assert_eq!(missing(&[], &[]), []);
    }
}
