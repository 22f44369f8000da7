//! Sockets and listeners: options, addresses, queues (`socket(7)`, `ip(7)`, `ipv6(7)`, `tcp(7)`).

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::cvt;
use crate::sockaddr::{parse_address, raw_address};

pub use libc::{AF_INET, AF_INET6};

const SO_BINDTOIFINDEX: i32 = 62;
/// Which buffer sizes were set and are not the kernel's own choice.
const SO_BUF_LOCK: i32 = 72;
const SNDBUF_LOCK: i32 = 1;
const RCVBUF_LOCK: i32 = 2;

/// Sets a socket option to a value of any kind.
///
/// # Safety
/// `T` must be what the kernel expects for this option: no padding that matters, pointers in it valid for the call.
pub(crate) unsafe fn set_raw<T>(socket: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is readable for `length` bytes; the rest is the caller's promise.
    cvt(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) })?;
    Ok(())
}

/// Sets an integer option.
///
/// # Errors
/// As `setsockopt(2)` says for the option.
pub fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: an int is what integer options take.
    let set = unsafe { set_raw(socket, level, name, &value) };
    traced!(set, "set {level}:{name} to {value} {}", crate::trace::At(socket))
}

/// Sets an option to bytes read from elsewhere (another process's `setsockopt` call).
///
/// # Errors
/// As `setsockopt(2)` says for the option.
pub fn set_option_bytes(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length = value.len() as libc::socklen_t;
    // SAFETY: readable for `length` bytes; only options without pointers are handed here (integers, a device name).
    let set = cvt(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) });
    traced!(set, "set {level}:{name} to {value:?} {}", crate::trace::At(socket))?;
    Ok(())
}

