//! Taking over the busy keep-alive connections of an old generation, one by one, each between an answer and the next
//! request.
//!
//! Busy connections never all fall silent together, and a server that closes an idle one races the client's next request.
//! So each is *parked*: the program is not woken for what comes next, which is then relayed to the new generation as the last
//! request of its connection.
//!
//! A blocking `recv` decides when it begins how much it waits for: if it begins while the connection is parked, waking it
//! later does not end it. So the driver parks only what is non-blocking at that moment, or what a thread waits to read from
//! already; it looks again right after, and says [`Parked::NotNow`] for everything else.
//!
//! **Invariant.** A connection is only taken when the program has answered everything it has read of it, and what waits
//! unread is a whole request. Everything else is given back to the program untouched.
//!
//! | state | sample or answer | becomes |
//! |---|---|---|
//! | free | nothing unread | parked |
//! | parked, an answer is owed | something unread: more of the same request | free (given back) |
//! | parked, answered | something unread, nothing sent since the sample before | looked at |
//! | looked at | a whole request, taken | carried |
//! | looked at | the beginning of one | parked; given back if it stays so |
//! | looked at | anything else | foreign: given back for good |
//! | any | not in the sample | gone |

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::Timestamp;
use crate::owed::{Sample, State};

/// With equal times and nothing moving for so long, a connection counts as answered.
const STILL: Duration = Duration::from_millis(200);
/// The rest of a request must come within this time.
const WHOLE: Duration = Duration::from_millis(250);

/// What to do with a connection, named by its cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Keep the program from being woken by what comes; answer with [`Parking::parked`].
    Park(u64),
    /// Let the program be woken again.
    GiveBack(u64),
    /// Look at what is unread and take it if it is a whole request; answer with [`Parking::looked`].
    Look(u64),
}

/// Whether a connection could be parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parked {
    /// It is.
    Done,
    /// Not at this moment: something has come meanwhile, or the program reads it in a way that must not be disturbed.
    NotNow,
    /// It cannot be.
    Never,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A whole request; it is ours.
    Taken,
    /// The beginning of a request.
    Beginning,
    /// Nothing that can be taken, or the program has read it.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Free,
    Parked,
    Foreign,
    Carried,
}

#[derive(Debug, Clone, Copy)]
struct Connection {
    stage: Stage,
    sample: Sample,
    /// The program has read something and not answered since.
    owed: bool,
    /// Nothing has moved since.
    still_since: Timestamp,
    /// Something is unread since.
    unread_since: Option<Timestamp>,
    sent_now: bool,
    here: bool,
}

/// The connections of one old generation. Samples should come every few milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Parking {
    connections: BTreeMap<u64, Connection>,
    actions: VecDeque<Action>,
}

impl Parking {
    /// Nothing is parked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a sample of the connections that may be parked.
    pub fn handle_samples(&mut self, now: Timestamp, samples: &[Sample]) {
        for connection in self.connections.values_mut() {
            connection.here = false;
        }
        for sample in samples.iter().filter(|sample| sample.state == State::Open && sample.has_owner) {
            let connection = match self.connections.get(&sample.cookie) {
                Some(connection) => connection.next(now, *sample),
                None => Connection::first(now, *sample),
            };
            let (connection, action) = connection.decide(now);
            self.connections.insert(sample.cookie, connection);
            self.actions.extend(action);
        }
        self.connections.retain(|_, connection| connection.here || connection.stage == Stage::Carried);
    }

    /// The connection is parked, or cannot be; only for one that is to be parked.
    pub fn parked(&mut self, cookie: u64, parked: Parked) {
        if let Some(connection) = self.connections.get_mut(&cookie) {
            connection.stage = match parked {
                Parked::Done => Stage::Parked,
                Parked::NotNow => Stage::Free,
                Parked::Never => Stage::Foreign,
            };
        }
    }

