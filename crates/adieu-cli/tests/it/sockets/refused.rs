//! Where seccomp is refused: adieu says so and does what it can without.

use super::{SHORT, c, listens, python, serving_generation, words};
use crate::harness::{Adieu, Load, Place, Setup, get, the_machine};

const SAYS: &str = "cannot watch the program's sockets (Operation not permitted (os error 1))";

fn refused(options: &[&str], program: &[&str]) -> Adieu {
    let without = c("without");
    let front = [without.as_str(), "seccomp", "--"];
    let options = [SHORT, options].concat();
    let place = Place::new();
    let address = format!("127.0.0.1:{}", place.port());
    let options: Vec<&str> = options.into_iter().map(|word| if word == "ADDRESS" { &*address } else { word }).collect();
    let mut adieu = place.run(Setup { name: "it", front: &front, options: &options, environment: &[], program });
    adieu.wait_until_it_answers("/");
    adieu
}

#[test]
fn a_reload_ends_the_old_generation_first() {
    let command = python("plain.py");
    let adieu = refused(&[], &words(&command));
    assert!(adieu.output().contains(SAYS), "{}", adieu.output());
    for generation in 2..4 {
        adieu.reload(generation);
        // It is done when the new one listens, and not before.
        let answer = get(adieu.port().number(), "/").expect("the new one listens");
        assert_eq!(answer, format!("generation {generation}\n"));
    }
    let notes = adieu.status().notes;
    assert!(notes.iter().any(|note| note.contains("the old generation ends before the new one starts")), "{notes:?}");
    adieu.stop();
}

#[test]
fn sockets_that_are_passed_lose_nothing_under_load() {
    let _alone = the_machine();
    let mut command = python("takes.py").to_vec();
    command.push("systemd".to_owned());
    let adieu = refused(&["--listen", "ADDRESS"], &words(&command));
    assert!(adieu.output().contains(SAYS), "{}", adieu.output());
    let load = Load { path: "/", reloads: 2, kept: 8 };
    load.run(&adieu).assert_nothing_lost(&adieu);
    assert_eq!(listens(serving_generation(&adieu.status())).len(), 1);
    adieu.stop();
}

/// The control: who is refused nothing says nothing.
#[test]
fn where_nothing_is_refused_nothing_is_said() {
    let adieu = super::serving(Place::new(), &[], "plain.py", &[]);
    assert!(!adieu.output().contains("adieu:"), "{}", adieu.output());
    adieu.reload(1);
    assert_eq!(adieu.status().notes, Vec::<String>::new());
    adieu.stop();
}
