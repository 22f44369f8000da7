//! Programs that become another user before they bind, or that may not be looked into.

use std::os::unix::fs::chown;

use super::{it, it_in, programs, python_with};
use crate::harness::{ADIEU, Instance, Load, Scene, get, the_machine};

/// A user who owns nothing.
const NOBODY: u32 = 65534;

const WITHOUT_PTRACE: &[&str] = &["setpriv", "--bounding-set", "-sys_ptrace", "--"];

fn program(arguments: &[&str]) -> Vec<String> {
    python_with("becomes.py", arguments)
}

fn start(front: &[&str], arguments: &[&str]) -> Instance {
    it().front(front).program(&program(arguments)).serving()
}

/// As root nothing is hidden.
fn loses_nothing(arguments: &[&str]) {
    let _alone = the_machine();
    let adieu = start(&[], arguments);
    let load = Load { path: "/", reloads: 2, kept: 8 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    let notes = adieu.status().notes;
    assert!(notes.iter().all(|note| !note.contains("seamless")), "{notes:?}");
    adieu.end();
}

#[test]
fn one_that_becomes_nobody_under_load() {
    loses_nothing(&["user=65534"]);
}

#[test]
fn one_that_may_not_be_looked_into_under_load() {
    loses_nothing(&["undumpable"]);
    loses_nothing(&["user=65534", "undumpable"]);
}

/// The kernel lets only sockets of one user share an address.
#[test]
fn generations_of_different_users_under_load() {
    let _alone = the_machine();
    let adieu = start(&[], &[]);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], adieu.port()));
    let users = ["user=65534", "user=1", "user=0"];
    let ends = Load { path: "/", reloads: users.len(), kept: 8 }.during(address, |more| {
        for user in users {
            adieu.replace_by(&program(&[user]));
            more();
        }
    });
    ends.assert_nothing_lost(&adieu);
    assert_eq!(ends.bodies().count(), 1 + users.len(), "{ends:?}");
    adieu.end();
}

/// Where a program cannot be looked into, that is said, and a reload ends the old one before the new one starts.
fn is_said(mut adieu: Instance) {
    let why = "its reloads are not seamless; a program that changes its user or has file capabilities needs adieu to be root \
               with CAP_SYS_PTRACE";
    assert!(adieu.output().contains(why), "{}", adieu.output());
    adieu.replace();
    assert_eq!(adieu.wait_until_it_answers("/"), "generation 2\n");
    let notes = adieu.status().notes;
    assert!(notes.iter().any(|note| note.contains("the old generation ends before the new one starts")), "{notes:?}");
    adieu.end();
}

#[test]
fn without_the_right_to_look_it_is_said() {
    for arguments in [&["user=65534"][..], &["undumpable"], &["user=65534", "undumpable"]] {
        is_said(start(WITHOUT_PTRACE, arguments));
    }
}

#[test]
fn an_ordinary_user_is_told_too() {
    let scene = Scene::new();
    // The user must be able to reach everything, wherever this is built.
    std::fs::copy(ADIEU, scene.path("adieu")).expect("a test's own directory is writable");
    for name in ["answers.py", "becomes.py"] {
        std::fs::copy(programs().join(name), scene.path(name)).expect("a test's own directory is writable");
    }
    chown(scene.directory(), Some(NOBODY), Some(NOBODY)).expect("root may do that");
    let ordinary = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--pdeathsig", "KILL", "--"];
    let copied = ["sh", "-c", "shift; exec ./adieu \"$@\"", "sh"];
    let front = [&ordinary[..], &copied].concat();
    let program = ["/usr/bin/python3", "-B", "becomes.py", "undumpable"];
    is_said(it_in(&scene).front(&front).program(&program).serving());
}

/// In a default container root has no CAP_SYS_PTRACE. What was seen before a program changed its user stays known, though it
/// cannot be looked into any more: nothing may be concluded from that.
#[test]
fn one_that_changes_its_user_after_it_has_bound_under_load() {
    let _alone = the_machine();
    let mut adieu = start(WITHOUT_PTRACE, &["later=65534"]);
    let load = Load { path: "/", reloads: 2, kept: 0 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    let status = adieu.status();
    assert_eq!(super::listens(super::serving_generation(&status)).len(), 1, "{status:#?}");
    assert_eq!(adieu.wait_until_it_answers("/"), "generation 3\n");
    adieu.end();
}

/// The control: an ordinary user can reload what may be looked into.
#[test]
fn an_ordinary_program_needs_no_rights_under_load() {
    let _alone = the_machine();
    let adieu = start(&["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--"], &[]);
    let load = Load { path: "/", reloads: 2, kept: 8 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    assert_eq!(get(adieu.port(), "/").expect("it serves"), "generation 3\n");
    let notes = adieu.status().notes;
    assert!(notes.iter().all(|note| !note.contains("seamless")), "{notes:?}");
    adieu.end();
}
