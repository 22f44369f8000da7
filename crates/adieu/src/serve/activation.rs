//! Socket activation: listeners that the parent has handed over (`LISTEN_FDS`: systemd, `adieu run --sockets pass`).

use std::os::fd::OwnedFd;
use std::sync::{Mutex, OnceLock};

use socket2::{SockRef, Type};

use super::listen::Listen;
use crate::lock::lock;

/// The listeners that no server has taken yet, with their names. A static, as descriptors belong to the process.
fn given() -> &'static Mutex<Vec<(String, OwnedFd)>> {
    static GIVEN: OnceLock<Mutex<Vec<(String, OwnedFd)>>> = OnceLock::new();
    GIVEN.get_or_init(|| {
        let listed = sd_notify::listen_fds_with_names().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        let taken = listed.into_iter().filter_map(|(fd, name)| Some((name, adieu_linux::descriptors::take(fd).ok()?)));
        Mutex::new(taken.collect())
    })
}

/// Takes the listener for `wanted`: of the same name, or bound to the same address.
pub(super) fn activated_listener(name: Option<&str>, wanted: &Listen) -> Option<Listen> {
    let mut given = lock(given());
    let fits = |(of, fd): &(String, OwnedFd)| is_listener(fd) && (name == Some(of) || is_bound_to(fd, wanted));
    let index = given.iter().position(fits)?;
    let (_, fd) = given.swap_remove(index);
    match SockRef::from(&fd).local_addr().is_ok_and(|address| address.is_unix()) {
        true => Some(Listen::Unix(fd.into())),
        false => Some(Listen::Tcp(fd.into())),
    }
}

fn is_listener(fd: &OwnedFd) -> bool {
    let socket = SockRef::from(fd);
    socket.r#type().is_ok_and(|kind| kind == Type::STREAM) && socket.is_listener().unwrap_or(false)
}

fn is_bound_to(fd: &OwnedFd, wanted: &Listen) -> bool {
    let Ok(bound) = SockRef::from(fd).local_addr() else { return false };
    match wanted {
        Listen::Address(address) => address.port() != 0 && bound.as_socket() == Some(*address),
        Listen::Path(path) => bound.as_pathname() == Some(path),
        Listen::Tcp(_) | Listen::Unix(_) => false,
    }
}
