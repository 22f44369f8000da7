//! Names of instances, in a directory or, where there is none, as abstract sockets.

use std::io::ErrorKind;
use std::os::fd::AsFd;

use adieu_linux::process::own_pid;

use super::*;
use crate::testing::{alone, alone_with};

#[test]
fn names_that_could_leave_the_directory_are_refused() {
    for bad in ["", "../x", "a/b", ".hidden", "-x", "a b", "ä", &"x".repeat(61)] {
        assert!(check_name(bad).is_err(), "{bad:?}");
    }
    assert!(check_name("web-2.api_x").is_ok());
}

#[test]
fn a_name_is_taken_once_and_free_again_after_its_holder() {
    drop(alone(|| {
        let directory = tempfile::tempdir().expect("tempdir");
        let first = Instance::take_in(directory.path(), "x").expect("io").expect("free");
        assert!(Instance::take_in(directory.path(), "x").expect("io").is_none());
        drop(first);
        // A stale socket, as a killed instance leaves it.
        drop(UnixListener::bind(directory.path().join("x.sock")).expect("bind"));
        let second = Instance::take_in(directory.path(), "x").expect("io").expect("free");
        assert!(UnixStream::connect(directory.path().join("x.sock")).is_ok(), "it is the second one's");
        drop(second);
        assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 0, "nothing is left");
    }));
}

#[test]
fn a_name_stays_taken_however_many_wait_to_be_let_in() {
    drop(alone(|| {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("x.sock");
        // Nobody accepts, and the queue holds one: as an instance that is stopped or busy.
        let listener = UnixListener::bind(&path).expect("bind");
        adieu_linux::sockets::listen(listener.as_fd(), 0).expect("a shorter queue");
        let waits = UnixStream::connect(&path).expect("room for one");
        assert!(Instance::take_in(directory.path(), "x").expect("io").is_none());
        assert!(path.exists());
        drop((waits, listener));
        assert!(Instance::take_in(directory.path(), "x").expect("io").is_some());
    }));
}

#[test]
fn of_many_at_once_one_gets_a_stale_name() {
    drop(alone(|| {
        let directory = tempfile::tempdir().expect("tempdir");
        for _ in 0..50 {
            drop(UnixListener::bind(directory.path().join("x.sock")).expect("bind"));
            let barrier = std::sync::Barrier::new(4);
            let take = || {
                barrier.wait();
                Instance::take_in(directory.path(), "x").expect("io")
            };
            let places: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            assert_eq!(places.iter().flatten().count(), 1);
        }
    }));
}

const IN_DIRECTORY: [(&str, &str); 1] = [("ADIEU_RUNTIME_DIR", "{}/run")];

fn taken(wanted: Option<&str>, base: &str) -> Instance {
    Instance::take(wanted, base).expect("free")
}

#[test]
fn a_name_that_was_asked_for_is_had_or_refused() {
    drop(alone_with(&IN_DIRECTORY, || {
        let web = taken(Some("web"), "nginx");
        assert_eq!(web.name(), "web");
        assert!(fs::metadata("run/web.sock").is_ok(), "its directory was made");
        let refused = Instance::take(Some("web"), "nginx").expect_err("it is taken");
        assert!(matches!(&refused, InstanceError::Taken(name) if name == "web"));
        assert!(refused.to_string().contains("stop that one with `adieu stop web`"));
        assert!(matches!(Instance::take(Some("../web"), ""), Err(InstanceError::BadName(_))));
        drop(web);
        assert_eq!(taken(Some("web"), "").name(), "web");
    }));
}

#[test]
fn without_a_wish_the_first_free_name_after_the_program_is_taken() {
    drop(alone_with(&IN_DIRECTORY, || {
        let all = [taken(None, "nginx"), taken(None, "nginx"), taken(None, "nginx")];
        assert_eq!(all.each_ref().map(Instance::name), ["nginx", "nginx-2", "nginx-3"]);
        assert_eq!(taken(None, ".-my server!").name(), "my_server_");
        assert_eq!(taken(None, "").name(), "program");
        assert_eq!(taken(None, "--").name(), "program");
        assert_eq!(taken(None, &"x".repeat(80)).name(), "x".repeat(50));
        assert_eq!(names(), ["nginx", "nginx-2", "nginx-3"]);
        let [first, second, third] = all;
        drop((first, third));
        assert_eq!(names(), ["nginx-2"]);
        assert_eq!(taken(None, "nginx").name(), "nginx");
        drop(second);
    }));
}

