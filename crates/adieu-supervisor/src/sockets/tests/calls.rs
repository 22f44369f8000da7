//! Calls of a watched thread of the test, from the notification to the answer: the kernel takes part.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use adieu_core::group::Owner;
use adieu_core::switch::Generation;
use adieu_linux::poll::poll;
use adieu_linux::seccomp::{Watch, watch_self};
use adieu_linux::{errno, process, sockets, unix_socket};

use super::bench::{
    Bench, ONE, TWO, at, directory, free_address, free_everywhere, inode, is_shared, name, number, queue, socket_for,
};
use crate::interests::{Interests, Source};
use crate::testing::World;

/// A thread whose calls the part answers.
struct Program<T> {
    generation: Generation,
    thread: JoinHandle<T>,
}

/// What became of the next call.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Answered {
        may_be_ready: bool,
    },
    /// The thread has ended.
    Ended,
}

impl<T: Send + 'static> Program<T> {
    fn start(bench: &mut Bench, generation: Generation, job: impl FnOnce() -> T + Send + 'static) -> Self {
        let (send, receive) = mpsc::channel();
        let thread = thread::spawn(move || {
            let watch = Watch { options: true, connects: true };
            let (notifications, _) = watch_self(watch).expect("seccomp(2) with a listener");
            send.send(notifications).expect("the test waits");
            job()
        });
        bench.sockets.watch(generation, Some(receive.recv().expect("the filter is on")));
        Self { generation, thread }
    }

    fn turn(&self, bench: &mut Bench) -> Turn {
        let mut interests = Interests::default();
        bench.sockets.interests(&mut interests);
        let descriptors = interests.descriptors().to_vec();
        let at = interests.into_sources().iter().position(|source| *source == Source::Call(self.generation));
        let ready = poll(&[descriptors[at.expect("it is watched")]], None).expect("poll")[0];
        if !ready.readable {
            return Turn::Ended;
        }
        let view = bench.world.view();
        let may_be_ready = bench.sockets.on_call(&view, &bench.table, self.generation, &mut bench.out);
        Turn::Answered { may_be_ready }
    }

    /// Answers until the thread has ended; what it says.
    fn end(self, bench: &mut Bench) -> T {
        while self.turn(bench) != Turn::Ended {}
        self.thread.join().expect("the program has succeeded")
    }
}

/// What servers do. Their listener and what `listen` has returned.
fn serve(address: SocketAddr) -> (OwnedFd, io::Result<()>) {
    let socket = socket_for(address);
    sockets::bind(socket.as_fd(), address).expect("the address is free, or shared");
    let listens = sockets::listen(socket.as_fd(), 128);
    (socket, listens)
}

fn serve_path(path: &Path) -> OwnedFd {
    let socket = unix_socket::stream().expect("a socket");
    unix_socket::bind(socket.as_fd(), path).expect("the path is free, or shared");
    sockets::listen(socket.as_fd(), 128).expect("it is bound");
    socket
}

