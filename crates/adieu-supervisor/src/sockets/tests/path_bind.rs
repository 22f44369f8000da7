//! `bind` of a Unix socket: to its path, beside it, or given what is held or shared.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use adieu_core::group::Owner;
use adieu_linux::{process, sockets, unix_socket};

use super::bench::{Bench, ONE, TWO, abstract_name, directory, directory_for, inode, name, number, raw_path};
use crate::sockets::answer::{Answer, Ours, Replacement, Then};
use crate::sockets::paths::Name;
use crate::testing::World;

fn stream() -> OwnedFd {
    unix_socket::stream().expect("a socket")
}

#[test]
fn a_path_of_nobody_is_bound_by_the_kernel_and_kept() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let socket = stream();
    assert!(matches!(bench.bind_path(ONE, &socket, &path), Answer::Continue));
    assert!(!path.exists(), "that is the kernel's to do");
    let kept: Vec<_> = bench.sockets.paths.of(ONE).collect();
    assert_eq!((kept[0].inode, &kept[0].name, kept[0].listens), (inode(&socket), &name(&path), false));
    assert_eq!(bench.sockets.paths.names(ONE), [], "it does not listen yet");
    unix_socket::bind(socket.as_fd(), &path).expect("the path is free");
    bench.listen_path(ONE, &socket);
    assert_eq!(bench.sockets.paths.names(ONE), [name(&path)]);
    assert_eq!(bench.sockets.paths.lasting_names(ONE), [name(&path)]);
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_path_where_another_one_listens_is_bound_beside_it() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let _first = bench.serve_path(ONE, &path);
    let socket = stream();
    let answer = bench.bind_path(TWO, &socket, &path);
    assert!(matches!(answer, Answer::Return(Ok(()))), "it is bound: {answer:?}");
    let beside = directory.path().join(".app.sock.2");
    assert!(beside.exists());
    bench.listen_path(TWO, &socket);
    let _client = std::os::unix::net::UnixStream::connect(&beside).expect("it listens there");
    assert!(unix_socket::is_waited_for(socket.as_fd()));
    assert_eq!(bench.sockets.paths.names(TWO), [name(&path)], "the program knows no other name");
}

#[test]
fn a_path_whose_directory_takes_no_second_name_is_left_to_the_kernel() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let long = directory.path().join("x".repeat(unix_socket::LONGEST_PATH - directory.path().as_os_str().len() - 1));
    let _first = bench.serve_path(ONE, &long);
    let socket = stream();
    assert!(matches!(bench.bind_path(TWO, &socket, &long), Answer::Continue));
    let note = bench.only_note();
    assert!(note.starts_with("generation 2 cannot be bound beside unix:"), "{note}");
    assert_eq!(bench.sockets.paths.of(TWO).count(), 0);
}

#[test]
fn a_held_path_is_given() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let first = bench.serve_path(ONE, &path);
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    let socket = stream();
    let answer = bench.bind_path(TWO, &socket, &path);
    let Answer::ReplaceAndReturn(Replacement { with: Ours::New(given), process, fd, close_on_exec, then }) = answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(inode(&given), inode(&first));
    assert_eq!((process, fd as u64, close_on_exec), (process::own_pid(), number(&socket), true));
    let Then::GivePath(there) = then else { panic!("{then:?}") };
    assert_eq!(there, name(&path));
    // The program has it.
    std::fs::remove_file(&path).expect("a program unlinks before it binds");
    bench.sockets.path_given(TWO, there, given, &mut bench.out);
    assert_eq!(bench.sockets.paths.of(Owner::Held).count(), 0);
    assert_eq!(bench.sockets.paths.names(TWO), [name(&path)]);
    assert!(path.exists(), "the file is put back");
    assert_eq!(bench.notes(), []);
}

#[test]
fn an_abstract_name_is_shared() {
    let mut bench = Bench::new(World::reloading());
    let bytes = abstract_name();
    let (first, second) = (stream(), stream());
    assert!(matches!(bench.bind_raw(ONE, &first, &raw_path(&bytes)), Answer::Continue));
    unix_socket::bind(first.as_fd(), Path::new(std::ffi::OsStr::from_bytes(&bytes))).expect("the name is free");
    bench.listen_path(ONE, &first);
    let answer = bench.bind_raw(TWO, &second, &raw_path(&bytes));
    let Answer::ReplaceAndReturn(Replacement { with: Ours::New(given), then: Then::GivePath(there), .. }) = answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(inode(&given), inode(&first));
    bench.sockets.path_given(TWO, there.clone(), given, &mut bench.out);
    let note = bench.only_note();
    assert!(note.starts_with("unix:@adieu-") && note.contains("has no file: generations share it"), "{note}");
    assert_eq!((bench.sockets.paths.names(ONE), bench.sockets.paths.names(TWO)), (vec![there.clone()], vec![there]));
}