#[test]
fn only_what_can_be_asked_has_a_name() {
    drop(alone_with(&IN_DIRECTORY, || {
        let _web = taken(Some("web"), "");
        fs::write("run/file.sock", "").expect("a file");
        let _other = UnixListener::bind("run/other").expect("a socket");
        drop(UnixListener::bind("run/stale.sock").expect("a socket"));
        assert_eq!(names(), ["web"]);
        assert!(connect("web").is_ok());
        for (name, kind) in
            [("stale", ErrorKind::NotFound), ("nobody", ErrorKind::NotFound), ("../x", ErrorKind::NotFound)]
        {
            let error = connect(name).expect_err("nobody is there");
            assert_eq!((error.kind(), error.to_string()), (kind, format!("no instance named {name:?} is running")));
        }
    }));
}

#[test]
fn a_directory_that_was_named_and_is_of_no_use_is_told() {
    drop(alone_with(&[("ADIEU_RUNTIME_DIR", "{}/file")], || {
        fs::write("file", "").expect("a file");
        let error = Instance::take(Some("web"), "").expect_err("it is no directory");
        assert!(matches!(&error, InstanceError::BadDirectory(path, _) if path.ends_with("file")), "{error}");
    }));
}

#[test]
fn a_stale_socket_that_may_not_be_replaced_is_told() {
    drop(alone_with(&IN_DIRECTORY, || {
        fs::create_dir_all("run/web.sock/x").expect("a directory in the way");
        assert!(matches!(Instance::take(Some("web"), ""), Err(InstanceError::BadDirectory(..))));
    }));
}

#[test]
fn a_directory_that_was_named_is_the_only_one() {
    drop(alone_with(&[("ADIEU_RUNTIME_DIR", "/a"), ("XDG_RUNTIME_DIR", "/b")], || {
        assert!(is_explicit());
        assert_eq!(directories(), [PathBuf::from("/a")]);
    }));
}

#[test]
fn the_directory_of_the_system_is_looked_at_before_that_of_the_user() {
    drop(alone_with(&[("XDG_RUNTIME_DIR", "/b")], || {
        assert!(!is_explicit());
        assert_eq!(directories(), ["/run/adieu", "/b/adieu"].map(PathBuf::from));
    }));
}

#[test]
fn an_instance_in_the_users_directory_is_found_after_those_of_the_system() {
    drop(alone_with(&[("XDG_RUNTIME_DIR", "{}")], || {
        let name = format!("test-{}", own_pid());
        fs::create_dir("adieu").expect("a directory");
        let instance = Instance::take_in(Path::new("adieu"), &name).expect("io").expect("free");
        assert!(connect(&name).is_ok());
        assert_eq!(names().iter().filter(|found| **found == name).count(), 1);
        drop(instance);
        assert_eq!(connect(&name).expect_err("it is gone").kind(), ErrorKind::NotFound);
        assert!(!names().contains(&name));
    }));
}

/// An instance as in a read-only container.
fn abstract_instance() -> (String, UnixListener) {
    let name = format!("test-{}", own_pid());
    let bound = abstract_name(&name, own_user()).and_then(|address| UnixListener::bind_addr(&address));
    (name, bound.expect("free"))
}

#[test]
fn an_abstract_socket_is_found_where_no_directory_was_named() {
    drop(alone(|| {
        let (name, listener) = abstract_instance();
        assert!(connect(&name).is_ok() && names().contains(&name));
        assert_eq!(abstract_users(&name), [own_user()]);
        assert!(connect(&format!("{name}x")).is_err());
        drop(listener);
        assert!(connect(&name).is_err() && !names().contains(&name));
    }));
}

#[test]
fn an_abstract_socket_is_not_looked_for_where_a_directory_was_named() {
    drop(alone_with(&[("ADIEU_RUNTIME_DIR", "{}")], || {
        let (name, _listener) = abstract_instance();
        assert!(connect(&name).is_err() && !names().contains(&name));
    }));
}
