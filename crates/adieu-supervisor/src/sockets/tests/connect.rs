//! `connect` to a Unix socket: a program that starts shall not find the one before it.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use adieu_core::switch::Generation;
use adieu_linux::errno;
use adieu_linux::seccomp::CallKind;
use adieu_linux::unix_socket;

use super::bench::{Bench, ONE, TWO, address_call, directory, name, raw, raw_path};
use crate::sockets::answer::Answer;
use crate::testing::World;

fn connect(bench: &mut Bench, generation: Generation, path: &Path) -> Result<(), i32> {
    let socket = unix_socket::stream().expect("a socket");
    let bytes = raw_path(path.as_os_str().as_bytes());
    match bench.decide(generation, &address_call(CallKind::Connect, &socket, &bytes)) {
        Answer::Continue => Ok(()),
        Answer::Return(Err(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_generation_before_is_not_found() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let _first = bench.serve_path(ONE, &path);
    assert_eq!(connect(&mut bench, TWO, &path), Err(errno::ECONNREFUSED));
    assert_eq!(connect(&mut bench, TWO, &directory.path().join("other.sock")), Ok(()));
    assert_eq!(connect(&mut bench, ONE, &path), Ok(()), "only who starts is not to find it");
}

#[test]
fn what_is_held_is_not_found() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let _first = bench.serve_path(ONE, &path);
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    assert!(bench.sockets.paths.held_at(&name(&path)).is_some());
    assert_eq!(connect(&mut bench, TWO, &path), Err(errno::ECONNREFUSED));
}

#[test]
fn a_program_finds_itself() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let _first = bench.serve_path(ONE, &path);
    let _second = bench.serve_path(TWO, &path);
    assert_eq!(connect(&mut bench, TWO, &path), Ok(()));
}

#[test]
fn what_cannot_be_read_goes_on() {
    let mut bench = Bench::new(World::reloading());
    let directory = directory();
    let path = directory.path().join("app.sock");
    let _first = bench.serve_path(ONE, &path);
    let socket = unix_socket::stream().expect("a socket");
    let internet = raw(SocketAddr::from(([127, 0, 0, 1], 80)));
    let answer = bench.decide(TWO, &address_call(CallKind::Connect, &socket, &internet));
    assert!(matches!(answer, Answer::Continue), "{answer:?}");
    let bytes = raw_path(path.as_os_str().as_bytes());
    let mut of_nobody = address_call(CallKind::Connect, &socket, &bytes);
    of_nobody.tid = i32::MAX;
    assert!(matches!(bench.decide(TWO, &of_nobody), Answer::Continue));
    bench.table.refuses_memory = true;
    assert_eq!(connect(&mut bench, TWO, &path), Ok(()));
    assert_eq!(bench.notes(), []);
}
