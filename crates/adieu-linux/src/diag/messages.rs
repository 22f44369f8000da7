//! What the kernel answers: netlink messages, `struct inet_diag_msg` and `struct tcp_info` (`include/uapi/linux/inet_diag.h`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Identity, Info, Socket};

pub(super) const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_SKV6ONLY: u16 = 11;

/// What was in one datagram.
pub(super) struct Read {
    pub(super) messages: usize,
    /// The end of a list.
    pub(super) done: bool,
}

/// Reads the netlink messages of one datagram.
pub(super) fn parse_messages(mut bytes: &[u8], found: &mut Vec<Socket>) -> io::Result<Read> {
    let mut messages = 0;
    while let Some(length) = u32_at(bytes, 0) {
        let length = length as usize;
        let Some(message) = bytes.get(..length).filter(|m| m.len() >= 16) else { break };
        match u16_at(message, 4).map(i32::from) {
            Some(libc::NLMSG_DONE) => return Ok(Read { messages, done: true }),
            Some(libc::NLMSG_ERROR) => {
                let errno = u32_at(message, 16).map_or(libc::EIO, |value| -(value as i32));
                return Err(io::Error::from_raw_os_error(errno));
            }
            _ => found.extend(parse_socket(message.get(16..).unwrap_or_default())),
        }
        messages += 1;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Read { messages, done: false })
}

/// Reads a `struct inet_diag_msg` and its attributes.
fn parse_socket(bytes: &[u8]) -> Option<Socket> {
    let family = i32::from(*bytes.first()?);
    let address = |at: usize, port_at: usize| -> Option<SocketAddr> {
        let port = u16::from_be_bytes(bytes.get(port_at..port_at + 2)?.try_into().ok()?);
        let ip = if family == libc::AF_INET {
            IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?))
        } else {
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?))
        };
        Some(SocketAddr::new(ip, port))
    };
    let mut socket = Socket {
        identity: Identity { family: *bytes.first()?, id: bytes.get(4..52)?.try_into().ok()? },
        cookie: u64::from(u32_at(bytes, 44)?) | u64::from(u32_at(bytes, 48)?) << 32,
        state: *bytes.get(1)?,
        local: address(8, 4)?,
        remote: address(24, 6)?,
        receive_queue: u32_at(bytes, 56)?,
        send_queue: u32_at(bytes, 60)?,
        user: u32_at(bytes, 64)?,
        inode: u64::from(u32_at(bytes, 68)?),
        interface: u32_at(bytes, 40)?,
        v6_only: false,
        info: None,
    };
    let mut attributes = bytes.get(72..).unwrap_or_default();
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        let Some(value) = attributes.get(4..length) else { break };
        match kind {
            INET_DIAG_INFO => socket.info = parse_info(value),
            INET_DIAG_SKV6ONLY => socket.v6_only = value.first().is_some_and(|flag| *flag != 0),
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(socket)
}

/// Reads a `struct tcp_info` (`include/uapi/linux/tcp.h`); later kernels only append to it.
pub(crate) fn parse_info(bytes: &[u8]) -> Option<Info> {
    Some(Info {
        segments_unacked: u32_at(bytes, 24)?,
        bytes_unsent: u32_at(bytes, 144).unwrap_or(0),
        bytes_retransmitted: u64_at(bytes, 208).unwrap_or(0),
        last_data_sent_ms: u32_at(bytes, 44)?,
        last_data_received_ms: u32_at(bytes, 52)?,
        bytes_acked: u64_at(bytes, 120)?,
        bytes_received: u64_at(bytes, 128)?,
        segments_out: u32_at(bytes, 136)?,
        segments_in: u32_at(bytes, 140)?,
        bytes_sent: u64_at(bytes, 200).unwrap_or(0),
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_off_messages_do_not_panic() {
        let whole: Vec<u8> = (0..=255).collect();
        for end in 0..whole.len() {
            let _ = parse_socket(&whole[..end]);
            drop(parse_messages(&whole[..end], &mut Vec::new()));
        }
    }
}
