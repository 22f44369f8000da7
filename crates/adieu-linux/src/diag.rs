//! TCP sockets of this network namespace as the kernel lists them (`sock_diag(7)`).
//!
//! A list costs a walk over the kernel's whole table of connections (ten milliseconds where memory is large), whatever is
//! asked for; looking one up costs some microseconds. So what is already known is looked up.

mod closings;
mod messages;

use std::io;
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use adieu_core::address::Endpoint;
use adieu_core::owed::{Sample, State};

pub use self::closings::Closings;
pub(crate) use self::messages::parse_info;
use self::messages::{INET_DIAG_INFO, Read, parse_messages};
use crate::{cvt, cvt_long};

/// TCP states as the kernel numbers them (`include/net/tcp_states.h`).
pub mod state {
    /// Data flows both ways.
    pub const ESTABLISHED: u8 = 1;
    /// The client's SYN was answered, its ACK is awaited.
    pub const SYN_RECV: u8 = 3;
    /// The server has finished sending, and not all of it is acknowledged.
    pub const FIN_WAIT1: u8 = 4;
    /// The server has finished sending.
    pub const FIN_WAIT2: u8 = 5;
    /// The client has finished sending.
    pub const CLOSE_WAIT: u8 = 8;
    /// Both have finished sending, and the server's last is not acknowledged.
    pub const LAST_ACK: u8 = 9;
    /// A listening socket.
    pub const LISTEN: u8 = 10;
    /// Both have finished sending at the same time.
    pub const CLOSING: u8 = 11;
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
    /// Index of the interface it is bound to, or over which its connection goes; 0 for any.
    pub interface: u32,
    /// IPV6_V6ONLY, for a listener.
    pub v6_only: bool,
    /// Counters, where the kernel gives them (not for SYN_RECV).
    pub info: Option<Info>,
    /// Finds it again.
    pub identity: Identity,
}

impl Socket {
    /// What the ledger of owed answers wants to know of it.
    #[must_use]
    pub fn sample(&self) -> Sample {
        let info = self.info.unwrap_or_default();
        Sample {
            cookie: self.cookie,
            state: State::from_kernel(self.state),
            unread: self.receive_queue,
            unsent_or_unacked: self.send_queue,
            last_data_sent_ms: info.last_data_sent_ms,
            last_data_recv_ms: info.last_data_received_ms,
            bytes_received: info.bytes_received,
            bytes_acked: info.bytes_acked,
            bytes_sent: info.bytes_sent,
            segs_in: info.segments_in,
            segs_out: info.segments_out,
            has_owner: self.inode != 0,
            worked_on: false,
        }
    }
}

/// Names one socket to the kernel: its family, ports, addresses, interface and cookie (`struct inet_diag_sockid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    family: u8,
    id: [u8; 48],
}

/// A local port of one family of sockets. A socket of IPv6 may have connections of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalPort {
    /// The port; 0 for all.
    pub port: u16,
    /// Whether its sockets are of IPv6.
    pub v6: bool,
}

impl LocalPort {
    /// Where a listener at this address has its connections.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        Self { port: address.port(), v6: address.is_ipv6() }
    }
}

impl Socket {
    /// What tells the reuseport group of a listener from others.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.local, v6_only: self.v6_only, interface: self.interface }
    }
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

#[repr(C)]
struct Request {
    header: libc::nlmsghdr,
    family: u8,
    protocol: u8,
    extensions: u8,
    pad: u8,
    states: u32,
    id: [u8; 48],
}

impl Request {
    fn new(flags: i32, states: u32, Identity { family, id }: Identity) -> Self {
        let header = libc::nlmsghdr {
            nlmsg_len: size_of::<Self>() as u32,
            nlmsg_type: SOCK_DIAG_BY_FAMILY,
            nlmsg_flags: (libc::NLM_F_REQUEST | flags) as u16,
            nlmsg_seq: 1,
            nlmsg_pid: 0,
        };
        Self {
            header,
            family,
            protocol: libc::IPPROTO_TCP as u8,
            extensions: 1 << (INET_DIAG_INFO - 1),
            pad: 0,
            states,
            id,
        }
    }
}

/// A connection to the kernel's lists.
#[derive(Debug)]
struct Netlink {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Netlink {
    fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: takes integers; the result is a fresh descriptor or -1.
        let fd = cvt(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) })?;
        // SAFETY: just created for us.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { socket, buffer: vec![0; 64 * 1024] })
    }

    /// Sends requests in one message; the kernel has handled them when this returns.
    fn ask(&self, requests: &[Request]) -> io::Result<()> {
        let (bytes, length) = (requests.as_ptr().cast(), size_of_val(requests));
        // SAFETY: `Request` is plain data without padding; the slice is readable for its size.
        cvt_long(unsafe { libc::send(self.socket.as_raw_fd(), bytes, length, 0) } as i64)?;
        Ok(())
    }

    /// The next datagram of answers.
    fn receive(&mut self) -> io::Result<&[u8]> {
        let (into, length) = (self.buffer.as_mut_ptr().cast(), self.buffer.len());
        loop {
            // SAFETY: `buffer` has that many writable bytes.
            let got = cvt_long(unsafe { libc::recv(self.socket.as_raw_fd(), into, length, 0) } as i64);
            match got {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => {
                    let got = usize::try_from(other?).unwrap_or(0);
                    return Ok(self.buffer.get(..got).unwrap_or_default());
                }
            }
        }
    }
}

