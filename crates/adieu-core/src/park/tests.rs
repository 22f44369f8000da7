//! A client, a program and the driver, with looks at any moment.

use proptest::prelude::*;

use super::*;

const QUIET: Duration = Duration::from_secs(2);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_origin(Duration::from_millis(millis))
}

/// A connection by what the program has read, what is unread, what it has written; the times tell nothing.
fn seen(read: u64, unread: u32, written: u64) -> Seen {
    Seen {
        cookie: 7,
        read,
        unread,
        written,
        in_transit: false,
        sent_ago_ms: 60,
        received_ago_ms: 60,
        half_closed: false,
        owned: true,
    }
}

fn look(parking: &mut Parking, now: u64, seen: Seen) -> Vec<Action> {
    parking.handle_look(at(now), &[seen]);
    let mut actions = Vec::new();
    while let Some(action) = parking.poll_action() {
        if let Action::Park(cookie) = action {
            parking.parked(at(now), cookie, Parked::Done);
        }
        actions.push(action);
    }
    actions
}

/// Parked, and its last request passed and answered.
fn sure() -> Parking {
    let mut parking = Parking::new(QUIET);
    assert_eq!(look(&mut parking, 0, seen(100, 0, 50)), [Action::Park(7)]);
    assert_eq!(look(&mut parking, 1, seen(100, 40, 50)), [Action::Pass(7)]);
    parking.passed(7, Found::Whole(40));
    assert_eq!(look(&mut parking, 2, seen(100, 40, 50)), [], "the program has not read it yet");
    assert_eq!(look(&mut parking, 3, seen(140, 0, 100)), [Action::Park(7)]);
    assert!(parking.is_settled(7));
    parking
}

#[test]
fn a_busy_connection_is_passed_once_and_then_taken() {
    let mut parking = sure();
    assert_eq!(look(&mut parking, 4, seen(140, 40, 100)), [Action::Look(7)]);
    parking.looked(at(4), 7, Found::Whole(40));
    assert!(!parking.is_settled(7));
    assert_eq!(parking.carrying(), 1);
    parking.carried(7);
    assert!(parking.is_settled(7));
}

#[test]
fn a_slow_answer_to_what_was_passed_is_waited_for() {
    let mut parking = Parking::new(QUIET);
    look(&mut parking, 0, seen(100, 0, 50));
    look(&mut parking, 1, seen(100, 40, 50));
    parking.passed(7, Found::Whole(40));
    assert_eq!(look(&mut parking, 2, seen(140, 0, 50)), [Action::Park(7)]);
    assert!(!parking.is_settled(7), "the program works on it");
    assert_eq!(look(&mut parking, 3000, seen(140, 0, 50)), []);
    assert!(!parking.is_settled(7));
    assert_eq!(look(&mut parking, 3001, seen(140, 0, 90)), []);
    assert_eq!(look(&mut parking, 3002, seen(140, 40, 90)), [Action::Look(7)]);
}

#[test]
fn more_than_was_passed_decides_nothing() {
    let mut parking = Parking::new(QUIET);
    look(&mut parking, 0, seen(100, 0, 50));
    look(&mut parking, 1, seen(100, 40, 50));
    parking.passed(7, Found::Whole(40));
    assert_eq!(look(&mut parking, 2, seen(180, 0, 90)), [Action::GiveBack(7)]);
    assert_eq!(look(&mut parking, 3, seen(180, 0, 90)), [Action::Park(7)]);
    assert_eq!(look(&mut parking, 4, seen(180, 40, 90)), [Action::Pass(7)], "not taken");
}

#[test]
fn an_interim_answer_is_none() {
    let mut parking = Parking::new(QUIET);
    // The head has been read, `100 Continue` is written, and the content looks like a request.
    look(&mut parking, 0, seen(100, 0, 50));
    look(&mut parking, 1, seen(150, 0, 50));
    look(&mut parking, 2, seen(150, 0, 75));
    assert_eq!(look(&mut parking, 3, seen(150, 40, 75)), [Action::Pass(7)]);
}

#[test]
fn the_rest_of_a_request_goes_to_the_program() {
    let mut parking = Parking::new(QUIET);
    look(&mut parking, 0, Seen { sent_ago_ms: 90, ..seen(100, 0, 50) });
    assert_eq!(look(&mut parking, 1, seen(100, 40, 50)), [Action::GiveBack(7)]);
    assert_eq!(look(&mut parking, 2, seen(140, 0, 50)), [Action::Park(7)]);
}

#[test]
fn what_is_no_request_is_given_back_for_good_and_what_the_program_must_see_for_once() {
    let mut parking = sure();
    look(&mut parking, 4, seen(140, 40, 100));
    parking.looked(at(4), 7, Found::Own);
    assert_eq!(parking.poll_action(), Some(Action::GiveBack(7)));
    assert_eq!(look(&mut parking, 5, seen(180, 0, 100)), [Action::Park(7)]);
    let mut parking = sure();
    look(&mut parking, 4, seen(140, 40, 100));
    parking.looked(at(4), 7, Found::Other);
    assert_eq!(parking.poll_action(), Some(Action::GiveBack(7)));
    assert_eq!(look(&mut parking, 5, seen(180, 0, 100)), []);
    assert!(!parking.is_settled(7));
}