#[test]
fn a_name_of_the_programs_own_is_fleeting() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let own = directory.path().join(format!("app.{}.sock", process::own_pid()));
    let private = directory_for(0o700);
    let inside = private.path().join("app.sock");
    // However long the test takes: the directory is younger than its program.
    bench.later(Duration::from_secs(3600));
    let _sockets = [bench.serve_path(ONE, &own), bench.serve_path(ONE, &inside)];
    let mut both = vec![name(&own), name(&inside)];
    both.sort();
    assert_eq!(bench.sockets.paths.names(ONE), both);
    assert_eq!(bench.sockets.paths.lasting_names(ONE), []);
}

#[test]
fn a_socket_out_of_reach_is_replaced() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let first = stream();
    bench.table.refuses_duplicates = true;
    let answer = bench.bind_path(ONE, &first, &path);
    let Answer::Replace(Replacement { with: Ours::New(ours), fd, then, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(fd as u64, number(&first));
    assert!(!sockets::is_nonblocking(ours.as_fd()), "as the program's own");
    let Then::KeepPath { name: there, beside: None, fleeting: false } = then else { panic!("{then:?}") };
    assert_eq!(there, name(&path));
    assert_eq!(bench.sockets.paths.of(ONE).count(), 0, "it is kept once the program has it");
    bench.table.refuses_duplicates = false;
    let _first = bench.serve_path(ONE, &path);
    bench.table.refuses_duplicates = true;
    let second = stream();
    let answer = bench.bind_path(TWO, &second, &path);
    let Answer::ReplaceAndReturn(Replacement { then: Then::KeepPath { beside, .. }, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(beside, Some(directory.path().join(".app.sock.2")));
}

#[test]
fn a_socket_out_of_reach_that_is_no_stream_or_is_polled_is_left_alone() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let path = directory.path().join("app.sock");
    bench.table.refuses_duplicates = true;
    let datagram = UnixDatagram::unbound().expect("a socket");
    assert!(matches!(bench.bind_path(ONE, &datagram, &path), Answer::Continue));
    let polled = stream();
    bench.table.polled.insert(number(&polled) as i32);
    assert!(matches!(bench.bind_path(ONE, &polled, &path), Answer::Continue));
    let file = File::open("/dev/null").expect("it is there");
    assert!(matches!(bench.bind_path(ONE, &file, &path), Answer::Continue));
    assert_eq!(bench.sockets.paths.of(ONE).count(), 0);
}

#[test]
fn what_never_listens_or_has_no_name_is_not_kept() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let datagram = UnixDatagram::unbound().expect("a socket");
    assert!(matches!(bench.bind_path(ONE, &datagram, &directory.path().join("log")), Answer::Continue));
    // The kernel chooses an abstract name.
    assert!(matches!(bench.bind_raw(ONE, &stream(), &1u16.to_ne_bytes()), Answer::Continue));
    assert!(matches!(bench.bind_path(ONE, &stream(), &directory.path().join("none/app.sock")), Answer::Continue));
    bench.waits = false;
    assert!(matches!(bench.bind_path(ONE, &stream(), &directory.path().join("app.sock")), Answer::Continue));
    assert_eq!(bench.sockets.paths.of(ONE).count(), 0);
    assert_eq!(bench.notes(), []);
}

#[test]
fn a_path_that_the_program_has_let_go_is_its_own_again() {
    let mut bench = Bench::new(World::serving());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let first = bench.serve_path(ONE, &path);
    bench.entry(ONE).inodes = Some(Some([].into()));
    drop(first);
    std::fs::remove_file(&path).expect("a program unlinks before it binds");
    let second = bench.serve_path(ONE, &path);
    let kept: Vec<_> = bench.sockets.paths.of(ONE).map(|listener| listener.inode).collect();
    assert_eq!(kept, [inode(&second)]);
    assert_eq!(
        name(&path),
        Name::Path { directory: directory.path().canonicalize().expect("it is there"), base: "app.sock".into() }
    );
}