/// Reads an integer option.
///
/// # Errors
/// As `getsockopt(2)` says for the option.
pub fn option(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` has `length` writable bytes.
    cvt(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length) })?;
    Ok(value)
}

/// Sends what is written at once (TCP_NODELAY, `tcp(7)`).
///
/// # Errors
/// As `setsockopt(2)`.
pub fn set_no_delay(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)
}

/// Lets the address be bound while connections of an earlier socket on it still close (SO_REUSEADDR, `socket(7)`).
///
/// # Errors
/// As `setsockopt(2)`.
pub fn reuse_address(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)
}

/// Lets other sockets of the same user share the address (SO_REUSEPORT).
///
/// # Errors
/// EOPNOTSUPP for a socket of another family.
pub fn share_port(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
}

/// Whether the socket is plain TCP (and not MPTCP, on which the switch is not supported, nor UDP).
#[must_use]
pub fn is_tcp(socket: BorrowedFd<'_>) -> bool {
    option(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL).is_ok_and(|protocol| protocol == libc::IPPROTO_TCP)
}

/// Whether the socket is MPTCP.
#[must_use]
pub fn is_mptcp(socket: BorrowedFd<'_>) -> bool {
    option(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL).is_ok_and(|protocol| protocol == libc::IPPROTO_MPTCP)
}

/// The address family (`AF_INET`, `AF_INET6`, `AF_UNIX`, ...).
///
/// # Errors
/// ENOTSOCK.
pub fn family(socket: BorrowedFd<'_>) -> io::Result<i32> {
    option(socket, libc::SOL_SOCKET, libc::SO_DOMAIN)
}

/// The family of sockets that have addresses such as this one.
#[must_use]
pub const fn family_for(address: SocketAddr) -> i32 {
    match address {
        SocketAddr::V4(_) => AF_INET,
        SocketAddr::V6(_) => AF_INET6,
    }
}

/// A new TCP socket of `family`, close-on-exec and non-blocking.
///
/// # Errors
/// EMFILE; EAFNOSUPPORT where IPv6 is off.
pub fn tcp_socket(family: i32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes integers; the result is a fresh descriptor or -1.
    let fd = cvt(unsafe { libc::socket(family, kind, libc::IPPROTO_TCP) })?;
    // SAFETY: just created for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Copies the options that matter for a listener from one socket to another, as far as they can be read and set.
pub fn copy_listener_options(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    let mut options = vec![
        (libc::SOL_SOCKET, libc::SO_REUSEADDR),
        (libc::SOL_SOCKET, libc::SO_REUSEPORT),
        (libc::SOL_SOCKET, libc::SO_MARK),
        (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
        (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
        (libc::IPPROTO_IP, libc::IP_FREEBIND),
        (libc::SOL_SOCKET, SO_BINDTOIFINDEX),
    ];
    if family(from).is_ok_and(|family| family == libc::AF_INET6) {
        options.push((libc::IPPROTO_IPV6, libc::IPV6_V6ONLY));
    }
    for (level, name) in options {
        match option(from, level, name) {
            Ok(value) if option(to, level, name).is_ok_and(|present| present != value) => {
                drop(set_option(to, level, name, value));
            }
            _ => {}
        }
    }
    let locked = option(from, libc::SOL_SOCKET, SO_BUF_LOCK).unwrap_or(0);
    for (lock, name) in [(SNDBUF_LOCK, libc::SO_SNDBUF), (RCVBUF_LOCK, libc::SO_RCVBUF)] {
        if let (true, Ok(size)) = (locked & lock != 0, option(from, libc::SOL_SOCKET, name)) {
            // What is read is twice what was set (`socket(7)`).
            drop(set_option(to, libc::SOL_SOCKET, name, size / 2));
        }
    }
}

/// Sets O_NONBLOCK on the open file description (all holders share it) to `on`.
///
/// # Errors
/// EBADF.
pub fn set_nonblocking(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    // SAFETY: takes integers.
    let flags = cvt(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
    let flags = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    // SAFETY: takes integers.
    let set = cvt(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags) });
    traced!(set, "set nonblocking {on} {}", crate::trace::At(socket))?;
    Ok(())
}

/// Whether O_NONBLOCK is set on the open file description.
#[must_use]
pub fn is_nonblocking(socket: BorrowedFd<'_>) -> bool {
    // SAFETY: takes integers.
    cvt(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) }).is_ok_and(|flags| flags & libc::O_NONBLOCK != 0)
}

/// Gives the socket to `user`: only sockets of one user share a reuseport group.
///
/// # Errors
/// EPERM without CAP_CHOWN.
pub fn give_to(socket: BorrowedFd<'_>, user: u32) -> io::Result<()> {
    // SAFETY: takes integers; -1 leaves the group as it is.
    traced!(cvt(unsafe { libc::fchown(socket.as_raw_fd(), user, u32::MAX) }), "give to user {user}")?;
    Ok(())
}

/// The inode number and the owner of one of our descriptors.
///
/// # Errors
/// EBADF.
pub fn inode_and_owner(fd: BorrowedFd<'_>) -> io::Result<(u64, u32)> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `status` is filled in by the call; zeroed is valid too.
    let status = unsafe {
        cvt(libc::fstat(fd.as_raw_fd(), status.as_mut_ptr()))?;
        status.assume_init()
    };
    Ok((status.st_ino, status.st_uid))
}

/// Listens, or changes the backlog of a socket that listens already.
///
/// # Errors
/// EADDRINUSE, EINVAL, EOPNOTSUPP: what the program would have got.
pub fn listen(socket: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: takes integers.
    let listens = cvt(unsafe { libc::listen(socket.as_raw_fd(), backlog) });
    traced!(listens, "listen {}, backlog {backlog}", crate::trace::ListensAt(socket))?;
    Ok(())
}

/// Shuts a socket down for every holder; a listener stops listening.
///
/// # Errors
/// ENOTCONN when it neither listens nor is connected.
pub fn shut_down(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes integers.
    let ended = cvt(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) });
    traced!(ended, "shut down {}", crate::trace::At(socket))?;
    Ok(())
}

/// Takes a waiting connection out of a listening socket (non-blocking, close-on-exec).
///
/// # Errors
/// EAGAIN when none waits; EINVAL when it does not listen.
pub fn accept(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let (none, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: null pointers say that the address is not wanted.
    let fd =
        cvt(unsafe { libc::accept4(socket.as_raw_fd(), none, no_length, libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) })?;
    // SAFETY: just created for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds to `address`.
///
/// # Errors
/// EADDRINUSE, EACCES (a port below 1024), EADDRNOTAVAIL.
pub fn bind(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    let (storage, length) = raw_address(address);
    // SAFETY: `storage` holds an address of `length` bytes.
    let bound = cvt(unsafe { libc::bind(socket.as_raw_fd(), (&raw const storage).cast(), length) });
    traced!(bound, "bind to {}", crate::trace::To(address))?;
    Ok(())
}

/// A TCP port that nobody has, below those that the kernel gives to clients by itself (`ip_local_port_range`). Nobody keeps
/// it from being taken afterwards.
///
/// # Errors
/// EADDRINUSE when none was found.
pub fn free_source_port() -> io::Result<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let first: u16 = range.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(32_768);
    let (lowest, count) = if first > 2048 { (1024, first - 1024) } else { (first, u16::MAX - first) };
    let start = crate::clock::now().since_origin().subsec_nanos();
    for step in 0..64u32 {
        let port = lowest + (start.wrapping_add(step * 7919) % u32::from(count)) as u16;
        let socket = tcp_socket(libc::AF_INET)?;
        if bind(socket.as_fd(), SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EADDRINUSE))
}

/// The local address; `None` when it is not an internet socket.
///
/// # Errors
/// ENOTSOCK.
pub fn local_address(socket: BorrowedFd<'_>) -> io::Result<Option<SocketAddr>> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `storage` has `length` writable bytes.
    cvt(unsafe { libc::getsockname(socket.as_raw_fd(), storage.as_mut_ptr().cast(), &raw mut length) })?;
    // SAFETY: zeroed at first, then filled in by the kernel: `length` bytes of plain data.
    let bytes = unsafe { std::slice::from_raw_parts(storage.as_ptr().cast::<u8>(), length as usize) };
    Ok(parse_address(bytes))
}

/// How many connections wait in the accept queue; `None` while the socket does not listen.
#[must_use]
pub fn accept_queue(listener: BorrowedFd<'_>) -> Option<u32> {
    let mut info = [0u32; 32];
    let mut length = size_of::<[u32; 32]>() as libc::socklen_t;
    let into = info.as_mut_ptr().cast();
    // SAFETY: `info` has `length` writable bytes; the kernel writes at most that much of struct tcp_info.
    cvt(unsafe { libc::getsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, into, &raw mut length) })
        .ok()?;
    // tcpi_state is the first byte, tcpi_unacked the seventh word: for a listener its accept queue.
    (info[0].to_ne_bytes()[0] == 10).then_some(info[6])
}

/// Whether the socket is restricted to IPv6 (IPV6_V6ONLY); false for IPv4.
#[must_use]
pub fn is_v6_only(socket: BorrowedFd<'_>) -> bool {
    option(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY).is_ok_and(|value| value != 0)
}

/// The interface the socket is bound to; 0 for none.
#[must_use]
pub fn interface(socket: BorrowedFd<'_>) -> u32 {
    option(socket, libc::SOL_SOCKET, SO_BINDTOIFINDEX).ok().and_then(|index| u32::try_from(index).ok()).unwrap_or(0)
}

/// Binds the socket to an interface by index. An index that no interface has hides a listener from new connections while
/// those that it has taken already go on.
///
/// # Errors
/// EPERM without CAP_NET_RAW when it is bound to one already; ENOPROTOOPT before Linux 5.1.
pub fn set_interface(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, SO_BINDTOIFINDEX, i32::try_from(index).unwrap_or(i32::MAX))
}

/// Whether a socket that is bound to an interface can be bound to none again (CAP_NET_RAW).
#[must_use]
pub fn may_change_interface() -> bool {
    let changed = || {
        let socket = tcp_socket(libc::AF_INET)?;
        set_interface(socket.as_fd(), 1)?;
        set_interface(socket.as_fd(), 0)
    };
    changed().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was_bound() {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let wanted: SocketAddr = text.parse().expect("address");
            let family = if wanted.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
            let socket = tcp_socket(family).expect("socket");
            bind(socket.as_fd(), wanted).expect("bind");
            let got = local_address(socket.as_fd()).expect("name").expect("internet");
            assert_eq!(got.ip(), wanted.ip());
            assert_ne!(got.port(), 0);
            assert_eq!(accept_queue(socket.as_fd()), None);
            listen(socket.as_fd(), 5).expect("listen");
            let client = std::net::TcpStream::connect(got).expect("connect");
            assert_eq!(accept_queue(socket.as_fd()), Some(1));
            drop(client);
        }
    }

    #[test]
    fn a_hidden_listener_refuses_new_connections_and_keeps_those_it_has() {
        let socket = tcp_socket(libc::AF_INET).expect("socket");
        bind(socket.as_fd(), "127.0.0.1:0".parse().expect("address")).expect("bind");
        listen(socket.as_fd(), 5).expect("listen");
        let address = local_address(socket.as_fd()).expect("name").expect("internet");
        let _first = std::net::TcpStream::connect(address).expect("before");
        set_interface(socket.as_fd(), 0x7fff_fffe).expect("hide");
        assert!(std::net::TcpStream::connect(address).is_err());
        accept(socket.as_fd()).expect("the connection from before is still there");
    }
}
