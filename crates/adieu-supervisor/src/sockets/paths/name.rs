//! The names of Unix sockets: where a program has bound one, and the second name that it has while two generations are there.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use adieu_core::ids::Pid;
use adieu_core::switch::Generation;
use adieu_linux::{process, unix_socket};

/// What a program binds a Unix socket to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// A file in a directory (as its canonical path has it).
    Path { directory: PathBuf, base: OsString },
    /// A name without a file; its leading NUL is left out.
    Abstract(Vec<u8>),
}

/// Tells one file from all others: device and inode.
pub(super) type File = (u64, u64);

impl Name {
    /// Reads the name that `process` hands to `bind`; `None` for one that the kernel chooses, and for one in another mount
    /// namespace or below another root.
    pub(in crate::sockets) fn resolve(process: Pid, name: &[u8]) -> Option<Self> {
        let path = match name {
            [] => return None,
            [0, rest @ ..] => return Some(Self::Abstract(rest.to_vec())),
            path => Path::new(OsStr::from_bytes(path)),
        };
        let same = |what: &str| {
            let link = |process: &str| fs::read_link(format!("/proc/{process}/{what}")).ok();
            link(&process.to_string()).is_some_and(|there| Some(there) == link("self"))
        };
        if !same("ns/mnt") || !same("root") {
            return None;
        }
        let path = fs::read_link(format!("/proc/{process}/cwd")).ok()?.join(path);
        let directory = fs::canonicalize(path.parent()?).ok()?;
        Some(Self::Path { directory, base: path.file_name()?.to_owned() })
    }

    /// The file, if there is to be one.
    pub(in crate::sockets) fn path(&self) -> Option<PathBuf> {
        let Self::Path { directory, base } = self else { return None };
        Some(directory.join(base))
    }

    pub(in crate::sockets) fn directory(&self) -> Option<&Path> {
        let Self::Path { directory, .. } = self else { return None };
        Some(directory)
    }

    /// The second name for a generation's socket.
    pub(in crate::sockets) fn beside(&self, generation: Generation) -> Option<PathBuf> {
        let Self::Path { directory, base } = self else { return None };
        let mut beside = OsString::from(".");
        beside.push(base);
        beside.push(format!(".{generation}"));
        Some(directory.join(beside))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path { directory, base } => write!(f, "unix:{}", directory.join(base).display()),
            Self::Abstract(name) => write!(f, "unix:@{}", OsString::from_vec(name.clone()).display()),
        }
    }
}

/// The file at `path`, if any.
pub(in crate::sockets) fn file_at(path: &Path) -> Option<File> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Binds `socket` of `process` to `beside`, with the permissions that the process would have given it. What an earlier
/// supervisor of this directory has left there is removed.
pub(in crate::sockets) fn bind_beside(socket: BorrowedFd<'_>, beside: &Path, process: Pid) -> io::Result<()> {
    drop(unix_socket::unlink(beside));
    unix_socket::bind(socket, beside)?;
    let permissions = 0o777 & !process::umask(process).unwrap_or(0o022);
    unix_socket::set_mode(beside, permissions)
}

/// Gives `socket` a second name.
pub(in crate::sockets) fn link(socket: &Path, name: &Path) -> io::Result<()> {
    drop(unix_socket::unlink(name));
    unix_socket::link(socket, name)
}

/// Puts the socket that is called `beside` in the place of `path`, at once, and as accessible as what was there.
pub(in crate::sockets) fn put(beside: &Path, path: &Path) -> io::Result<()> {
    if file_at(beside).is_some() && file_at(beside) == file_at(path) {
        return Ok(());
    }
    if let Ok(there) = fs::symlink_metadata(path) {
        // A program sets these by the path, and that was another socket's until now.
        unix_socket::set_mode(beside, there.mode() & 0o7777)?;
        drop(unix_socket::give_to(beside, there.uid(), there.gid()));
    }
    let mut new = beside.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    link(beside, &new)?;
    unix_socket::rename(&new, path)
}
