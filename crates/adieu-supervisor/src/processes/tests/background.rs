//! Programs that go into the background.

use adieu_core::outcome::Outcome;
use adieu_core::signal::Signal;
use adieu_core::switch::Event;

use super::*;
use crate::testing::alone;
use crate::view::Out;

/// What is said when the main process ends this way and leaves so many behind.
fn said(world: &World, count: usize, outcome: Outcome) -> Vec<String> {
    let mut processes = shell(&format!("{}exit 0", "sleep 1000 & ".repeat(count)));
    start(&mut processes, world, FIRST);
    assert_eq!(end_of(&mut processes), Outcome::Exited(0));
    assert_eq!(grown(&processes, FIRST, count).len(), count);
    until("the last program is executed", || processes.names_of(FIRST).iter().all(|name| name.ends_with("(sleep)")));
    let mut out = Out::default();
    processes.mention_background(&world.view(), FIRST, outcome, &mut out);
    processes.kill(FIRST, &mut Out::default());
    until("all gone", || processes.reap().is_empty() && processes.childless);
    out.texts().into_iter().map(str::to_owned).collect()
}

#[test]
fn a_program_that_goes_into_the_background_is_told_of_and_at_most_three_are_named() {
    drop(alone(|| {
        let world = plain();
        assert_eq!(said(&world, 0, Outcome::Exited(0)), Vec::<String>::new());
        for (count, named, more) in [(1, 1, None), (3, 3, None), (5, 3, Some(" and 2 more in the background"))] {
            let said = said(&world, count, Outcome::Exited(0));
            assert_eq!(said.len(), 1);
            assert!(said[0].starts_with("generation 1: the program has ended and left "), "{said:?}");
            assert_eq!(said[0].matches("(sleep)").count(), named, "{said:?}");
            assert_eq!(said[0].contains(" more in"), more.is_some(), "{said:?}");
            assert!(more.is_none_or(|more| said[0].contains(more)), "{said:?}");
        }
    }));
}

#[test]
fn whoever_fails_or_was_asked_to_end_is_not_told_of() {
    drop(alone(|| {
        let mut world = plain();
        assert!(said(&world, 1, Outcome::Exited(1)).is_empty());
        assert!(said(&world, 1, Outcome::Signaled(Signal::TERM)).is_empty());
        let _actions = world.tell(Event::Ready(FIRST));
        assert_eq!(said(&world, 1, Outcome::Exited(0)).len(), 1);
        let _actions = world.tell(Event::Stop);
        assert!(said(&world, 1, Outcome::Exited(0)).is_empty());
        let mut draining = World::draining();
        draining.options.sockets = Sockets::Off;
        assert!(said(&draining, 1, Outcome::Exited(0)).is_empty());
    }));
}
