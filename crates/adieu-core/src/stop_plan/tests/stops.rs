//! Single stories, each a mistake that somebody made.

use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_origin(Duration::from_millis(ms))
}

fn id(index: usize) -> ComponentId {
    ComponentId(index)
}

/// A world in which everything has started.
fn serving(plan: Arc<Plan>) -> World {
    let mut world = World::new(plan);
    world.handle(Event::Launch);
    while let Some(next) = world.starting.first().copied() {
        world.handle(Event::Started(next));
    }
    assert_eq!(world.machine.state(), State::Serving);
    world
}

fn running(world: &World) -> Vec<(usize, Phase)> {
    world.running.iter().map(|(id, phase)| (id.0, *phase)).collect()
}

#[test]
fn dependents_stop_first_and_independent_ones_together() {
    let close = &[Phase::Close][..];
    let plan = plan(vec![
        component("redis", &[], close),
        component("postgres", &[], close),
        component("quiet", &["redis"], &[]),
        component("api", &["quiet", "postgres"], close),
    ]);
    let mut world = serving(plan);
    world.handle(Event::Close);
    assert_eq!(running(&world), [(3, Phase::Close)], "redis waits for api through a component without a hook");
    world.handle(Event::HookEnded(id(3), Phase::Close, End::Done));
    assert_eq!(running(&world), [(0, Phase::Close), (1, Phase::Close)]);
}

#[test]
fn an_error_or_a_panic_is_an_end_and_not_a_wait() {
    // spring-framework#33442, fx#1035: an error waits the whole time-out, or the next hook is skipped.
    let close = &[Phase::Close][..];
    for end in [End::Failed, End::Panicked] {
        let mut world = serving(plan(vec![component("a", &[], close), component("b", &["a"], close)]));
        world.handle(Event::Close);
        world.handle(Event::HookEnded(id(1), Phase::Close, end));
        assert_eq!(running(&world), [(0, Phase::Close)]);
        world.handle(Event::HookEnded(id(0), Phase::Close, End::Done));
        assert_eq!((world.finished, world.now), (true, Timestamp::ZERO));
        assert!(!world.machine.was_forced());
    }
}

#[test]
fn a_failed_start_stops_exactly_what_had_started() {
    let close = &[Phase::Close][..];
    let plan = plan(vec![
        component("a", &[], close),
        component("b", &[], close),
        component("c", &["a"], close),
        component("d", &["c"], close),
    ]);
    let mut world = World::new(plan);
    world.handle(Event::Launch);
    world.handle(Event::Started(id(0)));
    world.handle(Event::StartFailed(id(2), End::Failed));
    // b is still starting: it is cancelled, and nothing stops before it has answered.
    assert_eq!(world.machine.state(), State::Cancelling);
    world.handle(Event::StartFailed(id(1), End::Failed));
    assert_eq!(running(&world), [(0, Phase::Close)]);
    world.handle(Event::HookEnded(id(0), Phase::Close, End::Done));
    assert!(world.finished && !world.machine.was_forced());
    assert_eq!(world.machine.start(id(3)), Start::Waiting);
}

#[test]
fn a_start_that_wins_the_race_with_its_cancellation_is_stopped() {
    let mut world = World::new(plan(vec![component("a", &[], &[Phase::Close])]));
    world.handle(Event::Launch);
    world.handle(Event::Signal);
    world.handle(Event::Started(id(0)));
    assert_eq!(running(&world), [(0, Phase::Close)]);
}

#[test]
fn a_start_that_does_not_heed_its_cancellation_is_leaked_and_never_stopped() {
    let mut world = World::new(plan(vec![component("a", &[], &[Phase::Close])]));
    world.handle(Event::Launch);
    world.handle(Event::Signal);
    world.wait();
    assert!(world.finished);
    assert_eq!(world.machine.start(id(0)), Start::Leaked);
    world.handle(Event::Started(id(0)));
    assert_eq!(running(&world), []);
}

