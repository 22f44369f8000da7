//! TCP connections at the moment at which they are over (the groups SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY of
//! `linux/sock_diag.h`, Linux 4.3; `ss --events` shows them).
//!
//! A list shows a connection only while it is there; one that comes and goes between two lists is seen here alone. Needs no
//! privilege, and tells of this network namespace only.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use adieu_core::group::Instruction;

use super::{Netlink, Socket, parse_messages};
use crate::cvt;
use crate::reuseport::attach;
use crate::sockets::{set_nonblocking, set_option};

/// Groups 1 and 3 as bits.
const GROUPS: u32 = 1 << 0 | 1 << 2;

/// Where in a message the local port is: behind `struct nlmsghdr` and the first four bytes of `struct inet_diag_msg`.
const LOCAL_PORT_AT: u32 = 20;

/// What is asked for; the kernel gives no more than net.core.rmem_max.
const BUFFER: i32 = 4 << 20;

/// A subscription.
#[derive(Debug)]
pub struct Closings(Netlink);

impl Closings {
    /// Subscribes to the ends of connections at these local ports, 200 at most. What happens from now on is told.
    ///
    /// # Errors
    /// EPERM, EAFNOSUPPORT where netlink is refused; EINVAL with too many ports; ENOENT on kernels without inet_diag.
    pub fn subscribe(ports: &[u16]) -> io::Result<Self> {
        let kernel = Netlink::open()?;
        let socket = kernel.socket.as_fd();
        set_nonblocking(socket, true)?;
        attach(socket, libc::SO_ATTACH_FILTER, &program(ports).ok_or(io::ErrorKind::InvalidInput)?)?;
        // As much as is allowed; more is not needed but saves wake-ups.
        drop(set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER));
        let mut address = zeroed_address();
        (address.nl_family, address.nl_groups) = (libc::AF_NETLINK as u16, GROUPS);
        let (from, length) = ((&raw const address).cast(), size_of::<libc::sockaddr_nl>() as libc::socklen_t);
        // SAFETY: `address` is a sockaddr_nl of that length.
        cvt(unsafe { libc::bind(socket.as_raw_fd(), from, length) })?;
        Ok(Self(kernel))
    }

    /// Takes what has been told, without waiting, at most `limit` datagrams of it. True when some was lost because nobody had
    /// taken it in time.
    ///
    /// # Errors
    /// Those of the kernel's messages.
    pub fn read(&mut self, found: &mut Vec<Socket>, limit: usize) -> io::Result<bool> {
        let mut lost = false;
        for _ in 0..limit {
            match self.0.receive() {
                Ok(bytes) => {
                    parse_messages(bytes, found)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => lost = true,
                Err(error) => return Err(error),
            }
        }
        Ok(lost)
    }
}

impl AsFd for Closings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}

fn zeroed_address() -> libc::sockaddr_nl {
    // SAFETY: plain integers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// A program that lets messages of these local ports pass: others would fill the buffer.
fn program(ports: &[u16]) -> Option<Vec<Instruction>> {
    const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let plain = |code, k| Instruction { code, jt: 0, jf: 0, k };
    let mut program = vec![plain(LOAD_HALF, LOCAL_PORT_AT)];
    for (at, port) in ports.iter().enumerate() {
        // Over the other comparisons and the refusal.
        let over = u8::try_from(ports.len() - at).ok().filter(|over| *over <= 200)?;
        program.push(Instruction { code: JUMP_IF_EQUAL, jt: over, jf: 0, k: u32::from(*port) });
    }
    program.extend([plain(RETURN, 0), plain(RETURN, u32::MAX)]);
    Some(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{Readiness, poll};
    use std::io::{Read, Write};
    use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    /// Waits until so many ends were told.
    fn wait_for(closings: &mut Closings, count: usize) -> Vec<Socket> {
        let (mut found, began) = (Vec::new(), Instant::now());
        while found.len() < count && began.elapsed() < Duration::from_secs(30) {
            poll(&[(closings.as_fd(), Readiness::READ)], Some(Duration::from_millis(100)))
                .expect("it can be waited for");
            assert!(!closings.read(&mut found, 100).expect("it can be read"), "nothing was lost");
        }
        found
    }

    #[test]
    fn connections_that_come_and_go_are_told_whoever_ends_them() {
        for (listener, reach) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            let listener = TcpListener::bind(listener).expect("bind");
            let port = listener.local_addr().expect("address").port();
            let other = TcpListener::bind("127.0.0.1:0").expect("bind");
            let mut closings = Closings::subscribe(&[1, port]).expect("it needs no privilege");
            let mut peers = Vec::new();
            for client_ends in [true, false] {
                // Of somebody else, and not told.
                let aside = TcpStream::connect(other.local_addr().expect("address")).expect("connect");
                drop((aside, other.accept().expect("accept")));
                let mut client = TcpStream::connect((reach, port)).expect("connect");
                peers.push(client.local_addr().expect("address").port());
                let (mut server, _) = listener.accept().expect("accept");
                client.write_all(b"hello").expect("write");
                server.read_exact(&mut [0; 5]).expect("read");
                let (first, mut second) = if client_ends { (client, server) } else { (server, client) };
                first.shutdown(Shutdown::Both).expect("it is connected");
                drop(first);
                assert_eq!(second.read(&mut [0; 5]).expect("the end"), 0);
            }
            let found = wait_for(&mut closings, 2);
            let mut told: Vec<u16> = found.iter().map(|socket| socket.remote.port()).collect();
            told.sort_unstable();
            peers.sort_unstable();
            assert_eq!(told, peers);
            for socket in &found {
                let info = socket.info.expect("it has counters");
                // A FIN counts as one.
                assert!((5..=6).contains(&info.bytes_received), "{socket:?}");
                let reach: SocketAddr =
                    format!("{}:1", if reach == "::1" { "[::1]" } else { reach }).parse().expect("one");
                assert_eq!(socket.remote.ip().to_canonical(), reach.ip());
            }
            assert_ne!(found[0].cookie, found[1].cookie);
        }
    }

    #[test]
    fn too_many_ports_are_refused() {
        let ports: Vec<u16> = (1..=201).collect();
        assert!(Closings::subscribe(&ports[..200]).is_ok());
        assert_eq!(Closings::subscribe(&ports).expect_err("refused").kind(), io::ErrorKind::InvalidInput);
    }
}