    /// What a look has found.
    pub fn looked(&mut self, now: Timestamp, cookie: u64, found: Found) {
        let Some(connection) = self.connections.get_mut(&cookie) else { return };
        let late = connection.unread_since.is_some_and(|since| now - since >= WHOLE);
        match found {
            Found::Taken => connection.stage = Stage::Carried,
            Found::Beginning if !late => {}
            Found::Beginning | Found::Other => {
                connection.stage = Stage::Foreign;
                self.actions.push_back(Action::GiveBack(cookie));
            }
        }
    }

    /// What was carried has been answered.
    pub fn carried(&mut self, cookie: u64) {
        self.connections.remove(&cookie);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether this connection waits for nothing that the program could answer: it is parked between two requests.
    #[must_use]
    pub fn is_settled(&self, cookie: u64) -> bool {
        self.connections.get(&cookie).is_none_or(|c| {
            c.stage == Stage::Parked && !c.owed && c.sample.unread == 0 && c.sample.unsent_or_unacked == 0
        })
    }

    /// Whether it is parked, and the program has answered all that it has read: its next request can be taken even when the
    /// program is gone.
    #[must_use]
    pub fn awaits_request(&self, cookie: u64) -> bool {
        self.connections.get(&cookie).is_some_and(|c| c.stage == Stage::Parked && !c.owed)
    }

    /// How many are parked, and how many are being carried.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let count = |stage| self.connections.values().filter(|c| c.stage == stage).count();
        (count(Stage::Parked), count(Stage::Carried))
    }
}

impl Connection {
    fn first(now: Timestamp, sample: Sample) -> Self {
        let (sent_ago, received_ago) = (sample.last_data_sent_ms, sample.last_data_recv_ms);
        let nothing_read = sample.bytes_received == u64::from(sample.unread);
        let owed = !nothing_read && received_ago <= sent_ago;
        Self {
            stage: Stage::Free,
            sample,
            owed,
            still_since: now,
            unread_since: (sample.unread > 0).then_some(now),
            sent_now: true,
            here: true,
        }
    }

    fn next(self, now: Timestamp, sample: Sample) -> Self {
        let read = |s: &Sample| s.bytes_received.saturating_sub(u64::from(s.unread));
        let has_read = read(&sample) != read(&self.sample);
        let has_sent = written(&sample) != written(&self.sample);
        let moved = has_read || has_sent || sample.bytes_received != self.sample.bytes_received;
        let still_since = if moved { now } else { self.still_since };
        // Equal times and a long silence: whoever works on an answer for longer has received it clearly before.
        let tie = sample.last_data_sent_ms == sample.last_data_recv_ms;
        let silent = tie && now - still_since >= STILL;
        // When both happened, the program has most likely answered one request and read the next.
        let owed = (has_read || (self.owed && !has_sent)) && !silent;
        let unread_since = if sample.unread == 0 { None } else { self.unread_since.or(Some(now)) };
        Self { sample, owed, still_since, unread_since, sent_now: has_sent, here: true, ..self }
    }

    fn decide(self, _now: Timestamp) -> (Self, Option<Action>) {
        let cookie = self.sample.cookie;
        let unread = self.sample.unread > 0;
        match self.stage {
            Stage::Free if !unread => (self, Some(Action::Park(cookie))),
            Stage::Parked if unread && self.owed => {
                (Self { stage: Stage::Free, ..self }, Some(Action::GiveBack(cookie)))
            }
            Stage::Parked if unread && !self.sent_now => (self, Some(Action::Look(cookie))),
            Stage::Free | Stage::Parked | Stage::Foreign | Stage::Carried => (self, None),
        }
    }
}

