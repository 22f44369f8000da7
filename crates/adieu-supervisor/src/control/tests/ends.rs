//! Answers at the end of everything.

use adieu_core::outcome::Outcome;
use adieu_core::switch::{Failure, Generation};

use super::*;
use crate::testing::World;

#[test]
fn whoever_waits_for_the_end_is_told_how_it_was() {
    for (forced, answer, text) in
        [(false, code::DONE, "stopped, exit code 4"), (true, code::FORCED, "ended by force, exit code 4")]
    {
        let mut control = control();
        let (stream, id) = client(&mut control);
        let (other, _) = client(&mut control);
        control.wait_for_end(id);
        assert_eq!(answers(&stream).0, []);
        control.answer_at_end(forced, 4);
        assert_eq!(dones(&stream), [(answer, text.to_owned())]);
        assert_eq!(answers(&other).0, [], "it does not wait for that");
    }
}

#[test]
fn a_failed_reload_is_answered_at_the_end_at_the_latest() {
    let world = World::new(crate::testing::options());
    assert_eq!(world.view().switch.serving(), None);
    let mut control = control();
    let (stream, id) = client(&mut control);
    let request = control.ask_reload(Some((id, Wait::Settled)), Change::default());
    let failure = Failure::Died(Generation::new(2), Outcome::Exited(1));
    control.progress(&world.view(), request, Step::Failed(failure), "it died", &[]);
    assert!(dones(&stream).is_empty());
    control.answer_at_end(false, 0);
    assert_eq!(dones(&stream), [(code::FINDING, "it died".to_owned())]);
}
