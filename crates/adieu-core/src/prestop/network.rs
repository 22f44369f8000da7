//! Networks as people write them: `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`, `loopback`.
//!
//! Invariant: an IPv4 address matches the same networks whether it comes plain or mapped into IPv6 (`::ffff:192.0.2.7`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// All addresses whose first bits are these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Bits that count.
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseNetworkError {
    /// No address before the slash.
    #[error("{input:?} is no network: write an address or a CIDR such as 10.0.0.0/8 or fd00::/8")]
    NoAddress {
        /// What was given.
        input: String,
    },
    /// The prefix is no number, or more than the address has bits.
    #[error("{prefix:?} is no prefix length in {input:?}: an address of this family has 0 to {bits}")]
    NoPrefix {
        /// What was given.
        input: String,
        /// The part after the slash.
        prefix: String,
        /// Bits of an address of this family.
        bits: u8,
    },
    /// Bits after the prefix are set: one of the two is a slip.
    #[error("{input:?} has bits behind its prefix: did you mean {meant} or {address}?")]
    HostBits {
        /// What was given.
        input: String,
        /// The network that contains the address.
        meant: Network,
        /// The address alone.
        address: IpAddr,
    },
}

impl Network {
    /// 127.0.0.0/8 and ::1.
    pub const LOOPBACK: [Self; 2] = [
        Self { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    ];

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (address, bits) = in_bits(address.to_canonical());
        let (own, own_bits) = in_bits(self.address);
        bits == own_bits && masked(address, self.prefix) == own
    }
}

/// An address from the highest of 128 bits on, and how many it has.
fn in_bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

fn masked(bits: u128, prefix: u8) -> u128 {
    bits & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = match input.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (input, None),
        };
        let no_address = || ParseNetworkError::NoAddress { input: input.to_owned() };
        let written: IpAddr = address.parse().map_err(|_| no_address())?;
        let address = written.to_canonical();
        let (bits, size) = in_bits(address);
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
        let (_, written_size) = in_bits(written);
        let prefix = match prefix {
            None => size,
            Some(text) => {
                let number = text.parse::<u8>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
                let number = number.filter(|number| *number <= written_size);
                let number = number.and_then(|number| number.checked_sub(written_size - size));
                number.ok_or_else(|| ParseNetworkError::NoPrefix {
                    input: input.to_owned(),
                    prefix: text.to_owned(),
                    bits: written_size,
                })?
            }
        };
        if masked(bits, prefix) == bits {
            return Ok(Self { address, prefix });
        }
        let first = match address {
            IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(masked(bits, prefix) >> 96).unwrap_or(0)).into(),
            IpAddr::V6(_) => Ipv6Addr::from(masked(bits, prefix)).into(),
        };
        let meant = Self { address: first, prefix };
        Err(ParseNetworkError::HostBits { input: input.to_owned(), meant, address })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, size) = in_bits(self.address);
        if self.prefix == size { write!(f, "{}", self.address) } else { write!(f, "{}/{}", self.address, self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().expect(text)
    }

    #[test]
    fn addresses_are_in_the_networks_that_contain_them() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/31", "10.0.0.1", "10.0.0.2"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("::/0", "fe80::1", "10.0.0.1"),
        ] {
            let network = network(text);
            assert!(network.contains(inside.parse().expect(inside)), "{inside} is in {text}");
            assert!(!network.contains(outside.parse().expect(outside)), "{outside} is not in {text}");
        }
        let loopback = |text: &str| Network::LOOPBACK.iter().any(|n| n.contains(text.parse().expect(text)));
        assert!(loopback("127.0.0.1") && loopback("127.3.2.1") && loopback("::1") && loopback("::ffff:127.0.0.1"));
        assert!(!loopback("10.0.0.1") && !loopback("::2"));
    }

    #[test]
    fn refusals_say_what_was_meant() {
        let refusal = |text: &str| text.parse::<Network>().expect_err(text).to_string();
        for text in ["", "10.0.0", "ten/8", "10.0.0.0.0/8", "/8", "10.0.0.0/8/8x", "host"] {
            assert!(!refusal(text).is_empty());
        }
        assert!(refusal("host").starts_with("\"host\" is no network"));
        assert_eq!(
            refusal("10.0.0.0/33"),
            "\"33\" is no prefix length in \"10.0.0.0/33\": an address of this family has 0 to 32"
        );
        for text in ["10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/-1", "fd00::/129", "::ffff:10.0.0.0/8"] {
            assert!(refusal(text).contains("is no prefix length"), "{text}: {}", refusal(text));
        }
        assert_eq!(
            refusal("10.1.2.3/8"),
            "\"10.1.2.3/8\" has bits behind its prefix: did you mean 10.0.0.0/8 or 10.1.2.3?"
        );
        assert!(refusal("fd00::1/8").contains("did you mean fd00::/8 or fd00::1?"));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bits: u128, v4: bool, prefix in 0..=128u8) {
            let (address, size): (IpAddr, u8) = if v4 {
                (Ipv4Addr::from((bits >> 96) as u32).into(), 32)
            } else {
                (Ipv6Addr::from(bits).into(), 128)
            };
            prop_assume!(v4 || address.to_canonical() == address);
            let text = format!("{address}/{}", prefix.min(size));
            let network = match text.parse::<Network>() {
                Ok(network) => network,
                Err(ParseNetworkError::HostBits { meant, .. }) => meant,
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            prop_assert_eq!(network.to_string().parse(), Ok(network));
            prop_assert!(network.contains(address));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}|[0-9a-f.:/]{0,30}") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse(), Ok(network));
            }
        }
    }
}
