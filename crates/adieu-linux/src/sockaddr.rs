//! Addresses as system calls take them (`ip(7)`, `ipv6(7)`, `unix(7)`).

use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Reads a `struct sockaddr_in` or `sockaddr_in6` as a program hands it to `bind(2)`; `None` for other families or when
/// it is too short.
#[must_use]
pub fn parse_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    match family {
        libc::AF_INET => {
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(ip), port)))
        }
        libc::AF_INET6 => {
            let flow = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
            let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            // SIN6_LEN_RFC2133: bind accepts an address without the scope.
            let scope = bytes.get(24..28).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
            Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope)))
        }
        _ => None,
    }
}

/// The path (or abstract name, with its leading NUL) of a `struct sockaddr_un`; `None` for other families.
#[must_use]
pub fn parse_unix_address(bytes: &[u8]) -> Option<Vec<u8>> {
    let family = i32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let path = bytes.get(2..).filter(|_| family == libc::AF_UNIX)?;
    Some(match path {
        [0, ..] => path.to_vec(),
        _ => path.iter().copied().take_while(|b| *b != 0).collect(),
    })
}

pub(crate) fn raw_address(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero is a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
    let length = match address.ip() {
        IpAddr::V4(ip) => {
            // SAFETY: sockaddr_storage is larger than, and aligned for, every address type.
            let v4 = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in>() };
            v4.sin_family = libc::AF_INET as libc::sa_family_t;
            v4.sin_port = address.port().to_be();
            v4.sin_addr.s_addr = u32::from_ne_bytes(ip.octets());
            size_of::<libc::sockaddr_in>()
        }
        IpAddr::V6(ip) => {
            // SAFETY: as above.
            let v6 = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in6>() };
            v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            v6.sin6_port = address.port().to_be();
            v6.sin6_addr.s6_addr = ip.octets();
            if let SocketAddr::V6(full) = address {
                v6.sin6_scope_id = full.scope_id();
            }
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_address_bytes_are_refused_not_misread() {
        assert_eq!(parse_address(&[]), None);
        assert_eq!(parse_address(&[2, 0, 0x1f, 0x90]), None);
        assert_eq!(parse_address(&[1, 0, b'/', b'x', 0]), None);
        assert_eq!(parse_unix_address(&[1, 0, b'/', b'x', 0, 9]), Some(b"/x".to_vec()));
        assert_eq!(parse_address(&[2, 0, 0x1f, 0x90, 127, 0, 0, 1]), "127.0.0.1:8080".parse().ok());
    }
}
