//! Where instances are found: a socket for each name in a runtime directory, or an abstract socket where no directory can be
//! written (a read-only container).

use std::fs::{self, File};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use adieu_linux::process::own_user;
use adieu_linux::unix_socket::is_served;

/// A name or a place that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Taken by a running instance.
    #[error(
        "the name {0:?} is taken by a running instance: choose another with --name, or stop that one with `adieu stop {0}`"
    )]
    Taken(String),
    /// Cannot be a file name.
    #[error(
        "the name {0:?} cannot be used: letters, digits, dot, dash and underscore, at most 60, not beginning with a dot or dash"
    )]
    BadName(String),
    /// `ADIEU_RUNTIME_DIR` is of no use.
    #[error("the runtime directory {0} cannot be used: {1}")]
    BadDirectory(PathBuf, io::Error),
    /// No socket can be made.
    #[error("cannot open a control socket: {0}")]
    NoSocket(io::Error),
}

/// The control socket of this instance. Its file goes with it.
#[derive(Debug)]
pub(crate) struct Instance {
    name: String,
    pub(super) listener: UnixListener,
    file: Option<PathBuf>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            drop(fs::remove_file(file));
        }
    }
}

/// One directory was named: then nothing but that one counts.
fn is_explicit() -> bool {
    std::env::var_os("ADIEU_RUNTIME_DIR").is_some()
}

/// The directories that are looked at, in order.
fn directories() -> Vec<PathBuf> {
    if let Some(explicit) = std::env::var_os("ADIEU_RUNTIME_DIR") {
        return vec![explicit.into()];
    }
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(|directory| PathBuf::from(directory).join("adieu"));
    [Some(PathBuf::from("/run/adieu")), user].into_iter().flatten().collect()
}

fn abstract_name(name: &str, user: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("adieu/{user}/{name}"))
}

fn check_name(name: &str) -> Result<(), InstanceError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let good = !name.is_empty() && name.len() <= 60 && name.bytes().all(fits) && !name.starts_with(['.', '-']);
    if good { Ok(()) } else { Err(InstanceError::BadName(name.to_owned())) }
}

impl Instance {
    /// Takes `wanted`, or the first free of `base`, `base-2`, `base-3`, ...
    pub(crate) fn take(wanted: Option<&str>, base: &str) -> Result<Self, InstanceError> {
        if let Some(name) = wanted {
            check_name(name)?;
            return Self::take_one(name)?.ok_or_else(|| InstanceError::Taken(name.to_owned()));
        }
        let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
        let base: String = base.chars().map(fits).take(50).collect();
        let base = base.trim_start_matches(['.', '-']);
        let base = if base.is_empty() { "program" } else { base };
        for number in 1..10_000 {
            let name = if number == 1 { base.to_owned() } else { format!("{base}-{number}") };
            if let Some(instance) = Self::take_one(&name)? {
                return Ok(instance);
            }
        }
        Err(InstanceError::Taken(base.to_owned()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `None` when the name is taken.
    fn take_one(name: &str) -> Result<Option<Self>, InstanceError> {
        let explicit = is_explicit();
        for directory in directories() {
            match Self::take_in(&directory, name) {
                Ok(instance) => return Ok(instance),
                Err(error) if explicit => return Err(InstanceError::BadDirectory(directory, error)),
                Err(_) => {}
            }
        }
        match abstract_name(name, own_user()).and_then(|address| UnixListener::bind_addr(&address)) {
            Ok(listener) => {
                listener.set_nonblocking(true).map_err(InstanceError::NoSocket)?;
                Ok(Some(Self { name: name.to_owned(), listener, file: None }))
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(InstanceError::NoSocket(error)),
        }
    }

    fn take_in(directory: &Path, name: &str) -> io::Result<Option<Self>> {
        let socket = directory.join(format!("{name}.sock"));
        // One at a time: where nobody listens on a socket, nobody is about to either, and it may be replaced. A file for each
        // name would cost more than the socket itself.
        let turn = File::open(directory).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
                File::open(directory)
            }
            _ => Err(error),
        })?;
        turn.lock()?;
        let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
        let bound = match UnixListener::bind(&socket) {
            Err(error) if in_use(&error) && !is_served(&socket)? => {
                // Left by one that was killed, or that has just ended and taken it away itself.
                match fs::remove_file(&socket) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => UnixListener::bind(&socket),
                }
            }
            bound => bound,
        };
        let listener = match bound {
            Err(error) if in_use(&error) => return Ok(None),
            bound => bound?,
        };
        listener.set_nonblocking(true)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
        Ok(Some(Self { name: name.to_owned(), listener, file: Some(socket) }))
    }
}

/// Connects to the instance `name`.
///
/// # Errors
/// `NotFound` when there is no such instance; `PermissionDenied` when it belongs to another user.
pub fn connect(name: &str) -> io::Result<UnixStream> {
    let missing =
        |hint: &str| io::Error::new(io::ErrorKind::NotFound, format!("no instance named {name:?} is running{hint}"));
    check_name(name).map_err(|_| missing(""))?;
    let (mut denied, mut hint) = (None, String::new());
    for directory in directories() {
        let path = directory.join(format!("{name}.sock"));
        match UnixStream::connect(&path) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                // Nothing, or a socket that nobody listens on, left by one that was killed.
            }
            Err(_) if path.symlink_metadata().is_ok() => denied = Some(path),
            Err(_) => hint = format!(" (as far as this user may see: not in {})", directory.display()),
        }
    }
    let users = match (is_explicit(), own_user()) {
        (true, _) => Vec::new(),
        (false, 0) => abstract_users(name),
        (false, user) => vec![user],
    };
    for user in users {
        if let Ok(stream) = abstract_name(name, user).and_then(|address| UnixStream::connect_addr(&address)) {
            return Ok(stream);
        }
    }
    match denied {
        Some(path) => {
            let text = format!("the instance {name:?} belongs to another user ({} may not be opened)", path.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
        }
        None => Err(missing(&hint)),
    }
}

/// The users with an abstract socket of that name.
fn abstract_users(name: &str) -> Vec<u32> {
    abstract_instances().into_iter().filter(|(_, there)| there == name).map(|(user, _)| user).collect()
}

fn abstract_instances() -> Vec<(u32, String)> {
    let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let parse = |line: &str| {
        let (user, name) = line.rsplit_once(" @adieu/")?.1.split_once('/')?;
        Some((user.parse().ok()?, name.to_owned()))
    };
    let mut found: Vec<(u32, String)> = text.lines().filter_map(parse).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The names of all instances that can be asked.
#[must_use]
pub fn names() -> Vec<String> {
    let mut names = Vec::new();
    for directory in directories() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_socket = path.extension().is_some_and(|extension| extension == "sock");
            if is_socket && UnixStream::connect(&path).is_ok() {
                names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
    }
    let own = own_user();
    let others = if is_explicit() { Vec::new() } else { abstract_instances() };
    names.extend(others.into_iter().filter(|(user, _)| own == 0 || *user == own).map(|(_, name)| name));
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
