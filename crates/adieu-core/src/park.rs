//! Taking over the busy keep-alive connections of an old generation, one by one, each between an answer and the next
//! request.
//!
//! Busy connections never all fall silent together, and a server that closes an idle one races the client's next request.
//! So each is *parked*: the program is not woken for what comes next, which is then relayed to the new generation as the last
//! request of its connection.
//!
//! **Invariant.** A request is only taken when the program has answered everything it has read of that connection, and when
//! what waits unread is one whole request. Everything else is given back to the program untouched.
//!
//! Whether the program has answered is seen by what it reads and writes from one look to the next. When it did both in
//! between, their order is unknown, and on a busy machine that is the rule. Then the next request is *passed*: its bytes are
//! seen, the program gets them, and the end of its answer is held back (TCP_CORK, `tcp(7)`) until the connection has been
//! parked. So the client cannot ask again before, and one look at leisure is enough: the program has read exactly that
//! request, and has written since or not.
//!
//! A blocking `recv` decides when it begins how much it waits for; begun while the connection was parked, it never came
//! back. So the driver parks only what is non-blocking at that moment, what a thread waits to read from already, or what is
//! read only when a poll or a ring says that there is something; it looks again right after, and says [`Parked::Blocking`] otherwise. Holding the answer back gives the program the time to get
//! there.
//!
//! | state | look | becomes |
//! |---|---|---|
//! | free | nothing unread, and not in its first exchange | parked |
//! | parked, owed | something unread: more of the same request | free (given back) |
//! | parked, answered a request seen whole | something unread, nothing written since the look before | looked at |
//! | parked, unknown or answered another | something unread: one whole request | passing; anything else is given back |
//! | passing | that request read, nothing more came | parked; answered if something was written, else owed |
//! | passing | more than that read | free |
//! | looked at | a whole request, taken | carried |
//! | looked at | the beginning of one | parked; given back if it stays so, or closed, later, if the program has closed it |
//! | looked at | a request that its program has to see itself | free (given back) |
//! | looked at | anything else | foreign: given back for good |
//! | parked or passing | closed by the program: owed, or just after an answer | closed |
//! | parked or passing | closed by the program otherwise | parked, answered |
//! | any | gone | gone |

mod connection;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use self::connection::{Connection, Stage};
use crate::Timestamp;

/// The rest of a request must come within this time, or its program gets it.
const WHOLE: Duration = Duration::from_millis(250);
/// The same when there is no program any more that could get it: it would only be lost.
const WHOLE_FOR_NOBODY: Duration = Duration::from_secs(10);

/// What to do with a connection, named by its cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Keep the program from being woken by what comes, then let go what was held back; answer with [`Parking::parked`].
    Park(u64),
    /// Let the program be woken again, and let go what was held back.
    GiveBack(u64),
    /// If what is unread is one whole request, let the program have it and hold the end of its answer back; else only give
    /// it back. Answer with [`Parking::passed`].
    Pass(u64),
    /// Hold the end of the answer back that the program is about to write.
    HoldBack(u64),
    /// Let go what was held back.
    LetGo(u64),
    /// Look at what is unread and take it if it is a whole request; answer with [`Parking::looked`].
    Look(u64),
    /// Close it: the program has, and owes or has ended an answer.
    Close(u64),
}

/// Whether a connection could be parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parked {
    /// It is.
    Done,
    /// Something has come meanwhile.
    NotNow,
    /// The program may be about to begin a read that must not begin while it is parked.
    Blocking,
    /// It cannot be.
    Never,
}

/// What was found unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// One whole request of so many bytes; after a look it is ours.
    Whole(usize),
    /// The beginning of a request.
    Beginning,
    /// A request that the program has to see itself.
    Own,
    /// Nothing that can be taken, or the program has read it.
    Other,
}

/// What the kernel shows of one connection at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Names the connection.
    pub cookie: u64,
    /// Bytes that the program has read in all.
    pub read: u64,
    /// Bytes that wait unread.
    pub unread: u32,
    /// Bytes that the program has written in all, whether or not they have left.
    pub written: u64,
    /// Whether some of those have not reached the client.
    pub in_transit: bool,
    /// Milliseconds since data was last sent.
    pub sent_ago_ms: u32,
    /// Milliseconds since data was last received.
    pub received_ago_ms: u32,
    /// The client has finished sending.
    pub half_closed: bool,
    /// The program has a descriptor of it.
    pub owned: bool,
}