#[test]
fn a_server_is_watched_until_it_listens() {
    let mut bench = Bench::new(World::starting());
    let address = free_address();
    let program = Program::start(&mut bench, ONE, move || serve(address));
    assert!(bench.sockets.is_watch_decided(ONE));
    // SO_REUSEADDR, bind, listen.
    for may_be_ready in [false, false, true] {
        assert_eq!(program.turn(&mut bench), Turn::Answered { may_be_ready });
    }
    let (socket, listens) = program.end(&mut bench);
    listens.expect("it was done in its place");
    assert_eq!(bench.sockets.endpoints(ONE), [at(address)]);
    assert_eq!(bench.kept(ONE, &socket).map(|_| ()), Some(()), "its own");
    let _client = TcpStream::connect(address).expect("it listens");
    assert_eq!(queue(&socket), 1);
    bench.sockets.unwatch(ONE);
    assert!(!bench.sockets.is_watch_decided(ONE));
    assert!(!bench.sockets.on_call(&bench.world.view(), &bench.table, ONE, &mut bench.out), "nobody calls");
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_program_gets_what_is_held() {
    let mut bench = Bench::new(World::serving());
    let address = free_address();
    let first = bench.serve(ONE, address);
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    bench.begin(TWO);
    let _client = TcpStream::connect(address).expect("clients wait");
    let program = Program::start(&mut bench, TWO, move || serve(address));
    let (socket, listens) = program.end(&mut bench);
    listens.expect("it listens already");
    assert_eq!((inode(&socket), queue(&socket)), (inode(&first), 1));
    let id = bench.kept(TWO, &socket).expect("it is handed over");
    let kept = bench.sockets.groups.get(id).expect("it is kept");
    let holder = kept.holder.as_ref().map(|holder| (holder.process, holder.fd as u64));
    assert_eq!(holder, Some((process::own_pid(), number(&socket))));
    assert!(!bench.sockets.holds_something());
    assert!(bench.sockets.groups.is_target(&at(address), TWO));
}

#[test]
fn a_program_gets_one_of_ours_where_its_own_is_out_of_reach() {
    let mut bench = Bench::new(World::reloading());
    let address = free_address();
    let _first = bench.serve(ONE, address);
    bench.table.refuses_duplicates = true;
    let program = Program::start(&mut bench, TWO, move || serve(address));
    let (socket, listens) = program.end(&mut bench);
    listens.expect("it was done in its place");
    assert!(is_shared(&socket));
    let id = bench.kept(TWO, &socket).expect("it is kept");
    let kept = bench.sockets.groups.get(id).expect("it is kept");
    assert_eq!((kept.bound, kept.endpoint), (Some(address), Some(at(address))));
    assert!(kept.holder.is_some());
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_listen_that_waits_is_answered_at_the_switch() {
    let mut bench = Bench::new(World::reloading());
    let wide = free_everywhere();
    let narrow = SocketAddr::new(free_address().ip(), wide.port());
    let _first = bench.serve(ONE, wide);
    let program = Program::start(&mut bench, TWO, move || serve(narrow));
    for may_be_ready in [false, false, true] {
        assert_eq!(program.turn(&mut bench), Turn::Answered { may_be_ready });
    }
    assert!(bench.sockets.waits_to_listen(TWO));
    assert_eq!(bench.sockets.endpoints(TWO), []);
    bench.sockets.switch_to(&bench.world.view(), TWO, &mut bench.out).expect("it listens");
    assert!(!bench.sockets.waits_to_listen(TWO));
    let (socket, listens) = program.end(&mut bench);
    listens.expect("it was done in its place");
    assert_eq!(bench.sockets.endpoints(TWO), [at(narrow)]);
    let _client = TcpStream::connect(narrow).expect("it listens");
    assert_eq!(queue(&socket), 1);
}

#[test]
fn a_listen_that_waits_is_refused_at_the_stop() {
    let mut bench = Bench::new(World::reloading());
    let wide = free_everywhere();
    let narrow = SocketAddr::new(free_address().ip(), wide.port());
    let _first = bench.serve(ONE, wide);
    let program = Program::start(&mut bench, TWO, move || serve(narrow));
    while !bench.sockets.waits_to_listen(TWO) {
        assert_ne!(program.turn(&mut bench), Turn::Ended);
    }
    bench.sockets.refuse_waiting_listens(ONE);
    assert!(bench.sockets.waits_to_listen(TWO), "that was another one's");
    bench.sockets.refuse_waiting_listens(TWO);
    assert!(!bench.sockets.waits_to_listen(TWO));
    let (_socket, listens) = program.end(&mut bench);
    assert_eq!(listens.map_err(|error| error.raw_os_error()), Err(Some(errno::EADDRINUSE)));
}

#[test]
fn a_path_is_bound_beside_in_the_programs_place() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let _first = bench.serve_path(ONE, &path);
    let there = path.clone();
    let program = Program::start(&mut bench, TWO, move || serve_path(&there));
    let socket = program.end(&mut bench);
    let found = bench.sockets.advance(&bench.world.view(), &bench.table, &mut bench.out);
    assert_eq!(found.may_be_ready, [TWO]);
    assert_eq!(bench.sockets.paths.names(TWO), [name(&path)]);
    assert_eq!(bench.sockets.paths.of(TWO).map(|listener| listener.inode).collect::<Vec<_>>(), [inode(&socket)]);
}

#[test]
fn a_path_out_of_reach_is_replaced_and_bound() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let path = directory.path().join("app.sock");
    bench.table.refuses_duplicates = true;
    let there = path.clone();
    let program = Program::start(&mut bench, ONE, move || serve_path(&there));
    let socket = program.end(&mut bench);
    bench.has(ONE, &socket);
    let found = bench.sockets.advance(&bench.world.view(), &bench.table, &mut bench.out);
    assert_eq!(found.may_be_ready, [ONE]);
    assert_eq!(bench.sockets.paths.of(ONE).map(|listener| listener.inode).collect::<Vec<_>>(), [inode(&socket)]);
    let _client = UnixStream::connect(&path).expect("it listens");
    assert!(bench.sockets.path_statuses(ONE)[0].waited_for);
}

#[test]
fn a_held_path_is_put_in_place() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let first = bench.serve_path(ONE, &path);
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    bench.begin(TWO);
    let there = path.clone();
    let program = Program::start(&mut bench, TWO, move || serve_path(&there));
    let socket = program.end(&mut bench);
    assert_eq!(inode(&socket), inode(&first));
    assert_eq!(bench.sockets.paths.names(TWO), [name(&path)]);
    assert!(!bench.sockets.holds_something());
}

#[test]
fn a_program_that_starts_does_not_find_the_one_before() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let _first = bench.serve_path(ONE, &path);
    let there = path.clone();
    let program = Program::start(&mut bench, TWO, move || UnixStream::connect(&there).map_err(|error| error.kind()));
    let found = program.end(&mut bench);
    assert_eq!(found.map(|_| ()), Err(io::ErrorKind::ConnectionRefused));
    assert_eq!(bench.sockets.paths.of(Owner::Held).count(), 0);
}
