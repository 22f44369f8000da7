//! TCP sockets of this network namespace as the kernel lists them (`sock_diag(7)`).

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::{cvt, cvt_long};

/// TCP states as the kernel numbers them (`include/net/tcp_states.h`).
pub mod state {
    /// Data flows both ways.
    pub const ESTABLISHED: u8 = 1;
    /// The client's SYN was answered, its ACK is awaited.
    pub const SYN_RECV: u8 = 3;
    /// The client has finished sending.
    pub const CLOSE_WAIT: u8 = 8;
    /// A listening socket.
    pub const LISTEN: u8 = 10;
}

/// One socket of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Names this socket for as long as the machine is up; a request keeps it when it becomes a connection.
    pub cookie: u64,
    /// TCP state, see [`state`].
    pub state: u8,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub remote: SocketAddr,
    /// Inode; 0 while no process has accepted it.
    pub inode: u64,
    /// Owner.
    pub user: u32,
    /// Unread bytes; for a listener the length of its accept queue.
    pub receive_queue: u32,
    /// Unsent or unacknowledged bytes; for a listener its backlog.
    pub send_queue: u32,
    /// Counters, where the kernel gives them (not for SYN_RECV).
    pub info: Option<Info>,
}

/// The part of `struct tcp_info` that adieu uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Info {
    /// Milliseconds since data was last sent.
    pub last_data_sent_ms: u32,
    /// Milliseconds since data was last received.
    pub last_data_received_ms: u32,
    /// Bytes received in all.
    pub bytes_received: u64,
    /// Bytes sent and acknowledged in all.
    pub bytes_acked: u64,
    /// Bytes sent in all, retransmissions included; 0 before Linux 4.19.
    pub bytes_sent: u64,
    /// Of these, retransmissions.
    pub bytes_retransmitted: u64,
    /// Bytes written that have not been sent once.
    pub bytes_unsent: u32,
    /// Segments sent and not acknowledged.
    pub segments_unacked: u32,
    /// Segments received.
    pub segments_in: u32,
    /// Segments sent.
    pub segments_out: u32,
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_INFO: u16 = 2;

#[repr(C)]
struct Request {
    header: libc::nlmsghdr,
    family: u8,
    protocol: u8,
    extensions: u8,
    pad: u8,
    states: u32,
    source_port: u16,
    destination_port: u16,
    addresses: [u32; 8],
    interface: u32,
    cookie: [u32; 2],
}

/// Lists the TCP sockets with local port `port` (0: all) in one of `states` (see [`state`]), both families.
///
/// # Errors
/// EPERM where netlink is refused; ENOENT on kernels without inet_diag.
pub fn tcp_sockets(port: u16, states: &[u8]) -> io::Result<Vec<Socket>> {
    let mask = states.iter().fold(0u32, |mask, state| mask | 1 << state);
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        dump(family, port, mask, &mut found)?;
    }
    Ok(found)
}

fn dump(family: i32, port: u16, states: u32, found: &mut Vec<Socket>) -> io::Result<()> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes integers; the result is a fresh descriptor or -1.
    let fd = cvt(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) })?;
    // SAFETY: just created for us.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let request = Request {
        header: libc::nlmsghdr {
            nlmsg_len: size_of::<Request>() as u32,
            nlmsg_type: SOCK_DIAG_BY_FAMILY,
            nlmsg_flags: (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16,
            nlmsg_seq: 1,
            nlmsg_pid: 0,
        },
        family: family as u8,
        protocol: libc::IPPROTO_TCP as u8,
        extensions: 1 << (INET_DIAG_INFO - 1),
        pad: 0,
        states,
        source_port: port.to_be(),
        destination_port: 0,
        addresses: [0; 8],
        interface: 0,
        cookie: [u32::MAX; 2],
    };
    // SAFETY: `request` is plain data without padding, readable for its size.
    cvt_long(unsafe { libc::send(socket.as_raw_fd(), (&raw const request).cast(), size_of::<Request>(), 0) } as i64)?;
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        // SAFETY: `buffer` has that many writable bytes.
        let got =
            cvt_long(unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) } as i64);
        let got = match got {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => usize::try_from(other?).unwrap_or(0),
        };
        if parse_messages(buffer.get(..got).unwrap_or_default(), found)? {
            return Ok(());
        }
    }
}

/// Reads the netlink messages of one datagram; true at the end of the dump.
fn parse_messages(mut bytes: &[u8], found: &mut Vec<Socket>) -> io::Result<bool> {
    while let Some(length) = u32_at(bytes, 0) {
        let length = length as usize;
        let Some(message) = bytes.get(..length).filter(|m| m.len() >= 16) else { break };
        match u16_at(message, 4).map(i32::from) {
            Some(libc::NLMSG_DONE) => return Ok(true),
            Some(libc::NLMSG_ERROR) => {
                let errno = u32_at(message, 16).map_or(libc::EIO, |value| -(value as i32));
                return Err(io::Error::from_raw_os_error(errno));
            }
            _ => found.extend(parse_socket(message.get(16..).unwrap_or_default())),
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
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
        cookie: u64::from(u32_at(bytes, 44)?) | u64::from(u32_at(bytes, 48)?) << 32,
        state: *bytes.get(1)?,
        local: address(8, 4)?,
        remote: address(24, 6)?,
        receive_queue: u32_at(bytes, 56)?,
        send_queue: u32_at(bytes, 60)?,
        user: u32_at(bytes, 64)?,
        inode: u64::from(u32_at(bytes, 68)?),
        info: None,
    };
    let mut attributes = bytes.get(72..).unwrap_or_default();
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        let Some(value) = attributes.get(4..length) else { break };
        if kind == INET_DIAG_INFO {
            socket.info = parse_info(value);
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
    use std::io::{Read, Write};

    #[test]
    fn a_connection_of_ours_is_listed_with_its_counters() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let mut client = std::net::TcpStream::connect(address).expect("connect");
        let before = tcp_sockets(address.port(), &[state::ESTABLISHED]).expect("dump");
        assert_eq!(before.len(), 1);
        assert_eq!(before[0].inode, 0, "nobody has accepted it");
        let (mut server, peer) = listener.accept().expect("accept");
        client.write_all(b"hello").expect("write");
        server.read_exact(&mut [0; 3]).expect("read");
        let after = tcp_sockets(address.port(), &[state::ESTABLISHED]).expect("dump");
        assert_eq!((after[0].cookie, after[0].remote), (before[0].cookie, peer));
        assert_eq!(after[0].receive_queue, 2, "two bytes are unread");
        assert_eq!(after[0].info.expect("info").bytes_received, 5);
        let listeners = tcp_sockets(address.port(), &[state::LISTEN]).expect("dump");
        assert_eq!(listeners.len(), 1);
        assert_eq!(listeners[0].local, address);
    }

    #[test]
    fn cut_off_messages_do_not_panic() {
        let whole: Vec<u8> = (0..=255).collect();
        for end in 0..whole.len() {
            let _ = parse_socket(&whole[..end]);
            drop(parse_messages(&whole[..end], &mut Vec::new()));
        }
    }
}
