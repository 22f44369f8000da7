//! The files of Unix sockets: second names, the switch, what is put back and what is removed.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use adieu_core::group::Owner;
use adieu_core::switch::Generation;
use adieu_linux::process::own_pid;
use adieu_linux::unix_socket;
use tempfile::TempDir;

use super::bench::{Bench, ONE, THREE, TWO, abstract_name, directory, name, raw_path};
use crate::testing::World;

/// Two generations in one directory.
fn bench() -> (Bench, TempDir, PathBuf) {
    let directory = directory();
    let path = directory.path().join("app.sock");
    (Bench::new(World::reloading()), directory, path)
}

fn number(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|meta| meta.ino())
}

fn listing(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).expect("it is there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("it is there").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Whether who connects there is let in by this generation.
fn reaches(bench: &Bench, path: &Path, generation: Generation) -> bool {
    let before = bench.sockets.paths.is_waited_for(generation);
    let _client = UnixStream::connect(path).expect("somebody listens");
    !before && bench.sockets.paths.is_waited_for(generation)
}

#[test]
fn a_second_name_is_another_link_to_the_same_socket() {
    let (mut bench, directory, path) = bench();
    let _first = bench.serve_path(ONE, &path);
    assert!(bench.sockets.paths.secure(ONE).is_empty());
    assert_eq!(listing(&directory), [".app.sock.1", "app.sock"]);
    assert_eq!(number(&directory.path().join(".app.sock.1")), number(&path));
    assert!(bench.sockets.paths.watch.is_some());
    assert!(bench.sockets.paths.secure(ONE).is_empty(), "once more changes nothing");
}

#[test]
fn what_an_earlier_supervisor_has_left_is_replaced() {
    let (mut bench, directory, path) = bench();
    fs::write(directory.path().join(".app.sock.1"), "").expect("a new file");
    fs::write(directory.path().join(".app.sock.2"), "").expect("a new file");
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    assert!(bench.sockets.paths.secure(ONE).is_empty());
    assert_eq!(number(&directory.path().join(".app.sock.1")), number(&path));
    assert!(reaches(&bench, &directory.path().join(".app.sock.2"), TWO));
}

#[test]
fn a_second_name_that_cannot_be_given_is_an_error() {
    let directory = directory();
    let path = directory.path().join("app.sock");
    let mut bench = Bench::new(World::serving());
    let _first = bench.serve_path(ONE, &path);
    // Nothing can be linked over a directory.
    fs::create_dir(directory.path().join(".app.sock.1")).expect("a new directory");
    bench.sockets.secure_paths(&bench.world.view(), &mut bench.out);
    assert!(bench.only_note().starts_with("generation 1: its Unix sockets cannot be given second names: "));
    bench.sockets.keep_listeners(ONE, &mut bench.out);
    assert!(bench.only_note().starts_with("generation 1: its Unix sockets cannot be given second names: "));
}

#[test]
fn a_path_that_somebody_else_has_bound_since_is_not_ours() {
    let (mut bench, directory, path) = bench();
    let _first = bench.serve_path(ONE, &path);
    fs::remove_file(&path).expect("it is there");
    let _other = UnixListener::bind(&path).expect("the path is free");
    assert!(bench.sockets.paths.secure(ONE).is_empty());
    assert_eq!(listing(&directory), ["app.sock"]);
    assert_eq!(bench.sockets.paths.lasting_names(ONE), []);
}

#[test]
fn the_switch_puts_a_socket_in_the_place_of_the_path() {
    let (mut bench, directory, path) = bench();
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o642)).expect("it is ours");
    bench.sockets.paths.secure(ONE);
    assert!(reaches(&bench, &path, ONE));
    bench.sockets.paths.publish(TWO).expect("rename");
    assert!(reaches(&bench, &path, TWO));
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, 0o642, "as the one before it");
    assert_eq!(listing(&directory), [".app.sock.1", ".app.sock.2", "app.sock"]);
    let target = |bench: &Bench, of| bench.sockets.paths.of(of).all(|listener| bench.sockets.paths.is_target(listener));
    assert!(!target(&bench, ONE) && target(&bench, TWO));
    let before = number(&path);
    bench.sockets.paths.publish(TWO).expect("it is there already");
    assert_eq!(number(&path), before);
    bench.sockets.paths.publish(ONE).expect("rename");
    assert_eq!(number(&path), number(&directory.path().join(".app.sock.1")));
}

#[test]
fn a_socket_beside_is_as_open_as_the_program_would_have_made_it() {
    let (mut bench, directory, path) = bench();
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o7777;
    assert_eq!(mode(&directory.path().join(".app.sock.2")), mode(&path), "both by the umask of this process");
}

