//! Unix listeners: no group of the kernel switches them, so their names do.
//!
//! A generation that binds a path where another one listens is bound to a name beside it. The switch puts that name in the
//! place of the path: at once, and whoever has connected before stays where he is. Each socket has a second name (a hard
//! link) while two generations are there, so that a path which one of them unlinks can be put back.
//!
//! A socket with an abstract name has no file: generations share it.

mod name;
mod own;

use std::os::fd::{AsFd, OwnedFd};

use adieu_core::Timestamp;
use adieu_core::group::Owner;
use adieu_core::ids::Pid;
use adieu_core::switch::Generation;
use adieu_linux::unix_socket::{self, Watch};
use std::io;
use std::path::PathBuf;

pub(crate) use self::name::Name;
use self::name::{File, bind_beside, file_at, link, put};
pub(super) use self::own::is_own_name;

/// One socket that a program has bound, held in duplicate.
#[derive(Debug)]
pub(super) struct PathListener {
    /// Let go at the final stop, so that what its program closes is closed.
    pub(super) fd: Option<OwnedFd>,
    pub(super) inode: u64,
    pub(super) owner: Owner,
    pub(super) name: Name,
    /// Its second name.
    beside: Option<PathBuf>,
    /// Its program has been bound to the second name, and knows no other.
    bound_beside: bool,
    /// `listen` was called then, and is not seen to have succeeded.
    awaited: Option<Timestamp>,
    pub(super) listens: bool,
    /// No other generation binds this: the name is this one's own, or its program has renamed or removed it.
    fleeting: bool,
    file: Option<File>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Paths {
    all: Vec<PathListener>,
    /// Where new connections go, by name.
    targets: std::collections::BTreeMap<Name, Owner>,
    pub(super) watch: Option<Watch>,
}

impl Paths {
    pub(super) fn of(&self, owner: impl Into<Owner>) -> impl Iterator<Item = &PathListener> {
        let owner = owner.into();
        self.all.iter().filter(move |listener| listener.owner == owner)
    }