#[test]
fn a_request_in_pieces_is_waited_for_but_not_for_ever() {
    let mut parking = sure();
    for now in 4..=5 + WHOLE.as_millis() as u64 {
        assert_eq!(look(&mut parking, now, seen(140, 4, 100)), [Action::Look(7)]);
        parking.looked(at(now), 7, Found::Beginning);
        if now < 4 + WHOLE.as_millis() as u64 {
            continue;
        }
        assert_eq!(parking.poll_action(), Some(Action::GiveBack(7)));
        return;
    }
    panic!("waited for ever");
}

/// A slow upload, whose program has gone: nobody else could read it.
#[test]
fn a_request_in_pieces_that_nobody_can_have_is_waited_for_longer() {
    let mut parking = sure();
    let gone = |unread| Seen { owned: false, sent_ago_ms: 500, ..seen(140, unread, 100) };
    let (first, last) = (WHOLE.as_millis() as u64, WHOLE_FOR_NOBODY.as_millis() as u64);
    for now in [4, 5, 4 + first, 4 + 2 * first, 3 + last] {
        assert_eq!(look(&mut parking, now, gone(4)), [Action::Look(7)]);
        parking.looked(at(now), 7, Found::Beginning);
        assert_eq!(parking.poll_action(), None, "after {now} ms");
    }
    assert_eq!(look(&mut parking.clone(), 4 + last, gone(40)), [Action::Look(7)], "in time, it is taken whole");
    assert_eq!(look(&mut parking, 4 + last, gone(4)), [Action::Look(7)]);
    parking.looked(at(4 + last), 7, Found::Beginning);
    assert_eq!(parking.poll_action(), Some(Action::Close(7)));
}

#[test]
fn the_first_answer_is_the_programs_to_end() {
    let mut parking = Parking::new(QUIET);
    assert_eq!(look(&mut parking, 0, seen(40, 0, 0)), []);
    assert_eq!(look(&mut parking, 1, seen(40, 0, 10)), [Action::Park(7)], "it keeps the connection");
    let mut parking = Parking::new(QUIET);
    assert_eq!(look(&mut parking, 0, seen(0, 0, 0)), [Action::Park(7)]);
    assert_eq!(look(&mut parking, 1, seen(0, 40, 0)), [Action::Look(7)], "nothing has ever been asked before");
}

/// Parks whatever blocks; returns when the end of an answer was held back (true) and let go (false).
fn blocking(written: impl Fn(u64) -> u64) -> Vec<(u64, bool)> {
    let mut parking = Parking::new(QUIET);
    let mut held = Vec::new();
    for now in 0..1000 {
        parking.handle_look(at(now), &[seen(100, 0, written(now))]);
        while let Some(action) = parking.poll_action() {
            match action {
                Action::Park(cookie) => parking.parked(at(now), cookie, Parked::Blocking),
                Action::HoldBack(_) => held.push((now, true)),
                Action::LetGo(_) => held.push((now, false)),
                other => panic!("{other:?}"),
            }
        }
    }
    held
}

#[test]
fn an_answer_is_held_back_from_its_beginning_and_let_go_in_time() {
    assert_eq!(blocking(|_| 50), [(0, true)], "nothing is written, so nothing is late");
    assert_eq!(blocking(|now| if now < 400 { 50 } else { 60 }), [(0, true), (400 + 150, false)]);
    // It goes on writing: a rest for the client, and then it is tried again.
    let stream = blocking(|now| 50 + now / 10);
    assert_eq!(stream[..2], [(0, true), (10 + 150, false)]);
}

#[test]
fn what_the_program_closes_is_kept_between_requests_and_closed_otherwise() {
    let gone = |read, unread, written| Seen { owned: false, ..seen(read, unread, written) };
    // Idle: kept, and its next request taken.
    let mut parking = sure();
    assert_eq!(look(&mut parking, 500, Seen { sent_ago_ms: 500, ..gone(140, 0, 100) }), []);
    assert_eq!(look(&mut parking, 900, Seen { sent_ago_ms: 900, ..gone(140, 0, 100) }), []);
    assert_eq!(look(&mut parking, 901, gone(140, 40, 100)), [Action::Look(7)]);
    // Just after an answer: the close ends that answer.
    let mut parking = sure();
    assert_eq!(look(&mut parking, 10, gone(140, 0, 100)), []);
    assert_eq!(look(&mut parking, 70, Seen { sent_ago_ms: 120, ..gone(140, 0, 100) }), [Action::Close(7)]);
    assert!(parking.is_settled(7));
    // The same, when the whole program has ended.
    let mut parking = sure();
    parking.program_ended(false);
    assert_eq!(look(&mut parking, 10, gone(140, 0, 100)), []);
    assert_eq!(look(&mut parking, 70, gone(140, 0, 100)), []);
    // With an answer owed.
    let mut parking = Parking::new(QUIET);
    look(&mut parking, 0, Seen { sent_ago_ms: 90, ..seen(100, 0, 50) });
    assert_eq!(look(&mut parking, 1, gone(100, 0, 50)), [Action::Close(7)]);
    // Passed to a program that never read it.
    let mut parking = Parking::new(QUIET);
    look(&mut parking, 0, seen(100, 0, 50));
    look(&mut parking, 1, seen(100, 40, 50));
    parking.passed(7, Found::Whole(40));
    assert_eq!(look(&mut parking, 2, gone(100, 40, 50)), [], "is it about to end, by a signal?");
    assert_eq!(look(&mut parking, 60, gone(100, 40, 50)), [Action::Look(7)]);
    // It was in the middle of something when a signal ended it.
    let mut parking = Parking::new(QUIET);
    look(&mut parking, 0, seen(100, 0, 50));
    look(&mut parking, 1, seen(100, 40, 50));
    parking.passed(7, Found::Whole(40));
    parking.program_ended(false);
    assert_eq!(look(&mut parking, 2, gone(100, 40, 50)), [Action::Close(7)]);
}