#[test]
fn hooks_that_never_return_take_no_other_hooks_turn() {
    // As in go-zero#1804: whatever hangs, everything behind it is asked, and the deadline holds.
    let all = &Phase::WORK[..];
    let plan = plan(vec![component("a", &[], all), component("b", &["a"], all), component("c", &["b"], all)]);
    let mut world = serving(plan);
    world.handle(Event::Close);
    while world.wait() {}
    assert!(world.finished && world.machine.was_forced());
    assert_eq!(world.ran.len(), 15);
    assert!(world.now <= at(30_000));
}

#[test]
fn a_hook_without_hurry_may_use_all_but_what_others_need() {
    let plan = plan(vec![
        component("redis", &[], &[Phase::Close]),
        component("api", &["redis"], &[Phase::Drain, Phase::Close]),
    ]);
    let mut world = serving(plan);
    world.handle(Event::Close);
    world.wait();
    // 30 s less a share for each of the two steps that follow, less the time to join.
    assert_eq!(world.now, at(27_500));
    world.handle(Event::HookEnded(id(1), Phase::Drain, End::Done));
    assert_eq!(running(&world), [(1, Phase::Close)]);
}

#[test]
fn limits_do_not_add_up_beyond_the_deadline() {
    // dotnet/runtime#68036, pingora#727: sequential limits add up to more than the caller grants.
    let hooks = Phase::WORK.map(|phase| Hook { phase, limit: Some(Duration::from_secs(25)) }).to_vec();
    let mut world = serving(plan(vec![Component { hooks, ..component("a", &[], &[]) }]));
    world.handle(Event::Close);
    while world.wait() {}
    assert!(world.now <= at(30_000));
    assert_eq!(world.ran.len(), 5);
}

#[test]
fn a_duplicate_signal_is_one_request_and_a_second_one_forces() {
    let plan = plan(vec![component("a", &[], &[Phase::Drain, Phase::Cleanup, Phase::Close])]);
    let mut world = serving(plan);
    world.handle(Event::Signal);
    world.now = at(999);
    world.handle(Event::Signal);
    assert!(!world.machine.was_forced());
    world.now = at(1000);
    world.handle(Event::Signal);
    assert!(world.machine.was_forced());
    assert_eq!(world.machine.deadline(), Some(at(1500)));
    // Drain was cut; cleanup and close still have their turn in what is left.
    world.handle(Event::HookEnded(id(0), Phase::Drain, End::Failed));
    assert_eq!(running(&world), [(0, Phase::Cleanup)]);
    while world.wait() {}
    assert_eq!(world.ran.len(), 3);
    assert!(world.now <= at(1500));
}

#[test]
fn closing_again_is_nothing() {
    let mut world = serving(plan(vec![component("a", &[], &[Phase::Close])]));
    world.handle(Event::Close);
    let once = world.clone();
    world.now = at(5_000);
    world.handle(Event::Close);
    assert_eq!(world.machine, once.machine);
}

#[test]
fn the_phases_say_why_they_ended() {
    let mut world = serving(plan(vec![component("a", &[], &[Phase::Drain, Phase::Close])]));
    let mut left = Vec::new();
    let mut events = vec![Event::HookEnded(id(0), Phase::Drain, End::Done), Event::Close];
    while let Some(event) = events.pop() {
        world.machine.handle(Timestamp::ZERO, event);
        while let Some(action) = world.machine.poll_action() {
            left.extend(match action {
                Action::Leave(phase, why) => Some((phase, why)),
                _ => None,
            });
        }
    }
    world.machine.handle_timeout(at(40_000));
    while let Some(action) = world.machine.poll_action() {
        left.extend(match action {
            Action::Leave(phase, why) => Some((phase, why)),
            _ => None,
        });
    }
    let expected = [
        (Phase::Announce, Why::Empty),
        (Phase::Quiesce, Why::Empty),
        (Phase::Drain, Why::Done),
        (Phase::Cleanup, Why::Empty),
        (Phase::Close, Why::Forced),
    ];
    assert_eq!(left, expected);
}