/// The connections of one old generation. Looks should come every few milliseconds.
#[derive(Debug, Clone)]
pub struct Parking {
    quiet: Duration,
    connections: BTreeMap<u64, Connection>,
    actions: VecDeque<Action>,
    /// The program has ended; by itself, and not by a signal.
    ended: Option<bool>,
}

impl Parking {
    /// Nothing is parked yet. A connection of which it is unknown whether it is owed an answer counts as answered when
    /// nothing has moved for `quiet`.
    #[must_use]
    pub fn new(quiet: Duration) -> Self {
        Self { quiet, connections: BTreeMap::new(), actions: VecDeque::new(), ended: None }
    }

    /// Takes a look at all connections that are still there.
    pub fn handle_look(&mut self, now: Timestamp, all: &[Seen]) {
        for connection in self.connections.values_mut() {
            connection.here = false;
        }
        for seen in all {
            let mut connection = match self.connections.get(&seen.cookie) {
                Some(connection) => connection.next(now, *seen),
                None => Connection::first(now, *seen),
            };
            connection.wait_out(self.quiet);
            let action = connection.decide(now, self.ended);
            self.connections.insert(seen.cookie, connection);
            self.actions.extend(action);
        }
        self.connections.retain(|_, connection| connection.here || connection.stage == Stage::Carried);
    }

    /// Whether a connection could be parked; only for one that is to be parked.
    pub fn parked(&mut self, now: Timestamp, cookie: u64, parked: Parked) {
        let Some(connection) = self.connections.get_mut(&cookie) else { return };
        let action = match parked {
            Parked::Done => {
                connection.is_let_go(Stage::Parked);
                None
            }
            Parked::NotNow => connection.could_not_be_parked(now, false),
            Parked::Blocking => connection.could_not_be_parked(now, true),
            Parked::Never => {
                connection.is_let_go(Stage::Foreign);
                Some(Action::LetGo(cookie))
            }
        };
        self.actions.extend(action);
    }

    /// What was passed to the program; only for what is to be passed.
    pub fn passed(&mut self, cookie: u64, found: Found) {
        let Some(connection) = self.connections.get_mut(&cookie) else { return };
        connection.stage = match found {
            Found::Whole(length) => {
                connection.hold_back();
                let (read, written) = (connection.seen.read, connection.seen.written);
                Stage::Passing { until: read + length as u64, written }
            }
            Found::Beginning | Found::Own => Stage::Free,
            Found::Other => Stage::Foreign,
        };
    }

    /// What a look at the unread bytes has found; only for what is to be looked at.
    pub fn looked(&mut self, now: Timestamp, cookie: u64, found: Found) {
        let Some(connection) = self.connections.get_mut(&cookie) else { return };
        let nobody = !connection.seen.owned;
        let most = if nobody { WHOLE_FOR_NOBODY } else { WHOLE };
        let late = connection.unread_since.is_some_and(|since| now - since >= most);
        let stage = match found {
            Found::Whole(_) => Stage::Carried,
            Found::Beginning if !late => return,
            Found::Beginning | Found::Own | Found::Other if nobody => {
                self.actions.push_back(Action::Close(cookie));
                Stage::Closed
            }
            Found::Own => {
                self.actions.push_back(Action::GiveBack(cookie));
                Stage::Free
            }
            Found::Beginning | Found::Other => {
                self.actions.push_back(Action::GiveBack(cookie));
                Stage::Foreign
            }
        };
        connection.stage = stage;
    }

    /// What was carried has been answered.
    pub fn carried(&mut self, cookie: u64) {
        self.connections.remove(&cookie);
    }

    /// No process of the program is left. `by_itself`: no signal ended it, so what it has closed owed nothing.
    pub fn program_ended(&mut self, by_itself: bool) {
        self.ended = Some(by_itself);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether this connection waits for nothing that the program could answer: it is parked between two requests, or gone.
    #[must_use]
    pub fn is_settled(&self, cookie: u64) -> bool {
        self.connections.get(&cookie).is_none_or(Connection::is_settled)
    }

    /// How many are being carried.
    #[must_use]
    pub fn carrying(&self) -> usize {
        self.connections.values().filter(|connection| connection.stage == Stage::Carried).count()
    }
}
