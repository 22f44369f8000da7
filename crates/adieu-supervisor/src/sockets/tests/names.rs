//! The names that programs bind, and which of them no other generation will bind.

use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use adieu_core::ids::Pid;
use adieu_linux::process::own_pid;

use super::bench::{Bench, ONE, TWO, directory, directory_for, name};
use crate::sockets::paths::{Name, is_own_name};
use crate::testing::{World, start_alone};

/// A shell with a child of its own; both end when this is dropped.
struct Family {
    shell: Child,
    child: Pid,
}

impl Family {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new("sh");
        // The child reads what the shell does: it ends when we are gone.
        command.args(["-c", "exec 4<&0; cat <&4 >&2 & echo $!; wait"]);
        command.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = start_alone(|| command.spawn()).expect("sh is there");
        let mut line = String::new();
        let said = shell.stdout.as_mut().expect("a pipe");
        BufReader::new(said).read_line(&mut line).expect("it says a number");
        Self { shell, child: line.trim().parse().expect("a number") }
    }

    fn shell(&self) -> Pid {
        Pid::new(self.shell.id() as i32)
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}

fn is_own(bench: &Bench, process: Pid, name: &Name) -> bool {
    is_own_name(&bench.table, ONE, process, name, bench.world.now)
}

fn base(text: String) -> Name {
    Name::Path { directory: PathBuf::from("/usr"), base: text.into() }
}

#[test]
fn a_path_is_resolved_where_its_process_is() {
    let directory = directory();
    let there = directory.path().canonicalize().expect("it is there");
    let family = Family::start(directory.path());
    let resolved = Name::resolve(family.shell(), b"app.sock");
    assert_eq!(resolved, Some(Name::Path { directory: there.clone(), base: "app.sock".into() }));
    let absolute = directory.path().join("../").join(there.file_name().expect("it has a name")).join("app.sock");
    assert_eq!(Name::resolve(own_pid(), absolute.as_os_str().as_bytes()), resolved, "by its canonical path");
    assert_eq!(resolved.as_ref().and_then(Name::path), Some(there.join("app.sock")));
    assert_eq!(resolved.as_ref().and_then(Name::directory), Some(there.as_path()));
    assert_eq!(resolved.as_ref().and_then(|name| name.beside(TWO)), Some(there.join(".app.sock.2")));
    assert_eq!(resolved.map(|name| name.to_string()), Some(format!("unix:{}/app.sock", there.display())));
}

#[test]
fn an_abstract_name_has_no_path() {
    let name = Name::resolve(own_pid(), b"\0app").expect("it is one");
    assert_eq!(name, Name::Abstract(b"app".to_vec()));
    assert_eq!((name.path(), name.directory(), name.beside(ONE)), (None, None, None));
    assert_eq!(name.to_string(), "unix:@app");
}

#[test]
fn what_is_no_name_is_not_resolved() {
    assert_eq!(Name::resolve(own_pid(), b""), None, "the kernel chooses one");
    assert_eq!(Name::resolve(own_pid(), b"/no/such/directory/app.sock"), None);
    assert_eq!(Name::resolve(own_pid(), b"/"), None);
    assert_eq!(Name::resolve(Pid::new(i32::MAX), b"/tmp/app.sock"), None, "there is no such process");
}

#[test]
fn a_name_with_the_number_of_an_own_process_is_its_own() {
    let directory = directory();
    let family = Family::start(directory.path());
    let mut bench = Bench::new(World::serving());
    let numbered = |pid: Pid| base(format!("app.{pid}.sock"));
    assert!(is_own(&bench, family.child, &numbered(family.child)));
    assert!(is_own(&bench, family.child, &numbered(family.shell())), "its parent's");
    assert!(is_own(&bench, family.child, &Name::Abstract(format!("app.{}", family.child).into_bytes())));
    assert!(!is_own(&bench, family.shell(), &numbered(family.child)), "not its child's");
    assert!(!is_own(&bench, family.child, &numbered(own_pid())), "not the supervisor's");
    assert!(!is_own(&bench, family.child, &base("app.sock".to_owned())));
    assert!(!is_own(&bench, family.child, &Name::Abstract(b"app".to_vec())));
    bench.entry(ONE).keeper = Some(family.shell());
    assert!(is_own(&bench, family.child, &numbered(family.child)));
    assert!(!is_own(&bench, family.child, &numbered(family.shell())), "not the keeper's");
}

#[test]
fn a_name_in_a_private_directory_is_its_own_if_that_is_new() {
    let mut bench = Bench::new(World::serving());
    // The directories are younger than a program that was started an hour ago.
    bench.later(Duration::from_secs(3600));
    let (private, open, for_the_group) = (directory_for(0o700), directory(), directory_for(0o710));
    assert!(is_own(&bench, own_pid(), &name(&private.path().join("app.sock"))));
    assert!(!is_own(&bench, own_pid(), &name(&open.path().join("app.sock"))));
    assert!(!is_own(&bench, own_pid(), &name(&for_the_group.path().join("app.sock"))));
    let missing = Name::Path { directory: "/no/such/directory".into(), base: "app.sock".into() };
    assert!(!is_own(&bench, own_pid(), &missing));
    // Where nothing was started, nothing is known.
    bench.table.entries.clear();
    assert!(!is_own(&bench, own_pid(), &name(&private.path().join("app.sock"))));
}

#[test]
fn a_private_directory_that_was_there_before_is_not() {
    let private = directory_for(0o700);
    let created = std::fs::metadata(private.path()).and_then(|meta| meta.created()).expect("statx(2) says so");
    let mut bench = Bench::new(World::serving());
    let is_old = |bench: &Bench| !is_own(bench, own_pid(), &name(&private.path().join("app.sock")));
    // Until the directory is older than the generation by more than the grain of the file system.
    while created.elapsed().expect("the clock goes on") <= Duration::from_millis(50) {
        std::thread::yield_now();
    }
    assert!(is_old(&bench), "it is older than a generation that was started just now");
    bench.later(Duration::from_secs(3600));
    assert!(!is_old(&bench));
}
