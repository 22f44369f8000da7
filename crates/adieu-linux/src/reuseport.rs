//! Steering a SO_REUSEPORT group with classic BPF (`socket(7)`, `SO_ATTACH_REUSEPORT_CBPF`).

use std::io;
use std::os::fd::BorrowedFd;

use adieu_core::group::Instruction;

use crate::sockets::{set_option, set_raw};

fn compile(program: &[Instruction]) -> Vec<libc::sock_filter> {
    program.iter().map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect()
}

pub(crate) fn attach(socket: BorrowedFd<'_>, option: i32, program: &[Instruction]) -> io::Result<()> {
    let mut code = compile(program);
    let length = u16::try_from(code.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let filter = libc::sock_fprog { len: length, filter: code.as_mut_ptr() };
    // SAFETY: sock_fprog is what this option takes, and `code` outlives the call, in which the kernel copies it.
    let attached = unsafe { set_raw(socket, libc::SOL_SOCKET, option, &filter) };
    traced!(attached, "attach {option} {}:{}", crate::trace::At(socket), crate::trace::Bpf(program))
}

/// Makes `program` decide which socket of the group of `socket` gets a new connection; replaces the one before atomically.
///
/// # Errors
/// EINVAL when `socket` listens without being in a group; ENOMEM when the program exceeds `net.core.optmem_max`.
pub fn steer(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    attach(socket, libc::SO_ATTACH_REUSEPORT_CBPF, program)
}

/// The end of [`drop_new`].
///
/// # Errors
/// ENOENT when there was none.
pub fn take_new(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0)
}

/// Lets `socket` drop every packet that is not for an established connection of its own: a SYN is then sent again by the
/// client instead of being answered.
///
/// # Errors
/// EPERM when a filter was locked on the socket.
pub fn drop_new(socket: BorrowedFd<'_>) -> io::Result<()> {
    attach(socket, libc::SO_ATTACH_FILTER, &[Instruction { code: 0x06, jt: 0, jf: 0, k: 0 }])
}

/// Lets connections in the queue of a listener that goes move to another one of its group (`net.ipv4.tcp_migrate_req`,
/// `ip-sysctl.rst`), for groups that are made from now on in this network namespace.
///
/// # Errors
/// EACCES or EROFS without the right; ENOENT before Linux 5.14.
pub fn allow_migration() -> io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/tcp_migrate_req", "1")
}

/// Whether [`allow_migration`] is in force here.
#[must_use]
pub fn may_migrate() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req").is_ok_and(|text| text.trim() == "1")
}
