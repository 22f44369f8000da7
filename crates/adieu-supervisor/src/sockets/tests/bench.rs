//! What the tests of sockets share: the part, what it is lent, and programs whose sockets are the test's own.

use std::collections::HashSet;
use std::fs::Permissions;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use adieu_core::address::Endpoint;
use adieu_core::group::{Owner, SocketId};
use adieu_core::switch::Generation;
use adieu_linux::seccomp::{Call, CallKind};
use adieu_linux::{process, sockets, unix_socket};

use tempfile::TempDir;

use crate::options::Options;
use crate::sockets::answer::{Answer, Caller};
use crate::sockets::paths::Name;
use crate::sockets::{Inherited, Sockets};
use crate::testing::{Closing, Entry, FakeTable, World, options};
use crate::view::{Note, Out, Said};

pub(super) const ONE: Generation = Generation::new(1);
pub(super) const TWO: Generation = Generation::new(2);
pub(super) const THREE: Generation = Generation::new(3);

/// The part under test with what it is lent. Each generation of the world is a program whose only process is the test; which
/// sockets it still has is what the test says (`has`), as ours are in the same process.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) world: World,
    pub(super) table: FakeTable,
    pub(super) sockets: Sockets,
    pub(super) out: Out,
    /// Whether callers still wait.
    pub(super) waits: bool,
    _closing: Closing,
}

impl Bench {
    pub(super) fn new(world: World) -> Self {
        Self::with(world, Inherited::default())
    }

    pub(super) fn with(world: World, inherited: Inherited) -> Self {
        let sockets = Sockets::new(inherited, world.now);
        let (table, out, _closing) = (FakeTable::default(), Out::default(), Closing::new());
        let mut bench = Self { world, table, sockets, out, waits: true, _closing };
        let generations: Vec<_> = bench.world.view().switch.statuses().map(|status| status.generation).collect();
        generations.into_iter().for_each(|generation| bench.begin(generation));
        bench
    }

    /// A program is started.
    pub(super) fn begin(&mut self, generation: Generation) {
        let own = process::own_pid();
        let entry = Entry {
            members: vec![own],
            main: Some(own),
            started: self.world.now,
            inodes: Some(Some(HashSet::new())),
            ..Entry::default()
        };
        self.table.entries.insert(generation, entry);
        self.sockets.begin(generation, self.world.now);
    }

    pub(super) fn entry(&mut self, generation: Generation) -> &mut Entry {
        self.table.entries.get_mut(&generation).expect("it has begun")
    }

    /// The processes of `generation` have this socket.
    pub(super) fn has(&mut self, generation: Generation, socket: &impl AsFd) {
        let inode = inode(socket);
        self.entry(generation).inodes.get_or_insert_default().get_or_insert_default().insert(inode);
    }

    pub(super) fn later(&mut self, duration: Duration) {
        self.world.now = self.world.now + duration;
    }

    pub(super) fn decide(&mut self, generation: Generation, call: &Call) -> Answer {
        let waits = self.waits;
        let caller = Caller { generation, table: &self.table, still_waits: &|_| waits };
        self.sockets.decide(&self.world.view(), &caller, call, &mut self.out)
    }

    /// `bind` of a socket to an address of the Internet.
    pub(super) fn bind(&mut self, generation: Generation, socket: &impl AsFd, address: SocketAddr) -> Answer {
        self.bind_raw(generation, socket, &raw(address))
    }

    pub(super) fn bind_raw(&mut self, generation: Generation, socket: &impl AsFd, address: &[u8]) -> Answer {
        self.decide(generation, &address_call(CallKind::Bind, socket, address))
    }

    /// `bind` of a Unix socket to a path.
    pub(super) fn bind_path(&mut self, generation: Generation, socket: &impl AsFd, path: &Path) -> Answer {
        self.bind_raw(generation, socket, &raw_path(path.as_os_str().as_bytes()))
    }

