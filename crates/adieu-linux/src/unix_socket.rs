//! Unix sockets with a name in the file system, or an abstract one (`unix(7)`), and watching directories (`inotify(7)`).

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::poll::{Readiness, poll};
use crate::sockets::option;
use crate::{cvt, cvt_long};

/// The longest path that a socket can be bound to, its final NUL not counted.
pub const LONGEST_PATH: usize = size_of::<libc::sockaddr_un>() - size_of::<libc::sa_family_t>() - 1;

/// Whether somebody listens on the Unix socket at `path`, without waiting to be let in.
///
/// # Errors
/// EACCES when it belongs to another user; `InvalidInput` for a path that is too long.
pub fn is_served(path: &Path) -> io::Result<bool> {
    // SAFETY: all-zero is a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes integers only; the result is a fresh descriptor or -1.
    let socket = cvt(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: just created for us.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: `address` is a valid address of that length.
    match cvt(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) }) {
        Ok(_) => Ok(true),
        Err(error) => match error.raw_os_error() {
            // Its queue is full.
            Some(libc::EAGAIN) => Ok(true),
            Some(libc::ECONNREFUSED | libc::ENOENT) => Ok(false),
            _ => Err(error),
        },
    }
}

/// Whether it is a Unix socket that can listen.
#[must_use]
pub fn can_listen(socket: BorrowedFd<'_>) -> bool {
    let is = |name, wanted: &[i32]| option(socket, libc::SOL_SOCKET, name).is_ok_and(|value| wanted.contains(&value));
    is(libc::SO_DOMAIN, &[libc::AF_UNIX]) && is(libc::SO_TYPE, &[libc::SOCK_STREAM, libc::SOCK_SEQPACKET])
}

/// A new stream socket, close-on-exec.
///
/// # Errors
/// EMFILE.
pub fn stream() -> io::Result<OwnedFd> {
    // SAFETY: takes integers; the result is a fresh descriptor or -1.
    let fd = cvt(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: just created for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds `socket` to `path`, which is created.
///
/// # Errors
/// EADDRINUSE when something is there; ENAMETOOLONG; as `unix(7)` says.
pub fn bind(socket: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() > LONGEST_PATH {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    // SAFETY: all-zero is a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = from.cast_signed() as libc::c_char;
    }
    let length = (size_of::<libc::sa_family_t>() + bytes.len() + 1) as libc::socklen_t;
    // SAFETY: `address` is readable for `length` bytes.
    let bound = cvt(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) });
    traced!(bound, "bind to {}", crate::trace::Base(path))?;
    Ok(())
}

/// Gives the socket at `path` another name.
///
/// # Errors
/// As `link(2)` says.
pub fn link(path: &Path, name: &Path) -> io::Result<()> {
    let linked = fs::hard_link(path, name);
    traced!(linked, "link {} to {}", crate::trace::Base(name), crate::trace::Base(path))
}

/// Takes a name away.
///
/// # Errors
/// As `unlink(2)` says.
pub fn unlink(name: &Path) -> io::Result<()> {
    traced!(fs::remove_file(name), "unlink {}", crate::trace::Base(name))
}

/// Puts the socket at `from` in the place of whatever is at `to`.
///
/// # Errors
/// As `rename(2)` says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    traced!(fs::rename(from, to), "rename {} to {}", crate::trace::Base(from), crate::trace::Base(to))
}

/// Sets who may connect to the socket at `path`, as `chmod(2)` does.
///
/// # Errors
/// As that says.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    traced!(set, "set mode {mode:o} of {}", crate::trace::Base(path))
}

/// Gives the socket at `path`, and not what a link there leads to, to this user and group.
///
/// # Errors
/// As `lchown(2)` says.
pub fn give_to(path: &Path, user: u32, group: u32) -> io::Result<()> {
    let given = std::os::unix::fs::lchown(path, Some(user), Some(group));
    traced!(given, "give {} to {user}:{group}", crate::trace::Base(path))
}

