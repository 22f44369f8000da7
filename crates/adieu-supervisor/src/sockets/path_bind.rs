//! Deciding `bind` of a Unix socket; the rules are in [`super::paths`].

use std::os::fd::{AsFd, OwnedFd};

use adieu_core::ids::Pid;
use adieu_core::switch::Generation;
use adieu_linux::seccomp::Call;
use adieu_linux::unix_socket;

use super::Sockets;
use super::answer::{Answer, Caller, Ours, Replacement, Then};
use super::paths::{Name, is_own_name};
use crate::view::{Out, View};

/// A Unix socket that a program is about to bind.
struct PathBind {
    process: Pid,
    fd: i32,
    socket: OwnedFd,
    /// The socket is one of ours, as the program's own cannot be duplicated.
    replaces: bool,
}

impl Sockets {
    pub(super) fn decide_path_bind(
        &mut self,
        view: &View<'_>,
        caller: &Caller<'_>,
        call: &Call,
        (process, fd): (Pid, i32),
        name: &[u8],
        out: &mut Out,
    ) -> Answer {
        let Some(bind) = path_bind(caller, process, fd) else { return Answer::Continue };
        let Some(name) = Name::resolve(process, name) else { return Answer::Continue };
        if !(caller.still_waits)(call) {
            return Answer::Continue;
        }
        // A program that binds has often just unlinked.
        self.paths.restore();
        self.drop_abandoned_paths(caller.table, caller.generation);
        match self.listener_for(caller.generation, &name) {
            Some(given) => {
                let close_on_exec = caller.make_alike(process, fd, given.as_fd());
                let then = Then::GivePath(name);
                Answer::ReplaceAndReturn(Replacement { with: Ours::New(given), process, fd, close_on_exec, then })
            }
            None => self.bind_path(view, caller, bind, name, out),
        }
    }

    /// A listener that is given to whoever binds this name: one that is held, or, where there is no file, the one that is
    /// shared.
    fn listener_for(&self, generation: Generation, name: &Name) -> Option<OwnedFd> {
        let shared = matches!(name, Name::Abstract(_));
        let given = self.paths.held_at(name).or_else(|| self.paths.served_at(name, generation).filter(|_| shared));
        given?.fd.as_ref()?.try_clone().ok()
    }

    /// Binds it beside the name where another generation listens, else lets the kernel bind it to the name itself.
    fn bind_path(&mut self, view: &View<'_>, caller: &Caller<'_>, bind: PathBind, name: Name, out: &mut Out) -> Answer {
        let (generation, PathBind { process, fd, socket, replaces }) = (caller.generation, bind);
        let mut beside = None;
        if self.paths.served_at(&name, generation).is_some() {
            match self.paths.bind_beside(generation, &socket, &name, process) {
                Ok(second) => beside = Some(second),
                Err(error) => {
                    out.note(format!("generation {generation} cannot be bound beside {name}: {error}"));
                    return Answer::Continue;
                }
            }
        }
        let bound = beside.is_some();
        let fleeting = is_own_name(caller.table, generation, process, &name, view.now);
        if !replaces {
            self.paths.keep(generation, socket, name, beside, fleeting);
            return if bound { Answer::Return(Ok(())) } else { Answer::Continue };
        }
        let close_on_exec = caller.make_alike(process, fd, socket.as_fd());
        let then = Then::KeepPath { name, beside, fleeting };
        let replacement = Replacement { with: Ours::New(socket), process, fd, close_on_exec, then };
        if bound { Answer::ReplaceAndReturn(replacement) } else { Answer::Replace(replacement) }
    }

    /// The program has been given the listener at `name`.
    pub(super) fn path_given(&mut self, generation: Generation, name: Name, listener: OwnedFd, out: &mut Out) {
        if self.paths.held_at(&name).is_some() {
            self.paths.hand_over(&name, generation);
            self.paths.restore();
        } else {
            out.note_once(format!(
                "{name} has no file: generations share it, and the old one must finish what it accepts"
            ));
            self.paths.keep(generation, listener, name, None, false);
        }
    }
}

/// The program's socket, or one of ours where it cannot be had; `None` for one that never listens.
fn path_bind(caller: &Caller<'_>, process: Pid, fd: i32) -> Option<PathBind> {
    match caller.table.duplicate(process, fd) {
        Ok(socket) if unix_socket::can_listen(socket.as_fd()) => {
            Some(PathBind { process, fd, socket, replaces: false })
        }
        Ok(_) => None,
        Err(_) => {
            let replaceable = caller.table.protocol(process, fd).is_ok_and(|protocol| protocol == "UNIX-STREAM")
                && !caller.table.is_polled(process, fd);
            let socket = unix_socket::stream().ok().filter(|_| replaceable)?;
            Some(PathBind { process, fd, socket, replaces: true })
        }
    }
}
