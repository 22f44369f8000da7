//! Answering `bind` and `listen` of Unix sockets, and what happens to them otherwise; the rules are in [`crate::paths`].

use std::os::fd::AsFd;
use std::time::Duration;

use adieu_core::switch::Generation;
use adieu_linux::pidfd::Pidfd;
use adieu_linux::seccomp::Call;
use adieu_linux::{clock, descriptors, named, sockets};

use crate::calls::{O_CLOEXEC, O_NONBLOCK};
use crate::paths::Name;
use crate::supervisor::Supervisor;

/// How soon it is looked again whether a `listen` has succeeded.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Supervisor {
    /// True when the call has been answered here.
    pub(crate) fn on_path_bind(&mut self, generation: Generation, call: Call, process: i32, name: &[u8]) -> bool {
        let fd = call.args[0] as i32;
        let (own, replaces) = match Pidfd::open(process).and_then(|pidfd| pidfd.get_fd(fd)) {
            Ok(own) if named::can_listen(own.as_fd()) => (own, false),
            Ok(_) => return false,
            Err(_) => match (descriptors::socket_protocol(process, fd).as_deref(), named::stream()) {
                (Ok("UNIX-STREAM"), Ok(ours)) if !descriptors::is_polled(process, fd) => (ours, true),
                _ => return false,
            },
        };
        let Some(name) = Name::resolve(process, name) else { return false };
        if self.listener(generation).is_none_or(|listener| !listener.is_valid(call.id)) {
            return false;
        }
        // A program that binds has often just unlinked.
        self.paths.restore();
        self.drop_unheld_paths(generation);
        let shared = matches!(name, Name::Abstract(_));
        let given = self.paths.held_at(&name).or_else(|| self.paths.served_at(&name, generation).filter(|_| shared));
        if let Some(given) = given.and_then(|given| given.fd.as_ref()?.try_clone().ok()) {
            return self.give_path(generation, call, process, &name, given);
        }
        let beside = match self.paths.served_at(&name, generation) {
            Some(_) => match self.paths.bind_beside(generation, &own, &name, process) {
                Ok(beside) => Some(beside),
                Err(error) => {
                    self.note(format!("generation {generation} cannot be bound beside {name}: {error}"));
                    return false;
                }
            },
            None => None,
        };
        if replaces {
            let flags = descriptors::flags(process, fd).unwrap_or(O_CLOEXEC);
            drop(sockets::set_nonblocking(own.as_fd(), flags & O_NONBLOCK != 0));
            let Some(listener) = self.listener(generation) else { return false };
            if let Err(error) = listener.replace(call.id, own.as_fd(), fd, flags & O_CLOEXEC != 0) {
                self.note_once(format!(
                    "cannot replace a socket of pid {process} ({error}): its reloads are not seamless"
                ));
                return false;
            }
        }
        let bound = beside.is_some();
        let fleeting = self.is_own_name(generation, process, &name);
        self.paths.keep(generation, own, name, beside, fleeting);
        bound && self.listener(generation).is_some_and(|listener| listener.reply(call.id, Ok(())).is_ok())
    }

    /// Gives the program a socket that listens already, instead of the one it has.
    fn give_path(
        &mut self,
        generation: Generation,
        call: Call,
        process: i32,
        name: &Name,
        given: std::os::fd::OwnedFd,
    ) -> bool {
        let fd = call.args[0] as i32;
        let flags = descriptors::flags(process, fd).unwrap_or(O_CLOEXEC);
        drop(sockets::set_nonblocking(given.as_fd(), flags & O_NONBLOCK != 0));
        let Some(listener) = self.listener(generation) else { return false };
        if listener.replace(call.id, given.as_fd(), fd, flags & O_CLOEXEC != 0).is_err() {
            return false;
        }
        if self.paths.held_at(name).is_some() {
            self.paths.hand_over(name, generation);
            self.paths.restore();
        } else {
            self.note_once(format!(
                "{name} has no file: generations share it, and the old one must finish what it accepts"
            ));
            self.paths.keep(generation, given, name.clone(), None, false);
        }
        self.listener(generation).is_some_and(|listener| listener.reply(call.id, Ok(())).is_ok())
    }

    /// Goes on with those that are about to listen, and puts back paths that have been unlinked.
    pub(crate) fn advance_paths(&mut self) {
        if self.paths.watch.as_ref().is_some_and(|watch| !watch.take().is_empty()) {
            self.paths.restore();
        }
        if self.paths.is_awaiting() {
            for generation in self.paths.look(clock::now()) {
                if self.switch.serving() == Some(generation)
                    && let Err(error) = self.paths.publish(generation)
                {
                    self.note(format!("generation {generation}: its Unix sockets cannot be put in place: {error}"));
                }
                self.check_ready(generation);
            }
        }
    }

    /// When [`Self::advance_paths`] is due without any other reason.
    pub(crate) fn next_path_look(&self) -> Option<adieu_core::Timestamp> {
        self.paths.is_awaiting().then(|| clock::now() + LOOK_EVERY)
    }

    /// Prepares for a generation beside the one that serves.
    pub(crate) fn secure_paths(&mut self) {
        let Some(serving) = self.switch.serving() else { return };
        for error in self.paths.secure(serving) {
            self.note(format!("generation {serving}: its Unix sockets cannot be given second names: {error}"));
        }
    }

    /// Closes Unix listeners that no process of `generation` has any more.
    pub(crate) fn drop_unheld_paths(&mut self, generation: Generation) {
        let mut inodes: Vec<u64> = self.paths.of(generation).map(|listener| listener.inode).collect();
        for _ in 0..2 {
            if inodes.is_empty() {
                return;
            }
            let Some(present) = self.own_inodes(generation) else { return };
            inodes.retain(|inode| !present.contains(inode));
        }
        if !self.is_about_to_end(generation) {
            self.paths.forget(generation, &inodes);
        }
    }
}