    pub(super) fn listen(&mut self, generation: Generation, socket: &impl AsFd, backlog: i32) -> Answer {
        let call = call(CallKind::Listen, [number(socket), backlog as u64, 0, 0, 0, 0]);
        self.decide(generation, &call)
    }

    /// A program binds a socket of its own as the kernel lets it, and listens.
    pub(super) fn serve(&mut self, generation: Generation, address: SocketAddr) -> OwnedFd {
        let socket = socket_for(address);
        let answer = self.bind(generation, &socket, address);
        assert!(matches!(answer, Answer::Continue), "{answer:?}");
        sockets::bind(socket.as_fd(), address).expect("the address is free, or shared");
        let answer = self.listen(generation, &socket, 128);
        assert!(matches!(answer, Answer::Return(Ok(()))), "{answer:?}");
        self.has(generation, &socket);
        socket
    }

    /// A program binds a Unix socket to `path` as the kernel lets it, and is seen to listen.
    pub(super) fn serve_path(&mut self, generation: Generation, path: &Path) -> OwnedFd {
        let socket = unix_socket::stream().expect("a socket");
        match self.bind_path(generation, &socket, path) {
            Answer::Continue => unix_socket::bind(socket.as_fd(), path).expect("the path is free"),
            Answer::Return(Ok(())) => {}
            answer => panic!("{answer:?}"),
        }
        self.has(generation, &socket);
        self.listen_path(generation, &socket);
        socket
    }

    /// A bound Unix socket listens, and that is seen.
    pub(super) fn listen_path(&mut self, generation: Generation, socket: &OwnedFd) {
        let answer = self.listen(generation, socket, 16);
        assert!(matches!(answer, Answer::Continue), "{answer:?}");
        sockets::listen(socket.as_fd(), 16).expect("it is bound");
        let listening = self.sockets.advance_paths(&self.world.view(), &mut self.out);
        assert_eq!(listening, [generation], "it is seen to listen");
    }

    /// The id under which a socket of `generation` is kept.
    pub(super) fn kept(&self, owner: impl Into<Owner>, socket: &impl AsFd) -> Option<SocketId> {
        self.sockets.groups.find(owner, inode(socket))
    }

    /// Takes what has been said: the texts of notes, in order.
    pub(super) fn notes(&mut self) -> Vec<Note> {
        let note = |said| if let Said::Note(note) = said { Some(note) } else { None };
        std::mem::take(&mut self.out).into_said().into_iter().filter_map(note).collect()
    }

    /// The only thing that has been said, once per text.
    #[track_caller]
    pub(super) fn only_note(&mut self) -> String {
        match self.notes().as_slice() {
            [Note::Once(text) | Note::Plain(text)] => text.clone(),
            other => panic!("not one note: {other:?}"),
        }
    }
}

/// The options of a run, changed.
pub(super) fn options_with(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = options();
    change(&mut options);
    options
}

pub(super) fn call(kind: CallKind, args: [u64; 6]) -> Call {
    Call { id: 0, tid: own_thread(), kind, args }
}

pub(super) fn address_call(kind: CallKind, socket: &impl AsFd, address: &[u8]) -> Call {
    let at = address.as_ptr().expose_provenance() as u64;
    call(kind, [number(socket), at, address.len() as u64, 0, 0, 0])
}

/// `setsockopt` of an integer.
pub(super) fn option_call(socket: &impl AsFd, level: i32, name: i32, value: &i32) -> Call {
    let at = std::ptr::from_ref(value).expose_provenance() as u64;
    call(CallKind::SetOption, [number(socket), level as u64, name as u64, at, 4, 0])
}

pub(super) fn number(socket: &impl AsFd) -> u64 {
    socket.as_fd().as_raw_fd() as u64
}

/// The thread that makes the calls.
pub(super) fn own_thread() -> i32 {
    let link = std::fs::read_link("/proc/thread-self").expect("proc(5)");
    link.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("PID/task/TID")
}