/// Whether it listens.
#[must_use]
pub fn is_listening(socket: BorrowedFd<'_>) -> bool {
    option(socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN).is_ok_and(|value| value != 0)
}

/// Whether a connection waits to be accepted.
#[must_use]
pub fn is_waited_for(listener: BorrowedFd<'_>) -> bool {
    poll(&[(listener, Readiness::READ)], Some(std::time::Duration::ZERO)).is_ok_and(|ready| ready[0].readable)
}

/// What has changed in some directories.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// EMFILE at a limit of the user or of this process.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes integers; the result is a fresh descriptor or -1.
        let fd = cvt(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        // SAFETY: just created for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Reports from now on what vanishes from `directory`; again for the same one changes nothing.
    ///
    /// # Errors
    /// EACCES, ENOENT; ENOSPC at a limit of the user.
    pub fn add(&self, directory: &Path) -> io::Result<()> {
        let path = CString::new(directory.as_os_str().as_bytes()).map_err(io::Error::other)?;
        let what = libc::IN_DELETE | libc::IN_MOVED_FROM;
        // SAFETY: a NUL-terminated string that outlives the call.
        cvt(unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), what) })?;
        Ok(())
    }

    /// Takes the names that have vanished since; an empty one when too many have, and some were not reported.
    #[must_use]
    pub fn take(&self) -> Vec<OsString> {
        let mut found = Vec::new();
        let mut buffer = [0u8; 4096];
        loop {
            let (into, length) = (buffer.as_mut_ptr().cast(), buffer.len());
            // SAFETY: `buffer` has that many writable bytes.
            let got = cvt_long(unsafe { libc::read(self.0.as_raw_fd(), into, length) } as i64).unwrap_or(0);
            if got == 0 {
                return found;
            }
            let mut rest = buffer.get(..usize::try_from(got).unwrap_or(0)).unwrap_or_default();
            while let Some((name, after)) = parse_event(rest) {
                found.push(name);
                rest = after;
            }
        }
    }
}

/// The name in a `struct inotify_event`, and what comes after it.
fn parse_event(bytes: &[u8]) -> Option<(OsString, &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(12..16)?.try_into().ok()?) as usize;
    let name = bytes.get(16..16 + length)?;
    let end = name.iter().position(|b| *b == 0).unwrap_or(length);
    let name = OsString::from_vec(OsStr::from_bytes(name.get(..end)?).as_bytes().to_vec());
    Some((name, bytes.get(16 + length..)?))
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_socket_listens_is_waited_for_and_vanishes() {
        let directory = std::env::temp_dir().join(format!("adieu-unix-socket-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a new directory");
        let path = directory.join("socket");
        let watch = Watch::new().expect("inotify");
        watch.add(&directory).expect("it is there");
        let socket = stream().expect("socket");
        bind(socket.as_fd(), &path).expect("bind");
        assert!(can_listen(socket.as_fd()) && !is_listening(socket.as_fd()));
        assert_eq!(bind(stream().expect("socket").as_fd(), &path).expect_err("it is taken").raw_os_error(), Some(98));
        crate::sockets::listen(socket.as_fd(), 5).expect("listen");
        assert!(is_listening(socket.as_fd()) && !is_waited_for(socket.as_fd()));
        let _client = std::os::unix::net::UnixStream::connect(&path).expect("connect");
        assert!(is_waited_for(socket.as_fd()));
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(watch.take(), ["socket"]);
        std::fs::remove_dir(&directory).expect("it is empty");
        let long = directory.join("x".repeat(LONGEST_PATH));
        assert!(bind(stream().expect("socket").as_fd(), &long).is_err());
    }

    #[test]
    fn cut_off_events_are_not_misread() {
        let mut event = vec![0; 16];
        event[12] = 4;
        event.extend(b"ab\0\0rest");
        assert_eq!(parse_event(&event), Some((OsString::from("ab"), &b"rest"[..])));
        for end in 0..20 {
            assert_eq!(parse_event(&event[..end]), None);
        }
    }
}
