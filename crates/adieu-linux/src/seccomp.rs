//! The filter that reports socket calls, and answering its notifications (`seccomp(2)`, `seccomp_unotify(2)`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{cvt, cvt_long};

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("adieu watches socket calls on x86_64 and aarch64; add the AUDIT_ARCH of this architecture here");

// From <linux/seccomp.h>: _IOWR('!', 0, struct seccomp_notif) and its siblings; the same on both architectures.
const NOTIF_RECV: u64 = 0xc050_2100;
const NOTIF_SEND: u64 = 0xc018_2101;
const NOTIF_ID_VALID: u64 = 0x4008_2102;
const NOTIF_ADDFD: u64 = 0x4018_2103;

const WAIT_KILLABLE_RECV: u64 = 1 << 5;

/// The option calls that matter for a listener and that servers do not make per connection, as (level, name).
pub const LISTENER_OPTIONS: &[(i32, i32)] = &[
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
    (libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
    (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
    (libc::IPPROTO_IP, libc::IP_FREEBIND),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_MARK),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
    (libc::IPPROTO_TCP, libc::TCP_CONGESTION),
];

/// A system call that waits for an answer. It cannot be copied: [`Notifier::proceed`] and [`Notifier::reply`] take it, so
/// that it is answered at most once, and whoever drops it says so.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the caller waits until its call is answered"]
pub struct Call {
    /// Identifies the notification in the answer.
    pub id: u64,
    /// The calling thread.
    pub tid: i32,
    /// Which call.
    pub kind: CallKind,
    /// Its six arguments as registers.
    pub args: [u64; 6],
}

/// The calls that the filter reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// `bind(fd, address, length)`.
    Bind,
    /// `listen(fd, backlog)`.
    Listen,
    /// `setsockopt(fd, level, name, value, length)` of a [listener option](LISTENER_OPTIONS).
    SetOption,
    /// `connect(fd, address, length)`, unless it is of an Internet address.
    Connect,
    /// `seccomp(..)` that asks for a listener of its own: the kernel will answer EBUSY.
    OwnListener,
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump_eq(k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: yes, jf: no, k }
}

/// What is reported besides `bind` and `listen`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watch {
    /// `setsockopt` of the [listener options](LISTENER_OPTIONS).
    pub options: bool,
    /// `connect` of Unix sockets: each waits for an answer then. Those whose address is as long as an Internet address
    /// (16 or 28 bytes) pass, as most of that length are.
    pub connects: bool,
}

/// Everything passes but the calls of [`CallKind`] (`SetOption` and `Connect` only where `watch` says so). A foreign
/// architecture (32-bit programs) and the x32 ABI pass: their calls are not seen.
fn program(watch: Watch) -> Vec<libc::sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const RET: u32 = libc::BPF_RET | libc::BPF_K;
    // Offsets in struct seccomp_data: nr 0, arch 4, args from 16, 8 bytes each, low half first (little endian).
    let arg = |index: u32| 16 + 8 * index;
    let allow = statement(RET, libc::SECCOMP_RET_ALLOW);
    let notify = statement(RET, libc::SECCOMP_RET_USER_NOTIF);
    let mut code = vec![
        statement(LOAD, 4),
        jump_eq(AUDIT_ARCH, 1, 0),
        allow,
        statement(LOAD, 0),
        jump_eq(libc::SYS_bind as u32, 1, 0),
        jump_eq(libc::SYS_listen as u32, 0, 1),
        notify,
        jump_eq(libc::SYS_seccomp as u32, 0, 3),
        statement(LOAD, arg(1)),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32,
        },
        notify,
    ];
    if watch.connects {
        code.extend([
            statement(LOAD, 0),
            jump_eq(libc::SYS_connect as u32, 0, 5),
            statement(LOAD, arg(2)),
            jump_eq(size_of::<libc::sockaddr_in>() as u32, 1, 0),
            jump_eq(size_of::<libc::sockaddr_in6>() as u32, 0, 1),
            allow,
            notify,
        ]);
    }
    if watch.options {
        code.push(statement(LOAD, 0));
        code.push(jump_eq(libc::SYS_setsockopt as u32, 1, 0));
        code.push(allow);
        for (level, name) in LISTENER_OPTIONS {
            code.push(statement(LOAD, arg(1)));
            code.push(jump_eq(*level as u32, 0, 3));
            code.push(statement(LOAD, arg(2)));
            code.push(jump_eq(*name as u32, 0, 1));
            code.push(notify);
        }
    }
    code.push(allow);
    code
}