#[test]
fn a_client_that_is_done_is_the_programs_to_see() {
    let mut parking = sure();
    assert_eq!(look(&mut parking, 4, Seen { half_closed: true, ..seen(141, 0, 100) }), [Action::GiveBack(7)]);
    assert_eq!(look(&mut parking, 5, Seen { half_closed: true, ..seen(141, 0, 100) }), []);
}

/// A client that sends its next request only after a whole answer, and a program that reads, works and answers in pieces.
#[derive(Debug, Clone, Default)]
struct World {
    read: u64,
    unread: u32,
    written: u64,
    /// Pieces of the answer that the program still has to write; `None` when it waits.
    working: Option<u8>,
    /// The end of the answer is with the client.
    held: bool,
    answered: bool,
    low_water: bool,
    /// Requests that have been sent, and where the program and we took them from.
    sent: u64,
    by_program: u64,
    taken: u64,
}

const REQUEST: u32 = 40;

impl World {
    fn client(&mut self) {
        if self.answered && !self.held {
            (self.answered, self.unread) = (false, REQUEST);
            self.sent += 1;
        }
    }

    fn program(&mut self, pieces: u8) {
        match self.working {
            None if self.unread > 0 && !self.low_water => {
                self.read += u64::from(std::mem::take(&mut self.unread));
                self.by_program += 1;
                self.working = Some(pieces);
            }
            None => {}
            Some(0 | 1) => {
                (self.working, self.answered) = (None, true);
                self.written += 10;
            }
            Some(left) => {
                self.working = Some(left - 1);
                self.written += 10;
            }
        }
    }

    fn driver(&mut self, parking: &mut Parking, now: Timestamp) {
        parking.handle_look(
            now,
            &[Seen { sent_ago_ms: 0, received_ago_ms: 0, ..seen(self.read, self.unread, self.written) }],
        );
        while let Some(action) = parking.poll_action() {
            match action {
                Action::Park(cookie) => {
                    self.low_water = true;
                    self.held = false;
                    parking.parked(now, cookie, Parked::Done);
                }
                Action::GiveBack(_) => (self.low_water, self.held) = (false, false),
                Action::LetGo(_) => self.held = false,
                Action::HoldBack(_) => self.held = true,
                Action::Pass(cookie) => {
                    (self.low_water, self.held) = (false, true);
                    parking.passed(cookie, Found::Whole(self.unread as usize));
                }
                Action::Look(cookie) => {
                    assert!(self.working.is_none(), "taken while the program works: {self:?}");
                    self.unread = 0;
                    self.taken += 1;
                    parking.looked(now, cookie, Found::Whole(REQUEST as usize));
                }
                Action::Close(_) => panic!("closed: {self:?}"),
            }
        }
    }
}

proptest! {
    /// Whatever happens between two looks: nothing is taken while the program works, and a client that goes on asking is taken
    /// over soon.
    #[test]
    fn no_request_is_taken_out_of_turn_and_one_is_taken_soon(
        steps in prop::collection::vec((0u8..3, 1u8..4), 0..60),
        between in prop::collection::vec(0usize..8, 40),
    ) {
        let mut world = World { answered: true, read: 100, written: 50, ..World::default() };
        let mut parking = Parking::new(QUIET);
        let mut steps = steps.into_iter();
        let mut now = 0;
        for turns in between {
            for (who, pieces) in steps.by_ref().take(turns) {
                if who == 0 { world.client() } else { world.program(pieces) }
            }
            now += 1;
            world.driver(&mut parking, at(now));
            if world.taken > 0 {
                return Ok(());
            }
        }
        // Then everybody gets a turn between looks, as on a machine that is not quite idle.
        for _ in 0..20 {
            for who in 0..4 {
                if who == 0 { world.client() } else { world.program(1) }
            }
            now += 1;
            world.driver(&mut parking, at(now));
            if world.taken > 0 {
                return Ok(());
            }
        }
        prop_assert!(false, "never taken: {world:?} {parking:?}");
    }
}