#[test]
fn a_path_that_is_unlinked_is_put_back() {
    let (mut bench, _directory, path) = bench();
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    bench.sockets.paths.secure(ONE);
    fs::remove_file(&path).expect("it is there");
    assert!(!path.exists());
    let _found = bench.sockets.advance(&bench.world.view(), &bench.table, &mut bench.out);
    assert!(reaches(&bench, &path, ONE), "whose it was");
    fs::remove_file(&path).expect("it is there");
    bench.sockets.paths.publish(TWO).expect("rename");
    fs::remove_file(&path).expect("it is there");
    bench.sockets.paths.restore();
    assert!(reaches(&bench, &path, TWO));
}

#[test]
fn a_path_of_one_that_was_released_is_not_put_back() {
    let (mut bench, _directory, path) = bench();
    let _first = bench.serve_path(ONE, &path);
    bench.sockets.paths.secure(ONE);
    bench.sockets.paths.release(ONE);
    assert!(bench.sockets.paths.watch.is_none());
    fs::remove_file(&path).expect("it is there");
    bench.sockets.paths.restore();
    assert!(!path.exists());
}

#[test]
fn the_second_name_of_one_that_is_gone_is_removed() {
    let (mut bench, directory, path) = bench();
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    bench.sockets.paths.secure(ONE);
    bench.sockets.paths.publish(TWO).expect("rename");
    bench.sockets.paths.retire(ONE);
    assert_eq!(listing(&directory), [".app.sock.2", "app.sock"], "it was bound to that, and may unlink it");
    assert!(reaches(&bench, &path, TWO));
    assert!(bench.sockets.paths.watch.is_none(), "only one is left");
    bench.sockets.paths.retire(TWO);
    assert_eq!(listing(&directory), ["app.sock"], "a program that leaves its path leaves it");
}

#[test]
fn second_names_stay_while_two_generations_are_there() {
    let (mut bench, directory, path) = bench();
    let other = directory.path().join("other.sock");
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    bench.begin(THREE);
    let _third = bench.serve_path(THREE, &other);
    bench.sockets.paths.secure(ONE);
    bench.sockets.paths.retire(THREE);
    assert_eq!(listing(&directory), [".app.sock.1", ".app.sock.2", "app.sock", "other.sock"]);
    assert!(bench.sockets.paths.watch.is_some());
}

#[test]
fn a_program_that_removes_the_name_that_it_knows_means_the_path() {
    let (mut bench, directory, path) = bench();
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    bench.sockets.paths.publish(TWO).expect("rename");
    bench.sockets.paths.retire(ONE);
    let _other = bench.serve_path(ONE, &directory.path().join("other.sock"));
    fs::remove_file(directory.path().join(".app.sock.2")).expect("it is there");
    bench.sockets.paths.retire(TWO);
    assert_eq!(listing(&directory), ["other.sock"]);
}

#[test]
fn a_path_that_is_another_ones_now_is_not_removed() {
    let (mut bench, directory, path) = bench();
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    bench.sockets.paths.publish(TWO).expect("rename");
    bench.sockets.paths.retire(ONE);
    fs::remove_file(directory.path().join(".app.sock.2")).expect("it is there");
    fs::remove_file(&path).expect("it is there");
    let _other = UnixListener::bind(&path).expect("the path is free");
    bench.sockets.paths.retire(TWO);
    assert_eq!(listing(&directory), ["app.sock"]);
}

#[test]
fn a_failed_newcomer_leaves_the_path_as_it_was() {
    let (mut bench, directory, path) = bench();
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &path));
    bench.sockets.paths.secure(ONE);
    fs::remove_file(directory.path().join(".app.sock.2")).expect("it is there");
    bench.sockets.paths.retire(TWO);
    assert_eq!(listing(&directory), ["app.sock"], "its program may do with it what it wants");
    assert!(reaches(&bench, &path, ONE));
    assert!(bench.sockets.paths.watch.is_none());
}

#[test]
fn what_is_held_keeps_its_second_name() {
    let (mut bench, directory, path) = bench();
    let other = directory.path().join("other.sock");
    let (_first, _second) = (bench.serve_path(ONE, &path), bench.serve_path(TWO, &other));
    assert!(bench.sockets.paths.hold(ONE).is_empty());
    assert!(bench.sockets.paths.of(Owner::Held).all(|listener| bench.sockets.paths.is_target(listener)));
    bench.sockets.paths.retire(TWO);
    assert_eq!(listing(&directory), [".app.sock.1", "app.sock", "other.sock"]);
    fs::remove_file(&path).expect("it is there");
    let _found = bench.sockets.advance(&bench.world.view(), &bench.table, &mut bench.out);
    assert!(path.exists(), "it is watched");
    bench.sockets.paths.hand_over(&name(&path), TWO);
    assert!(bench.sockets.paths.held_at(&name(&path)).is_none());
    assert!(bench.sockets.paths.of(TWO).all(|listener| bench.sockets.paths.is_target(listener)));
}