    /// Where `owner` listens.
    pub(super) fn names(&self, owner: impl Into<Owner>) -> Vec<Name> {
        let mut names: Vec<Name> = self.of(owner).filter(|l| l.listens).map(|l| l.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Where the generation after `owner` is to listen, too.
    pub(super) fn lasting_names(&self, owner: impl Into<Owner>) -> Vec<Name> {
        let owner = owner.into();
        let mut names = self.names(owner);
        let fleeting = |name: &Name| self.of(owner).any(|listener| listener.fleeting && listener.name == *name);
        names.retain(|name| !fleeting(name));
        names
    }

    pub(super) fn is_target(&self, listener: &PathListener) -> bool {
        self.targets.get(&listener.name) == Some(&listener.owner)
    }

    /// Whether a connection waits in a queue of `generation` that no other one empties.
    pub(super) fn is_waited_for(&self, generation: Generation) -> bool {
        self.of(generation).any(|listener| {
            let shared = self.all.iter().filter(|other| other.inode == listener.inode).count() > 1;
            !shared && listener.listens && listener.fd.as_ref().is_some_and(|fd| unix_socket::is_waited_for(fd.as_fd()))
        })
    }

    /// A listener that waits for whoever binds this name.
    pub(super) fn held_at(&self, name: &Name) -> Option<&PathListener> {
        self.of(Owner::Held).find(|listener| listener.name == *name && listener.listens)
    }

    /// A listener of another generation with this name.
    pub(super) fn served_at(&self, name: &Name, generation: Generation) -> Option<&PathListener> {
        self.all.iter().find(|l| l.name == *name && l.owner != Owner::Of(generation) && l.listens)
    }

    pub(super) fn keep(
        &mut self,
        generation: Generation,
        fd: OwnedFd,
        name: Name,
        beside: Option<PathBuf>,
        fleeting: bool,
    ) {
        let Ok((inode, _)) = adieu_linux::sockets::inode_and_owner(fd.as_fd()) else { return };
        let bound_beside = beside.is_some();
        let listens = unix_socket::is_listening(fd.as_fd());
        let file = name.path().as_deref().and_then(file_at).filter(|_| listens);
        let fd = Some(fd);
        let owner = Owner::Of(generation);
        let (awaited, known) = (None, |l: &PathListener| l.owner == owner && l.inode == inode);
        self.all.retain(|listener| !known(listener));
        self.all.push(PathListener { fd, inode, owner, name, beside, bound_beside, awaited, listens, fleeting, file });
    }

    /// Binds the socket of a program beside the name where another generation listens; the second name.
    pub(super) fn bind_beside(
        &self,
        generation: Generation,
        socket: &OwnedFd,
        name: &Name,
        process: Pid,
    ) -> io::Result<PathBuf> {
        let beside = name.beside(generation).ok_or(io::ErrorKind::Unsupported)?;
        bind_beside(socket.as_fd(), &beside, process)?;
        Ok(beside)
    }

    /// The program is about to listen; true if the socket is one of these.
    pub(super) fn await_listen(&mut self, generation: Generation, inode: u64, now: Timestamp) -> bool {
        let found = self.all.iter_mut().find(|l| l.owner == Owner::Of(generation) && l.inode == inode);
        if let Some(listener) = found {
            listener.awaited.get_or_insert(now);
            return true;
        }
        false
    }

    /// Looks whether those that were about to listen do; the generations that have begun to.
    pub(super) fn look(&mut self, now: Timestamp) -> Vec<Generation> {
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);
        let mut begun = Vec::new();
        for listener in &mut self.all {
            let Some(since) = listener.awaited else { continue };
            if listener.fd.as_ref().is_some_and(|fd| unix_socket::is_listening(fd.as_fd())) {
                listener.awaited = None;
                if !std::mem::replace(&mut listener.listens, true) {
                    let own = listener.beside.clone().filter(|_| listener.bound_beside).or(listener.name.path());
                    listener.file = own.as_deref().and_then(file_at);
                    // Renamed between `bind` and `listen`: it takes its place by itself.
                    listener.fleeting |= own.is_some() && listener.file.is_none();
                    self.targets.entry(listener.name.clone()).or_insert(listener.owner);
                    begun.extend(listener.owner.generation());
                }
            } else if now - since >= PATIENCE {
                listener.awaited = None;
            }
        }
        begun
    }

    pub(super) fn is_awaiting(&self) -> bool {
        self.all.iter().any(|listener| listener.awaited.is_some())
    }

    /// Gives the sockets of `generation` second names: from now on another generation may take their paths, or unlink them.
    pub(super) fn secure(&mut self, generation: Generation) -> Vec<io::Error> {
        let mut failed = Vec::new();
        let lasting = |l: &&mut PathListener| l.owner == Owner::Of(generation) && l.listens && !l.fleeting;
        for listener in self.all.iter_mut().filter(lasting).filter(|l| l.beside.is_none()) {
            let (Some(path), Some(beside)) = (listener.name.path(), listener.name.beside(generation)) else { continue };
            if file_at(&path) != listener.file {
                // Unlinked or renamed, and bound again by somebody else: not ours any more.
                listener.fleeting = true;
                continue;
            }
            match link(&path, &beside).and_then(|()| watch(&mut self.watch, &listener.name)) {
                Ok(()) => listener.beside = Some(beside),
                Err(error) => failed.push(error),
            }
        }
        failed
    }

    /// The switch: the names of `generation` become the paths.
    pub(super) fn publish(&mut self, generation: Generation) -> io::Result<()> {
        for listener in self.all.iter().filter(|l| l.owner == Owner::Of(generation) && l.listens) {
            if let (Some(beside), Some(path)) = (&listener.beside, listener.name.path()) {
                watch(&mut self.watch, &listener.name)?;
                put(beside, &path)?;
            }
            self.targets.insert(listener.name.clone(), Owner::Of(generation));
        }
        Ok(())
    }

    /// Puts back the paths that have been unlinked although somebody serves there.
    pub(super) fn restore(&self) {
        for listener in self.all.iter().filter(|listener| self.is_target(listener) && listener.fd.is_some()) {
            if let (Some(beside), Some(path)) = (&listener.beside, listener.name.path())
                && file_at(&path).is_none()
            {
                drop(unix_socket::link(beside, &path));
            }
        }
    }

    /// Keeps the listeners of `generation` for the next one, which is given them at its `bind`.
    pub(super) fn hold(&mut self, generation: Generation) -> Vec<io::Error> {
        let failed = self.secure(generation);
        let lasting = |l: &&mut PathListener| l.owner == Owner::Of(generation) && l.listens && !l.fleeting;
        for listener in self.all.iter_mut().filter(lasting) {
            listener.owner = Owner::Held;
            if self.targets.get(&listener.name) == Some(&Owner::Of(generation)) {
                self.targets.insert(listener.name.clone(), Owner::Held);
            }
        }
        failed
    }

    /// What was held is `generation`'s from now on.
    pub(super) fn hand_over(&mut self, name: &Name, generation: Generation) {
        for listener in self.all.iter_mut().filter(|l| l.owner == Owner::Held && l.name == *name) {
            listener.owner = Owner::Of(generation);
        }
        self.targets.insert(name.clone(), Owner::Of(generation));
    }

    /// Lets go of the sockets of `generation`, whose program closes them itself.
    pub(super) fn release(&mut self, generation: Generation) {
        for listener in self.all.iter_mut().filter(|l| l.owner == Owner::Of(generation)) {
            listener.fd = None;
        }
        self.watch = None;
    }

    /// Closes what is held of `owner`, and removes second names that nobody needs any more.
    pub(super) fn retire(&mut self, owner: impl Into<Owner>) {
        let owner = owner.into();
        self.close(|listener| listener.owner == owner);
    }

    /// Closes those with one of these inodes.
    pub(super) fn forget(&mut self, generation: Generation, inodes: &[u64]) {
        self.close(|listener| listener.owner == Owner::Of(generation) && inodes.contains(&listener.inode));
    }

    fn close(&mut self, which: impl Fn(&PathListener) -> bool) {
        let (gone, stay): (Vec<PathListener>, Vec<PathListener>) =
            std::mem::take(&mut self.all).into_iter().partition(which);
        self.all = stay;
        // What one that ends has unlinked last may not have been heard of yet.
        self.restore();
        for listener in gone {
            let others = self.all.iter().any(|other| other.name == listener.name);
            if !others {
                self.targets.remove(&listener.name);
            }
            let Some(beside) = listener.beside else { continue };
            // A program that removes the name that it knows means the path.
            let removed = listener.bound_beside && file_at(&beside).is_none();
            if let Some(path) = listener.name.path().filter(|_| removed && !others)
                && file_at(&path) == listener.file
            {
                drop(unix_socket::unlink(&path));
            }
            drop(unix_socket::unlink(&beside));
        }
        self.tidy();
    }

    /// Where only one generation is left, its program may do with its path what it wants.
    fn tidy(&mut self) {
        let names: Vec<Name> = self.all.iter().map(|listener| listener.name.clone()).collect();
        let alone = |name: &Name| names.iter().filter(|other| *other == name).count() < 2;
        for listener in self.all.iter_mut().filter(|l| l.owner != Owner::Held && !l.bound_beside && alone(&l.name)) {
            if let Some(beside) = listener.beside.take() {
                drop(unix_socket::unlink(&beside));
            }
        }
        if self.all.iter().all(|listener| listener.owner != Owner::Held && alone(&listener.name)) {
            self.watch = None;
        }
    }
}

fn watch(watch: &mut Option<Watch>, name: &Name) -> io::Result<()> {
    let Some(directory) = name.directory() else { return Ok(()) };
    let watch = match watch {
        Some(watch) => watch,
        None => watch.insert(Watch::new()?),
    };
    watch.add(directory)
}
