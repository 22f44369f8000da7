use super::*;

const GRACE: Duration = Duration::from_secs(30);
const ALPHABET: [Event; 9] = [
    Event::Request { grace: GRACE, pre_stop: false },
    Event::Request { grace: GRACE, pre_stop: true },
    Event::PreStopDone,
    Event::MainGone,
    Event::AllGone,
    Event::Hopeless,
    Event::Judged,
    Event::Answered(true),
    Event::Answered(false),
];

/// What one order of events has led to.
#[derive(Debug, Clone)]
struct World {
    ladder: Ladder,
    now: Timestamp,
    hopeless: bool,
    told: bool,
    taken: Vec<Action>,
    order: Vec<Option<Event>>,
}

impl World {
    fn step(&self, event: Option<Event>) -> Self {
        let mut next = self.clone();
        next.order.push(event);
        let ended = next.ladder.end();
        match event {
            Some(event) => {
                next.hopeless |= event == Event::Hopeless;
                next.told |= next.ladder.state == State::Asking && event == Event::Answered(true);
                next.ladder.handle(next.now, event);
            }
            None => {
                if let Some(at) = next.ladder.poll_timeout() {
                    next.now = next.now.max(at);
                    next.ladder.handle_timeout(next.now);
                }
            }
        }
        assert!(ended.is_none() || next.ladder.end() == ended, "{:?}: an end was taken back", next.order);
        while let Some(action) = next.ladder.poll_action() {
            next.taken.push(action);
        }
        next.check();
        next
    }

    fn check(&self) {
        let (order, count) = (&self.order, |wanted: Action| self.taken.iter().filter(|took| **took == wanted).count());
        let killed = count(Action::Kill) > 0;
        for once in [Action::AskMain, Action::AskRest, Action::Judge, Action::AskPerson, Action::Dump] {
            assert!(count(once) <= 1, "{order:?}: {once:?} twice");
        }
        if killed {
            assert_eq!(count(Action::Judge), 1, "{order:?}: killed without a diagnosis");
            let wait = if self.hopeless { HOPELESS_GRACE } else { GRACE };
            assert!(self.now.since_origin() >= wait, "{order:?}: killed before the deadline");
            let allowed = match self.ladder.force {
                Force::Never => false,
                Force::IfToldSo => self.told,
                Force::Allowed => true,
            };
            assert!(allowed, "{order:?}: killed without permission");
        }
        match self.ladder.end() {
            Some(End::Forced) => assert!(killed, "{order:?}"),
            Some(End::Gone) => assert!(!killed && order.contains(&Some(Event::AllGone)), "{order:?}"),
            Some(End::StillThere) => assert_eq!(count(Action::Judge), 1, "{order:?}: given up without a diagnosis"),
            None => {
                let waits_for_driver = matches!(self.ladder.state, State::Idle | State::Judging | State::Asking);
                assert!(waits_for_driver || self.ladder.poll_timeout().is_some(), "{order:?}: no deadline");
            }
        }
    }
}

#[test]
fn every_order_of_events_keeps_the_invariants() {
    for force in [Force::Never, Force::IfToldSo, Force::Allowed] {
        let world = World {
            ladder: Ladder::new(force, true),
            now: Timestamp::ZERO,
            hopeless: false,
            told: false,
            taken: Vec::new(),
            order: Vec::new(),
        };
        let mut worlds = vec![world];
        for _ in 0..5 {
            let steps = || ALPHABET.into_iter().map(Some).chain([None]);
            worlds = worlds.iter().flat_map(|world| steps().map(|event| world.step(event))).collect();
        }
    }
}

#[test]
fn what_sigkill_does_not_end_is_given_up() {
    let mut ladder = Ladder::new(Force::Allowed, false);
    let mut now = Timestamp::ZERO;
    ladder.handle(now, Event::Request { grace: GRACE, pre_stop: false });
    let mut kills = 0;
    while ladder.end().is_none() {
        while let Some(action) = ladder.poll_action() {
            match action {
                Action::Judge => ladder.handle(now, Event::Judged),
                Action::Kill => kills += 1,
                other => assert_eq!(other, Action::AskMain),
            }
        }
        if let Some(at) = ladder.poll_timeout() {
            now = at;
            ladder.handle_timeout(now);
        }
    }
    assert_eq!(ladder.end(), Some(End::StillThere));
    assert!(kills > 10 && now.since_origin() == GRACE + KILL_PATIENCE, "{kills} kills until {now}");
}

#[test]
fn a_pre_stop_that_never_returns_leaves_time_for_the_process() {
    let mut ladder = Ladder::new(Force::Never, false);
    ladder.handle(Timestamp::ZERO, Event::Request { grace: GRACE, pre_stop: true });
    assert_eq!(ladder.poll_action(), Some(Action::RunPreStop(Duration::from_secs(28))));
    ladder.handle_timeout(Timestamp::ZERO + Duration::from_secs(28));
    assert_eq!(ladder.poll_action(), Some(Action::AskMain));
    assert_eq!(ladder.deadline(), Some(Timestamp::ZERO + GRACE));
}