#[test]
fn each_held_path_is_handed_over_by_its_name() {
    let (mut bench, directory, path) = bench();
    let other = directory.path().join("other.sock");
    let _first = [bench.serve_path(ONE, &path), bench.serve_path(ONE, &other)];
    assert!(bench.sockets.paths.hold(ONE).is_empty());
    bench.sockets.paths.hand_over(&name(&path), TWO);
    assert_eq!(bench.sockets.paths.names(TWO), [name(&path)]);
    assert_eq!(bench.sockets.paths.names(Owner::Held), [name(&other)]);
}

#[test]
fn whoever_binds_a_path_after_all_are_gone_is_the_target() {
    let (mut bench, _directory, path) = bench();
    let first = bench.serve_path(ONE, &path);
    bench.sockets.paths.retire(ONE);
    drop(first);
    fs::remove_file(&path).expect("a program unlinks before it binds");
    let _second = bench.serve_path(TWO, &path);
    assert!(bench.sockets.path_statuses(TWO)[0].target);
}

#[test]
fn what_is_fleeting_is_neither_secured_nor_held() {
    let (mut bench, directory, _) = bench();
    let own = directory.path().join(format!("app.{}.sock", own_pid()));
    let _first = bench.serve_path(ONE, &own);
    assert!(bench.sockets.paths.hold(ONE).is_empty());
    assert_eq!(bench.sockets.paths.of(Owner::Held).count(), 0);
    assert_eq!(listing(&directory).len(), 1);
}

#[test]
fn a_socket_that_was_renamed_before_it_listens_takes_its_place_by_itself() {
    let (mut bench, directory, path) = bench();
    let temporary = directory.path().join("app.sock.tmp");
    let socket = unix_socket::stream().expect("a socket");
    bench.bind_path(ONE, &socket, &temporary);
    unix_socket::bind(socket.as_fd(), &temporary).expect("the path is free");
    fs::rename(&temporary, &path).expect("it is there");
    bench.listen_path(ONE, &socket);
    assert_eq!((bench.sockets.paths.names(ONE).len(), bench.sockets.paths.lasting_names(ONE)), (1, Vec::new()));
}

#[test]
fn a_listen_is_waited_for_with_patience() {
    let (mut bench, _directory, path) = bench();
    let socket = unix_socket::stream().expect("a socket");
    bench.bind_path(ONE, &socket, &path);
    unix_socket::bind(socket.as_fd(), &path).expect("the path is free");
    assert!(!bench.sockets.paths.is_awaiting());
    bench.listen(ONE, &socket, 16);
    assert!(bench.sockets.paths.is_awaiting());
    bench.later(Duration::from_millis(500));
    bench.listen(ONE, &socket, 16);
    bench.later(Duration::from_millis(499));
    assert_eq!(bench.sockets.paths.look(bench.world.now), []);
    assert!(bench.sockets.paths.is_awaiting());
    bench.later(Duration::from_millis(1));
    assert_eq!(bench.sockets.paths.look(bench.world.now), []);
    assert!(!bench.sockets.paths.is_awaiting(), "it has failed, a second after the first try");
    bench.listen_path(ONE, &socket);
    assert!(!bench.sockets.paths.is_awaiting());
    // It listens already: nothing begins.
    bench.listen(ONE, &socket, 32);
    assert_eq!(bench.sockets.paths.look(bench.world.now), []);
}

#[test]
fn an_abstract_name_has_no_files() {
    let (mut bench, directory, _) = bench();
    let bytes = abstract_name();
    let socket = unix_socket::stream().expect("a socket");
    bench.bind_raw(ONE, &socket, &raw_path(&bytes));
    let there = Path::new(OsStr::from_bytes(&bytes));
    unix_socket::bind(socket.as_fd(), there).expect("the name is free");
    bench.listen_path(ONE, &socket);
    assert!(bench.sockets.paths.hold(ONE).is_empty());
    bench.sockets.paths.publish(ONE).expect("there is nothing to do");
    bench.sockets.paths.retire(Owner::Held);
    assert_eq!(listing(&directory), [""; 0]);
    assert!(bench.sockets.paths.watch.is_none());
}