/// All that the program has ever written to the connection.
fn written(sample: &Sample) -> u64 {
    sample.bytes_acked + u64::from(sample.unsent_or_unacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_origin(Duration::from_millis(millis))
    }

    /// A connection by what the program has read, what is unread, what it has written.
    fn sample(read: u64, unread: u32, written: u64, sent_ago: u32, received_ago: u32) -> Sample {
        Sample {
            cookie: 7,
            state: State::Open,
            unread,
            unsent_or_unacked: 0,
            last_data_sent_ms: sent_ago,
            last_data_recv_ms: received_ago,
            bytes_received: read + u64::from(unread),
            bytes_acked: written,
            bytes_sent: written,
            segs_in: 0,
            segs_out: 0,
            has_owner: true,
        }
    }

    fn step(parking: &mut Parking, now: u64, sample: Sample) -> Vec<Action> {
        parking.handle_samples(at(now), &[sample]);
        let mut actions = Vec::new();
        while let Some(action) = parking.poll_action() {
            if let Action::Park(cookie) = action {
                parking.parked(cookie, Parked::Done);
            }
            actions.push(action);
        }
        actions
    }

    #[test]
    fn a_busy_connection_is_taken_at_its_next_request() {
        let mut parking = Parking::new();
        // In the middle of a request: parked at once, settled only after the answer.
        assert_eq!(step(&mut parking, 0, sample(100, 0, 50, 20, 0)), [Action::Park(7)]);
        assert!(!parking.is_settled(7) && !parking.awaits_request(7));
        assert_eq!(step(&mut parking, 5, sample(100, 0, 100, 0, 4)), []);
        assert!(parking.is_settled(7));
        assert_eq!(step(&mut parking, 6, sample(100, 40, 100, 0, 0)), [Action::Look(7)]);
        assert!(!parking.is_settled(7) && parking.awaits_request(7));
        parking.looked(at(6), 7, Found::Taken);
        assert!(!parking.is_settled(7));
        parking.carried(7);
        assert!(parking.is_settled(7));
    }

    #[test]
    fn what_cannot_be_parked_now_is_tried_again() {
        let mut parking = Parking::new();
        parking.handle_samples(at(0), &[sample(100, 0, 50, 0, 20)]);
        assert_eq!(parking.poll_action(), Some(Action::Park(7)));
        parking.parked(7, Parked::NotNow);
        assert!(!parking.is_settled(7));
        assert_eq!(step(&mut parking, 1, sample(100, 0, 50, 1, 21)), [Action::Park(7)]);
        assert!(parking.is_settled(7));
    }

    #[test]
    fn the_rest_of_a_request_goes_to_the_program() {
        let mut parking = Parking::new();
        step(&mut parking, 0, sample(100, 0, 50, 20, 0));
        assert_eq!(step(&mut parking, 1, sample(100, 40, 50, 20, 0)), [Action::GiveBack(7)]);
        assert_eq!(step(&mut parking, 2, sample(140, 0, 50, 20, 0)), [Action::Park(7)]);
    }

    #[test]
    fn what_is_no_request_is_given_back_for_good() {
        let mut parking = Parking::new();
        step(&mut parking, 0, sample(100, 0, 50, 0, 20));
        assert_eq!(step(&mut parking, 1, sample(100, 40, 50, 0, 0)), [Action::Look(7)]);
        parking.looked(at(1), 7, Found::Other);
        assert_eq!(parking.poll_action(), Some(Action::GiveBack(7)));
        assert_eq!(step(&mut parking, 2, sample(140, 0, 50, 0, 0)), []);
        assert!(!parking.is_settled(7));
    }

    #[test]
    fn a_request_in_pieces_is_waited_for_but_not_for_ever() {
        let mut parking = Parking::new();
        step(&mut parking, 0, sample(100, 0, 50, 0, 20));
        for now in 1..=WHOLE.as_millis() as u64 + 1 {
            step(&mut parking, now, sample(100, 4, 50, 0, 0));
            parking.looked(at(now), 7, Found::Beginning);
        }
        assert_eq!(parking.poll_action(), Some(Action::GiveBack(7)));
    }

    #[test]
    fn an_answer_still_being_sent_is_not_interrupted() {
        let mut parking = Parking::new();
        step(&mut parking, 0, sample(100, 0, 50, 0, 20));
        assert_eq!(step(&mut parking, 1, sample(100, 40, 60, 0, 0)), [], "it has sent since the sample before");
        assert_eq!(step(&mut parking, 2, sample(100, 40, 60, 0, 0)), [Action::Look(7)]);
    }
}