/// Lists the TCP sockets at these local places that are in one of `states` (see [`state`]).
///
/// # Errors
/// EPERM where netlink is refused; ENOENT on kernels without inet_diag.
pub fn tcp_sockets(places: &[LocalPort], states: &[u8]) -> io::Result<Vec<Socket>> {
    let mask = states.iter().fold(0u32, |mask, state| mask | 1 << state);
    let mut found = Vec::new();
    for place in places {
        let family = if place.v6 { libc::AF_INET6 } else { libc::AF_INET } as u8;
        let mut id = [0; 48];
        let [high, low] = place.port.to_be_bytes();
        (id[0], id[1]) = (high, low);
        // Any cookie.
        id[40..].fill(0xff);
        let mut kernel = Netlink::open()?;
        kernel.ask(&[Request::new(libc::NLM_F_DUMP, mask, Identity { family, id })])?;
        while !parse_messages(kernel.receive()?, &mut found)?.done {}
    }
    Ok(found)
}

/// Answers that fit the receive buffer of a socket with room to spare.
const AT_ONCE: usize = 32;

/// Looks up sockets that were listed before; those that are gone are left out.
///
/// # Errors
/// As [`tcp_sockets`].
pub fn look_up(sockets: impl IntoIterator<Item = Identity>) -> io::Result<Vec<Socket>> {
    let requests: Vec<Request> = sockets.into_iter().map(|identity| Request::new(0, 0, identity)).collect();
    let mut found = Vec::new();
    if requests.is_empty() {
        return Ok(found);
    }
    let mut kernel = Netlink::open()?;
    for some in requests.chunks(AT_ONCE) {
        kernel.ask(some)?;
        let mut answered = 0;
        while answered < some.len() {
            answered += parse_answers(kernel.receive()?, &mut found)?;
        }
    }
    Ok(found)
}

/// Reads the answers to requests for one socket each, and counts them.
fn parse_answers(bytes: &[u8], found: &mut Vec<Socket>) -> io::Result<usize> {
    match parse_messages(bytes, found) {
        Ok(Read { messages: 0, .. }) => Err(io::ErrorKind::InvalidData.into()),
        Ok(read) => Ok(read.messages),
        // Gone, or its addresses belong to another one by now. The kernel puts an error into a datagram of its own.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESTALE)) => Ok(1),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::Ipv4Addr;

    #[test]
    fn a_connection_of_ours_is_listed_with_its_counters() {
        for (listener, v6) in [("127.0.0.1:0", false), ("[::]:0", true)] {
            let listener = std::net::TcpListener::bind(listener).expect("bind");
            let address = listener.local_addr().expect("address");
            let place = [LocalPort { port: address.port(), v6 }];
            let mut client = std::net::TcpStream::connect(("127.0.0.1", address.port())).expect("connect");
            let before = tcp_sockets(&place, &[state::ESTABLISHED]).expect("dump");
            assert_eq!(before.len(), 1);
            assert_eq!(before[0].inode, 0, "nobody has accepted it");
            let (mut server, peer) = listener.accept().expect("accept");
            client.write_all(b"hello").expect("write");
            server.read_exact(&mut [0; 3]).expect("read");
            let after = tcp_sockets(&place, &[state::ESTABLISHED]).expect("dump");
            assert_eq!((after[0].cookie, after[0].remote), (before[0].cookie, peer));
            assert_eq!(after[0].receive_queue, 2, "two bytes are unread");
            assert_eq!(after[0].info.expect("info").bytes_received, 5);
            let listeners = tcp_sockets(&place, &[state::LISTEN]).expect("dump");
            assert_eq!(listeners.len(), 1);
            assert_eq!(listeners[0].endpoint(), Endpoint { address, v6_only: false, interface: 0 });
            assert_eq!(tcp_sockets(&[LocalPort { v6: !v6, ..place[0] }], &[state::LISTEN]).expect("dump"), []);
        }
    }

    #[test]
    fn known_connections_are_looked_up_and_those_that_are_gone_are_left_out() {
        for (listener, v6) in [("127.0.0.1:0", false), ("[::1]:0", true), ("[::]:0", true)] {
            let listener = std::net::TcpListener::bind(listener).expect("bind");
            let mut address = listener.local_addr().expect("address");
            if address.ip().is_unspecified() {
                address.set_ip(Ipv4Addr::LOCALHOST.into());
            }
            let mut both: Vec<_> = (0..100)
                .map(|_| {
                    (std::net::TcpStream::connect(address).expect("connect"), listener.accept().expect("accept").0)
                })
                .collect();
            let place = [LocalPort { port: address.port(), v6 }];
            let listed = tcp_sockets(&place, &[state::ESTABLISHED]).expect("dump");
            assert_eq!(listed.len(), 100);
            let identities = || listed.iter().map(|socket| socket.identity);
            assert_eq!(look_up(identities()).expect("it is answered").len(), 100);
            // The server closes first, so what remains of its side is another socket's business.
            let (gone, _) = both.swap_remove(0);
            let port = gone.local_addr().expect("address");
            drop((both.drain(50..).collect::<Vec<_>>(), gone));
            let open = look_up(identities()).expect("it is answered");
            let open: Vec<_> = open.iter().filter(|socket| socket.state == state::ESTABLISHED).collect();
            assert_eq!(open.len(), 50);
            assert!(open.iter().all(|socket| socket.remote != port && socket.info.is_some()));
            // The listener has the same port and no connection of that cookie.
            let mut other = listed[0].identity;
            other.id[40..].fill(7);
            assert_eq!(look_up([other]).expect("it is answered"), []);
        }
    }
}