pub(super) fn inode(socket: &impl AsFd) -> u64 {
    sockets::inode_and_owner(socket.as_fd()).expect("it is open").0
}

/// `struct sockaddr_in` or `sockaddr_in6`.
pub(super) fn raw(address: SocketAddr) -> Vec<u8> {
    let family = sockets::family_for(address) as u16;
    let mut bytes = [family.to_ne_bytes(), address.port().to_be_bytes()].concat();
    match address {
        SocketAddr::V4(v4) => {
            bytes.extend(v4.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            bytes.extend(v6.flowinfo().to_be_bytes());
            bytes.extend(v6.ip().octets());
            bytes.extend(v6.scope_id().to_ne_bytes());
        }
    }
    bytes
}

/// `struct sockaddr_un`: a path, or a name that begins with NUL.
pub(super) fn raw_path(name: &[u8]) -> Vec<u8> {
    let mut bytes = 1u16.to_ne_bytes().to_vec();
    bytes.extend(name);
    if name.first() != Some(&0) {
        bytes.push(0);
    }
    bytes
}

/// A socket as a server opens one: it may be bound although an earlier one of the same address has connections left.
pub(super) fn socket_for(address: SocketAddr) -> OwnedFd {
    let socket = sockets::tcp_socket(sockets::family_for(address)).expect("a socket");
    sockets::reuse_address(socket.as_fd()).expect("a TCP socket");
    socket
}

/// An address of the loopback that no other test has, with a port that is free there.
pub(super) fn free_address() -> SocketAddr {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let [.., high, low] = process::own_pid().number().to_be_bytes();
    let test = LAST.fetch_add(1, Ordering::Relaxed) as u8;
    let ip = Ipv4Addr::new(127, high ^ 0x40, low, test);
    free_port(SocketAddr::from((ip, 0)))
}

/// A free port of the wildcard address.
pub(super) fn free_everywhere() -> SocketAddr {
    free_port(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
}

/// A free port of the loopback address of IPv6.
pub(super) fn free_v6() -> SocketAddr {
    free_port(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)))
}

fn free_port(address: SocketAddr) -> SocketAddr {
    TcpListener::bind(address).and_then(|listener| listener.local_addr()).expect("a free port")
}

pub(super) fn at(address: SocketAddr) -> Endpoint {
    // Bound to one address of IPv6, a socket is for IPv6 only, whatever was asked for.
    let v6_only = address.is_ipv6() && !address.ip().is_unspecified();
    Endpoint { address, v6_only, interface: 0 }
}

/// Whether other sockets may be bound to the same address.
pub(super) fn is_shared(socket: &impl AsFd) -> bool {
    const SOL_SOCKET: i32 = 1;
    const SO_REUSEPORT: i32 = 15;
    sockets::option(socket.as_fd(), SOL_SOCKET, SO_REUSEPORT).expect("an option of every socket") != 0
}

/// How many connections wait in the queue of a listener.
pub(super) fn queue(socket: &impl AsFd) -> u32 {
    sockets::accept_queue(socket.as_fd()).expect("it listens")
}

/// A new directory as servers have one for their sockets: others may enter it, so its names are not taken for somebody's own.
pub(super) fn directory() -> TempDir {
    directory_for(0o755)
}

pub(super) fn directory_for(mode: u32) -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempdir().expect("a new directory")
}

/// An abstract name, with its leading NUL, that nobody else has and that has no number in it.
pub(super) fn abstract_name() -> Vec<u8> {
    let unique = inode(&unix_socket::stream().expect("a socket"));
    let letters = unique.to_string().bytes().map(|digit| digit - b'0' + b'a').collect::<Vec<_>>();
    [b"\0adieu-".as_slice(), &letters].concat()
}

pub(super) fn name(path: &Path) -> Name {
    let bytes = path.as_os_str().as_bytes();
    Name::resolve(process::own_pid(), bytes).expect("its directory is there")
}
