//! Generated graphs, limits and orders of events.

use super::*;
use proptest::prelude::*;

fn phases() -> impl Strategy<Value = Vec<Hook>> {
    let limit = prop_oneof![Just(None), (0..40_000u64).prop_map(|ms| Some(Duration::from_millis(ms)))];
    proptest::collection::vec((proptest::bool::weighted(0.4), limit), 5).prop_map(|chosen| {
        let hooks = Phase::WORK.into_iter().zip(chosen).filter(|(_, (chosen, _))| *chosen);
        hooks.map(|(phase, (_, limit))| Hook { phase, limit }).collect()
    })
}

/// Up to twelve components whose edges all go to earlier ones, shuffled.
fn components() -> impl Strategy<Value = Vec<Component>> {
    let one = (phases(), any::<u16>(), proptest::bool::weighted(0.1));
    let all = proptest::collection::vec(one, 1..12).prop_map(|parts| {
        let lasts: Vec<bool> = parts.iter().map(|(_, _, last)| *last).collect();
        let build = |(at, (hooks, mask, last)): (usize, (Vec<Hook>, u16, bool))| {
            let may = |to: &usize| mask >> to & 1 == 1 && (!last || lasts[*to]);
            let after = (0..at).filter(may).map(|to| format!("c{to}")).collect();
            Component { after, hooks, last, ..Component::new(format!("c{at}")) }
        };
        parts.into_iter().enumerate().map(build).collect::<Vec<_>>()
    });
    all.prop_shuffle()
}

fn policy() -> impl Strategy<Value = Policy> {
    let limit = || prop_oneof![Just(None), (1..60_000u64).prop_map(|ms| Some(Duration::from_millis(ms)))];
    (1..60_000u64, 1..2_000u64, proptest::collection::vec(limit(), 6)).prop_map(|(grace, reserve, limits)| {
        let (grace, reserve) = (Duration::from_millis(grace), Duration::from_millis(reserve));
        let mut policy = Policy { grace, reserve, start: limits[5], ..Policy::default() };
        for (phase, limit) in Phase::WORK.into_iter().zip(limits) {
            *policy.limit_mut(phase).expect("a phase of work") = limit;
        }
        policy
    })
}

/// What happens next: mostly something ends, sometimes time passes, rarely somebody asks.
#[derive(Debug, Clone, Copy)]
enum Choice {
    End(proptest::sample::Index, End),
    Wait,
    Pass(u64),
    Ask(Event),
}

fn choice() -> impl Strategy<Value = Choice> {
    let end = prop_oneof![8 => Just(End::Done), 1 => Just(End::Failed), 1 => Just(End::Panicked)];
    prop_oneof![
        20 => (any::<proptest::sample::Index>(), end).prop_map(|(index, end)| Choice::End(index, end)),
        4 => Just(Choice::Wait),
        3 => (0..3000u64).prop_map(Choice::Pass),
        1 => prop_oneof![Just(Event::Close), Just(Event::Signal), Just(Event::Force)].prop_map(Choice::Ask),
    ]
}

impl World {
    fn choose(&mut self, choice: Choice) {
        match choice {
            Choice::Wait => drop(self.wait()),
            Choice::Pass(ms) => {
                // A punctual driver wakes up at each moment that the machine names.
                let target = self.now + Duration::from_millis(ms);
                while self.machine.poll_timeout().is_some_and(|at| at <= target) && self.wait() {}
                self.now = self.now.max(target);
            }
            Choice::Ask(event) => self.step(event),
            Choice::End(index, end) => {
                let starts = self.starting.iter().map(|id| match end {
                    End::Done => Event::Started(*id),
                    End::Failed | End::Panicked => Event::StartFailed(*id, end),
                });
                let hooks = self.running.iter().map(|(id, phase)| Event::HookEnded(*id, *phase, end));
                let all: Vec<Event> = starts.chain(hooks).collect();
                if !all.is_empty() {
                    self.step(*index.get(&all));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn order_holds_and_each_stop_hook_runs_once(
        components in components(), policy in policy(), choices in proptest::collection::vec(choice(), 0..120)
    ) {
        let mut world = World::new(Arc::new(Plan::new(components, policy).expect("a plan")));
        world.step(Event::Launch);
        choices.into_iter().for_each(|choice| world.choose(choice));
        // Whatever was left open: it is over by the deadline, without any help.
        world.step(Event::Close);
        while world.wait() {}
        prop_assert!(world.finished);
    }

    /// Nobody is in a hurry and every hook returns: nothing is forced and everything has been asked.
    #[test]
    fn a_stop_whose_hooks_return_is_clean(components in components(), orders in proptest::collection::vec(any::<prop::sample::Index>(), 1..20)) {
        let mut world = World::new(Arc::new(Plan::new(components, Policy::default()).expect("a plan")));
        world.step(Event::Launch);
        let mut orders = orders.into_iter().cycle();
        for stopping in [false, true] {
            if stopping {
                prop_assert_eq!(world.machine.state(), State::Serving);
                world.step(Event::Close);
            }
            while !(world.starting.is_empty() && world.running.is_empty()) {
                let index = orders.next().expect("a cycle");
                world.choose(Choice::End(index, End::Done));
            }
        }
        prop_assert!(world.finished && !world.machine.was_forced());
        let hooks: usize = world.machine.plan().components().map(|(_, component)| component.hooks.len()).sum();
        prop_assert_eq!(world.ran.len(), hooks);
        prop_assert_eq!(&world.entered[..], &Phase::WORK[..]);
    }
}
