//! Programs that become another user before they bind, or that may not be looked into.

use std::os::unix::fs::chown;

use super::{SHORT, programs, python, said, words};
use crate::harness::{Adieu, Load, Place, Setup, get, the_machine};
use crate::init::ADIEU;

/// A user who owns nothing.
const NOBODY: u32 = 65534;

const WITHOUT_PTRACE: &[&str] = &["setpriv", "--bounding-set", "-sys_ptrace", "--"];

fn program(arguments: &[&str]) -> Vec<String> {
    let mut program = python("becomes.py").to_vec();
    program.extend(arguments.iter().map(ToString::to_string));
    program
}

fn start(place: Place, front: &[&str], program: &[&str]) -> Adieu {
    let mut adieu = place.run(Setup { name: "it", front, options: SHORT, environment: &[], program });
    adieu.wait_until_it_answers("/");
    adieu
}

/// As root nothing is hidden.
fn loses_nothing(arguments: &[&str]) {
    let _alone = the_machine();
    let adieu = start(Place::new(), &[], &words(&program(arguments)));
    let load = Load { path: "/", reloads: 2, kept: 8 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    let notes = adieu.status().notes;
    assert!(notes.iter().all(|note| !note.contains("seamless")), "{notes:?}");
    adieu.stop();
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
    let adieu = start(Place::new(), &[], &words(&program(&[])));
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], adieu.port().number()));
    let users = ["user=65534", "user=1", "user=0"];
    let ends = Load { path: "/", reloads: users.len(), kept: 8 }.during(address, |more| {
        for user in users {
            let program = program(&[user]);
            let reload = adieu.client(&[&["reload", "it", "--wait", "drained", "--"][..], &words(&program)].concat());
            assert!(reload.status.success(), "{user}: {}\n{}", said(&reload), adieu.timeline());
            more();
        }
    });
    ends.assert_nothing_lost(&adieu);
    assert_eq!(ends.bodies().count(), 1 + users.len(), "{ends:?}");
    adieu.stop();
}

/// Where a program cannot be looked into, that is said, and a reload ends the old one before the new one starts.
fn is_said(mut adieu: Adieu) {
    let why = "its reloads are not seamless; a program that changes its user or has file capabilities needs adieu to be root \
               with CAP_SYS_PTRACE";
    assert!(adieu.output().contains(why), "{}", adieu.output());
    adieu.reload(1);
    assert_eq!(adieu.wait_until_it_answers("/"), "generation 2\n");
    let notes = adieu.status().notes;
    assert!(notes.iter().any(|note| note.contains("the old generation ends before the new one starts")), "{notes:?}");
    adieu.stop();
}

#[test]
fn without_the_right_to_look_it_is_said() {
    for arguments in [&["user=65534"][..], &["undumpable"], &["user=65534", "undumpable"]] {
        is_said(start(Place::new(), WITHOUT_PTRACE, &words(&program(arguments))));
    }
}

#[test]
fn an_ordinary_user_is_told_too() {
    let place = Place::new();
    // The user must be able to reach everything, wherever this is built.
    std::fs::copy(ADIEU, place.path("adieu")).expect("a test's own directory is writable");
    for name in ["answers.py", "becomes.py"] {
        std::fs::copy(programs().join(name), place.path(name)).expect("a test's own directory is writable");
    }
    chown(place.directory(), Some(NOBODY), Some(NOBODY)).expect("root may do that");
    let ordinary = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--pdeathsig", "KILL", "--"];
    let copied = ["sh", "-c", "shift; exec ./adieu \"$@\"", "sh"];
    let front = [&ordinary[..], &copied].concat();
    let program = ["/usr/bin/python3", "-B", "becomes.py", "undumpable"];
    is_said(start(place, &front, &program));
}

/// In a default container root has no CAP_SYS_PTRACE. What was seen before a program changed its user stays known, though it
/// cannot be looked into any more: nothing may be concluded from that.
#[test]
fn one_that_changes_its_user_after_it_has_bound_under_load() {
    let _alone = the_machine();
    let mut adieu = start(Place::new(), WITHOUT_PTRACE, &words(&program(&["later=65534"])));
    let load = Load { path: "/", reloads: 2, kept: 0 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    let status = adieu.status();
    assert_eq!(super::listens(super::serving_generation(&status)).len(), 1, "{status:#?}");
    assert_eq!(adieu.wait_until_it_answers("/"), "generation 3\n");
    adieu.stop();
}

/// The control: an ordinary user can reload what may be looked into.
#[test]
fn an_ordinary_program_needs_no_rights_under_load() {
    let _alone = the_machine();
    let adieu =
        start(Place::new(), &["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--"], &words(&program(&[])));
    let load = Load { path: "/", reloads: 2, kept: 8 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    assert_eq!(get(adieu.port().number(), "/").expect("it serves"), "generation 3\n");
    let notes = adieu.status().notes;
    assert!(notes.iter().all(|note| !note.contains("seamless")), "{notes:?}");
    adieu.stop();
}