/// Puts the filter on the calling thread (a freshly forked child) and returns the descriptor that reports its calls.
/// Sets no_new_privs only when the kernel asks for it (without CAP_SYS_ADMIN); the flag in the result says so.
///
/// # Errors
/// EBUSY when a filter with a listener is already there (a nested supervisor); EPERM, EINVAL or ENOSYS where seccomp is
/// refused or too old (user notification needs Linux 5.5 for CONTINUE).
pub fn watch_self(watch: Watch) -> io::Result<(OwnedFd, bool)> {
    let mut code = program(watch);
    let filter = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    let install = || {
        let with = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE_RECV;
        match load(with, &filter) {
            // Before 5.19 there is no such flag: a signal may interrupt a call that waits, which then starts again.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                load(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter)
            }
            other => other,
        }
    };
    match install() {
        Ok(fd) => Ok((fd, false)),
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            // SAFETY: takes integers only.
            cvt(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
            install().map(|fd| (fd, true))
        }
        Err(error) => Err(error),
    }
}

fn load(flags: u64, filter: &libc::sock_fprog) -> io::Result<OwnedFd> {
    // SAFETY: `filter` points to a live program of the stated length.
    let fd = cvt_long(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(filter))
    })?;
    // SAFETY: just created for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The supervisor's end of a filter.
#[derive(Debug)]
pub struct Notifier(OwnedFd);

impl Notifier {
    /// Takes over a descriptor made by [`watch_self`].
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Takes the next waiting call. Poll first: this waits when there is none.
    ///
    /// # Errors
    /// ENOENT when the caller was killed meanwhile: normal, go on.
    pub fn receive(&self) -> io::Result<Call> {
        let mut notice = MaybeUninit::<libc::seccomp_notif>::zeroed();
        // SAFETY: zeroed as the kernel demands, of the size that the request number states.
        cvt(unsafe { libc::ioctl(self.0.as_raw_fd(), NOTIF_RECV as _, notice.as_mut_ptr()) })?;
        // SAFETY: plain integers, filled in by the kernel.
        let notice = unsafe { notice.assume_init() };
        let kind = match i64::from(notice.data.nr) {
            libc::SYS_bind => CallKind::Bind,
            libc::SYS_listen => CallKind::Listen,
            libc::SYS_setsockopt => CallKind::SetOption,
            libc::SYS_connect => CallKind::Connect,
            _ => CallKind::OwnListener,
        };
        traced!(io::Result::Ok(()), "the program calls {kind:?}")?;
        Ok(Call { id: notice.id, tid: notice.pid as i32, kind, args: notice.data.args })
    }

    /// Whether the caller still waits: check after having looked at its memory or descriptors, as its pid may have been
    /// taken by another process.
    #[must_use]
    pub fn is_valid(&self, call: &Call) -> bool {
        let id = call.id;
        // SAFETY: `id` lives for the call and has the size that the request number states.
        unsafe { libc::ioctl(self.0.as_raw_fd(), NOTIF_ID_VALID as _, &raw const id) == 0 }
    }

    /// Lets the call go on in the kernel as it was made.
    ///
    /// # Errors
    /// ENOENT when the caller has been killed.
    pub fn proceed(&self, call: Call) -> io::Result<()> {
        self.answer(&call, 0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
    }

    /// Answers instead of the kernel: `Ok(())` is 0, an error is its errno.
    ///
    /// # Errors
    /// As [`Self::proceed`].
    pub fn reply(&self, call: Call, result: Result<(), i32>) -> io::Result<()> {
        self.answer(&call, 0, result.err().map_or(0, |errno| -errno), 0)
    }

    fn answer(&self, call: &Call, val: i64, error: i32, flags: u32) -> io::Result<()> {
        let answer = libc::seccomp_notif_resp { id: call.id, val, error, flags };
        // SAFETY: `answer` lives for the call and has the size that the request number states.
        let sent = cvt(unsafe { libc::ioctl(self.0.as_raw_fd(), NOTIF_SEND as _, &raw const answer) });
        traced!(sent, "answer {error}, flags {flags}")?;
        Ok(())
    }

    /// Puts our `socket` in the place of descriptor `fd` of the caller (ADDFD with SETFD).
    ///
    /// # Errors
    /// ENOENT when the caller has been killed; EMFILE at its descriptor limit; EINVAL before Linux 5.9.
    pub fn replace(&self, call: &Call, socket: BorrowedFd<'_>, fd: i32, close_on_exec: bool) -> io::Result<()> {
        let put = libc::seccomp_notif_addfd {
            id: call.id,
            flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
            srcfd: socket.as_raw_fd() as u32,
            newfd: fd as u32,
            newfd_flags: if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
        };
        // SAFETY: `put` lives for the call and has the size that the request number states.
        let replaced = cvt(unsafe { libc::ioctl(self.0.as_raw_fd(), NOTIF_ADDFD as _, &raw const put) });
        traced!(replaced, "replace by one {}, close on exec {close_on_exec}", crate::trace::At(socket))?;
        Ok(())
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
