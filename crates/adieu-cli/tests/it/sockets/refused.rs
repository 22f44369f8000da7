//! Where seccomp is refused: adieu says so and does what it can without.

use super::{it, it_in, listens, python, python_with, serving_generation, without};
use crate::harness::{Load, Run, Scene, get, the_machine};

const SAYS: &str = "cannot watch the program's sockets (Operation not permitted (os error 1))";

fn refused(scene: &Scene) -> Run {
    it_in(scene).front(&without("seccomp"))
}

#[test]
fn a_reload_ends_the_old_generation_first() {
    let adieu = refused(&Scene::new()).program(&python("plain.py")).serving();
    assert!(adieu.output().contains(SAYS), "{}", adieu.output());
    for generation in 2..4 {
        adieu.replace();
        // It is done when the new one listens, and not before.
        let answer = get(adieu.port(), "/").expect("the new one listens");
        assert_eq!(answer, format!("generation {generation}\n"));
    }
    let notes = adieu.status().notes;
    assert!(notes.iter().any(|note| note.contains("the old generation ends before the new one starts")), "{notes:?}");
    adieu.end();
}

#[test]
fn sockets_that_are_passed_lose_nothing_under_load() {
    let _alone = the_machine();
    let scene = Scene::new();
    let address = format!("127.0.0.1:{}", scene.port());
    let takes = python_with("takes.py", &["systemd"]);
    let adieu = refused(&scene).options(&["--listen", &address]).program(&takes).serving();
    assert!(adieu.output().contains(SAYS), "{}", adieu.output());
    let load = Load { path: "/", reloads: 2, kept: 8 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    assert_eq!(listens(serving_generation(&adieu.status())).len(), 1);
    adieu.end();
}

/// The control: who is refused nothing says nothing.
#[test]
fn where_nothing_is_refused_nothing_is_said() {
    let adieu = it().program(&python("plain.py")).serving();
    assert!(!adieu.output().contains("adieu:"), "{}", adieu.output());
    adieu.replace();
    assert_eq!(adieu.status().notes, Vec::<String>::new());
    adieu.end();
}
