//! Parking: the busy keep-alive connections of an old generation are taken over between two requests. The judgement is in
//! [`adieu_core::park`]; this file looks, holds the duplicates and makes the kernel do it.
//!
//! A parked connection has SO_RCVLOWAT raised, so the program is not woken for the next request; a `close` by the program
//! then sends nothing, as we hold a duplicate. Of all other connections no duplicate is kept: their close is the program's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::http1::{self, Begins};
use adieu_core::outcome::Outcome;
use adieu_core::park::{Action, Found, Parked, Parking, Seen};
use adieu_core::switch::{Generation, Phase};
use adieu_linux::diag::{self, state};
use adieu_linux::pidfd::Pidfd;
use adieu_linux::waiting::{self, Waiting};
use adieu_linux::{clock, connections, descriptors, sockets};

use crate::carry::{Carry, Lingering};
use crate::supervisor::Supervisor;

/// Higher than any request that is taken; the kernel wakes the program when this much waits.
const LOW_WATER: i32 = 64 * 1024;
const BUSY_EVERY: Duration = Duration::from_millis(1);
const IDLE_EVERY: Duration = Duration::from_millis(5);
/// Connections that stay silent are kept for so long after their program has gone.
const KEPT_AFTER_END: Duration = Duration::from_secs(30);
/// Duplicates that may be held at once, and never more than half of the descriptors that we may have.
const MOST_PARKED: usize = 8192;

/// The connections of one old generation.
#[derive(Debug)]
pub(crate) struct Lot {
    pub(crate) generation: Generation,
    pub(crate) next: Timestamp,
    parking: Parking,
    /// Where the program has each of them, by cookie.
    places: BTreeMap<u64, Place>,
    processes: HashMap<i32, Pidfd>,
    /// Duplicates of those that are parked or passed.
    held: HashMap<u64, OwnedFd>,
    most: usize,
    /// Those whose answers are held back by us, and not by their program.
    corked: HashSet<u64>,
    /// Since the last look: what the threads of each process wait for; looked for when first needed.
    waiting: HashMap<i32, Waiting>,
    ended: Option<bool>,
    gone_since: Option<Timestamp>,
    taken: u64,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    process: i32,
    fd: i32,
    local: SocketAddr,
    seen: Option<Seen>,
}

impl Lot {
    pub(crate) fn is_settled(&self, cookie: u64) -> bool {
        self.parking.is_settled(cookie)
    }

    pub(crate) fn carries(&self) -> bool {
        self.parking.carrying() > 0
    }

    /// How its program has ended.
    pub(crate) fn program_ended(&mut self, outcome: Outcome) {
        let by_itself = matches!(outcome, Outcome::Exited(_));
        self.ended = Some(by_itself);
        self.parking.program_ended(by_itself);
    }

    fn look(&mut self) -> Vec<Seen> {
        self.waiting.clear();
        let cookies: Vec<u64> = self.places.keys().copied().collect();
        let mut all = Vec::with_capacity(cookies.len());
        for cookie in cookies {
            match self.look_at(cookie) {
                Some(seen) => all.push(seen),
                None => {
                    self.places.remove(&cookie);
                    self.held.remove(&cookie);
                    self.corked.remove(&cookie);
                }
            }
        }
        all
    }

    /// `None` when there is nothing left to do with it.
    fn look_at(&mut self, cookie: u64) -> Option<Seen> {
        let program = self.duplicate(cookie);
        let place = self.places.get_mut(&cookie)?;
        let (owned, program) = match program {
            Ok(program) => (program.is_some(), program),
            // Out of descriptors: nothing new is known of it.
            Err(_) => return place.seen,
        };
        let fd = self.held.get(&cookie).or(program.as_ref())?;
        let counters = match connections::counters(fd.as_fd()) {
            Ok(counters) => counters,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return place.seen,
            Err(_) => return None,
        };
        let half_closed = match counters.state {
            state::ESTABLISHED => false,
            state::CLOSE_WAIT => true,
            _ => return None,
        };
        let seen = Seen {
            cookie,
            read: counters.read,
            unread: counters.unread,
            written: counters.written,
            in_transit: counters.info.segments_unacked > 0 || counters.info.bytes_unsent > 0,
            sent_ago_ms: counters.info.last_data_sent_ms,
            received_ago_ms: counters.info.last_data_received_ms,
            half_closed,
            owned,
        };
        place.seen = Some(seen);
        Some(seen)
    }

    /// A duplicate of the program's own descriptor; `None` when it has closed it.
    fn duplicate(&mut self, cookie: u64) -> std::io::Result<Option<OwnedFd>> {
        let Some(place) = self.places.get(&cookie) else { return Ok(None) };
        let process = match self.processes.get(&place.process) {
            Some(process) => process,
            None => match Pidfd::open(place.process) {
                Ok(process) => self.processes.entry(place.process).or_insert(process),
                Err(error) if is_out_of_descriptors(&error) => return Err(error),
                Err(_) => return Ok(None),
            },
        };
        match process.get_fd(place.fd) {
            // The number may have been used again.
            Ok(fd) => Ok((connections::cookie(fd.as_fd()).ok() == Some(cookie)).then_some(fd)),
            Err(error) if is_out_of_descriptors(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Does something with a connection that may be held or not.
    fn with<T>(&mut self, cookie: u64, act: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        if let Some(fd) = self.held.get(&cookie) {
            return Some(act(fd.as_fd()));
        }
        self.duplicate(cookie).ok().flatten().map(|fd| act(fd.as_fd()))
    }

    /// Holds a duplicate and keeps the program from being woken.
    fn park(&mut self, cookie: u64) -> Parked {
        let Some(place) = self.places.get(&cookie).copied() else { return Parked::Never };
        let fd = match self.held.remove(&cookie) {
            Some(fd) => fd,
            None if self.held.len() >= self.most => return Parked::Never,
            None => match self.duplicate(cookie) {
                Ok(Some(fd)) => fd,
                Ok(None) | Err(_) => return Parked::NotNow,
            },
        };
        if !self.can_be_kept_from_reading(fd.as_fd(), &place) {
            return Parked::Blocking;
        }
        if connections::set_low_water(fd.as_fd(), LOW_WATER).is_err() {
            return Parked::Never;
        }
        // What came before that has woken the program.
        let read = place.seen.map(|seen| seen.read);
        let untouched = connections::counters(fd.as_fd()).is_ok_and(|now| (Some(now.read), now.unread) == (read, 0));
        if !untouched || !self.can_be_kept_from_reading(fd.as_fd(), &place) {
            drop(connections::set_low_water(fd.as_fd(), 1));
            return Parked::NotNow;
        }
        self.held.insert(cookie, fd);
        self.let_go(cookie);
        Parked::Done
    }

    /// Whether raising the mark of a connection keeps its program from reading it and can be undone.
    fn can_be_kept_from_reading(&mut self, fd: BorrowedFd<'_>, place: &Place) -> bool {
        if sockets::is_nonblocking(fd) {
            return true;
        }
        let process = place.process;
        let found = || waiting::waiting(process).unwrap_or_default();
        let waiting = self.waiting.entry(process).or_insert_with(found);
        match waiting.readers.get(&place.fd) {
            Some(tid) => waiting::reads_from(process, *tid) == Some(place.fd),
            // As it was at the last look; the thread may have gone on.
            None if waiting.is_read_when_told(place.fd) => found().is_read_when_told(place.fd),
            None => false,
        }
    }

    /// The connections that some thread works on: they are read without O_NONBLOCK, and nobody waits for more from them.
    pub(crate) fn worked_on(&mut self) -> HashSet<u64> {
        let mut processes: HashMap<i32, Option<Waiting>> = HashMap::new();
        let mut busy = HashSet::new();
        for (cookie, Place { process, fd, .. }) in self.places.clone() {
            if self.with(cookie, sockets::is_nonblocking) == Some(false) {
                let waiting = processes.entry(process).or_insert_with(|| waiting::waiting(process).ok());
                busy.extend(waiting.as_ref().is_some_and(|waiting| !waiting.may_be_for(fd)).then_some(cookie));
            }
        }
        busy
    }

    fn give_back(&mut self, cookie: u64) {
        self.let_go(cookie);
        if let Some(fd) = self.held.remove(&cookie) {
            drop(connections::set_low_water(fd.as_fd(), 1));
        }
    }

    fn give_back_all(&mut self) {
        let mut all: HashSet<u64> = self.held.keys().copied().collect();
        all.extend(&self.corked);
        for cookie in all {
            self.give_back(cookie);
        }
    }

    fn hold_back(&mut self, cookie: u64) {
        let corked = self.with(cookie, |fd| !connections::is_corked(fd) && connections::set_cork(fd, true).is_ok());
        if corked == Some(true) {
            self.corked.insert(cookie);
        }
    }

    fn let_go(&mut self, cookie: u64) {
        if self.corked.remove(&cookie) {
            self.with(cookie, |fd| connections::set_cork(fd, false));
        }
    }

    /// Lets the program have one whole request, and the client not yet the end of its answer.
    fn pass(&mut self, cookie: u64) -> Found {
        let (found, _) = self.held.get(&cookie).map_or((Found::Other, Vec::new()), |fd| peek(fd.as_fd()));
        match (found, self.held.get(&cookie).map(AsFd::as_fd)) {
            (Found::Whole(_), Some(_)) => {
                self.hold_back(cookie);
                self.with(cookie, |fd| connections::set_low_water(fd, 1));
            }
            _ => self.give_back(cookie),
        }
        found
    }

    fn close(&mut self, cookie: u64, now: Timestamp) -> Option<Lingering> {
        self.let_go(cookie);
        self.places.remove(&cookie);
        self.held.remove(&cookie).map(|fd| Lingering::new(fd, now))
    }
}

impl Supervisor {
    /// Begins to park these connections, where duplicating them is permitted.
    pub(crate) fn open_lot(&mut self, generation: Generation, all: &[diag::Socket]) {
        if self.may_duplicate == Some(false) || self.options.sockets == crate::options::Sockets::Off || all.is_empty() {
            return;
        }
        let mut found = HashMap::new();
        for pid in self.members(generation) {
            let sockets = descriptors::sockets(pid).unwrap_or_default();
            found.extend(sockets.into_iter().map(|(fd, inode)| (inode, (pid, fd))));
        }
        let place = |socket: &diag::Socket| {
            let (process, fd) = *found.get(&socket.inode)?;
            Some((socket.cookie, Place { process, fd, local: socket.local, seen: None }))
        };
        self.lots.push(Lot {
            generation,
            next: clock::now(),
            parking: Parking::new(self.options.drain_quiet),
            places: all.iter().filter_map(place).collect(),
            processes: HashMap::new(),
            held: HashMap::new(),
            most: MOST_PARKED.min(descriptors::limit() / 2),
            corked: HashSet::new(),
            waiting: HashMap::new(),
            ended: None,
            gone_since: None,
            taken: 0,
        });
    }

    pub(crate) fn advance_lots(&mut self) {
        let now = clock::now();
        for mut lot in std::mem::take(&mut self.lots) {
            if now < lot.next {
                self.lots.push(lot);
                continue;
            }
            let phase =
                self.switch.statuses().find(|status| status.generation == lot.generation).map(|status| status.phase);
            match phase {
                // It serves again: everything is its own.
                Some(Phase::Serving) => lot.give_back_all(),
                Some(_) => self.advance_lot(lot, now),
                None => {
                    let since = *lot.gone_since.get_or_insert(now);
                    if self.switch.is_stopping() || now - since >= KEPT_AFTER_END {
                        self.lingering.extend(lot.held.drain().map(|(_, fd)| Lingering::new(fd, now)));
                    } else {
                        self.advance_lot(lot, now);
                    }
                }
            }
        }
    }

    fn advance_lot(&mut self, mut lot: Lot, now: Timestamp) {
        let began = clock::thread_time();
        if lot.ended.is_none()
            && let Some(outcome) = self.running.get(&lot.generation).and_then(|running| running.outcome)
        {
            lot.program_ended(outcome);
        }
        let all = lot.look();
        lot.parking.handle_look(now, &all);
        while let Some(action) = lot.parking.poll_action() {
            match action {
                Action::Park(cookie) => {
                    let parked = lot.park(cookie);
                    lot.parking.parked(now, cookie, parked);
                }
                Action::GiveBack(cookie) => lot.give_back(cookie),
                Action::Pass(cookie) => {
                    let found = lot.pass(cookie);
                    lot.parking.passed(cookie, found);
                }
                Action::HoldBack(cookie) => lot.hold_back(cookie),
                Action::LetGo(cookie) => lot.let_go(cookie),
                Action::Look(cookie) => {
                    let found = self.take_request(&mut lot, cookie);
                    lot.parking.looked(now, cookie, found);
                }
                Action::Close(cookie) => self.lingering.extend(lot.close(cookie, now)),
            }
        }
        self.carried.retain(|(generation, cookie)| {
            let mine = *generation == lot.generation;
            if mine {
                lot.parking.carried(*cookie);
            }
            !mine
        });
        // By the processor time that it took: on a busy machine the time on the clock is mostly others'.
        let cost = clock::thread_time().saturating_sub(began);
        let pace = if lot.gone_since.is_some() { IDLE_EVERY } else { BUSY_EVERY };
        lot.next = now + pace.max(cost * 3);
        if lot.places.is_empty() && !lot.carries() {
            if lot.taken > 0 {
                let (generation, taken) = (lot.generation, lot.taken);
                self.quiet_note_once(&format!(
                    "generation {generation}: {taken} requests on its open connections were answered by the next one"
                ));
            }
            return;
        }
        self.lots.push(lot);
    }

    /// Takes what is unread if it is a whole request, and begins to carry it to the generation that serves.
    fn take_request(&mut self, lot: &mut Lot, cookie: u64) -> Found {
        let (Some(fd), Some(place)) = (lot.held.get(&cookie), lot.places.get(&cookie)) else { return Found::Other };
        let (found, peeked) = peek(fd.as_fd());
        if !matches!(found, Found::Whole(_)) {
            return found;
        }
        let Ok(client) = fd.as_fd().try_clone_to_owned() else { return Found::Own };
        let request = http1::as_last(&peeked);
        let deadline = clock::now() + self.options.grace;
        let Some(carry) = Carry::connect((lot.generation, cookie), client, place.local, request, deadline) else {
            return Found::Own;
        };
        let mut taken = vec![0; peeked.len()];
        let got = connections::receive_now(fd.as_fd(), &mut taken, false);
        if got.as_ref().ok() != Some(&peeked.len()) || taken != peeked {
            // The program was faster: what we got, if anything, is missing there.
            if got.is_ok() {
                self.note(format!(
                    "generation {}: a request was read half by the program and half here",
                    lot.generation
                ));
            }
            return Found::Other;
        }
        lot.held.remove(&cookie);
        lot.places.remove(&cookie);
        lot.taken += 1;
        self.carries.push(carry);
        found
    }
}

/// What waits unread, and its bytes.
fn peek(fd: BorrowedFd<'_>) -> (Found, Vec<u8>) {
    let mut buffer = vec![0; http1::LONGEST + 1];
    let Ok(length) = connections::receive_now(fd, &mut buffer, true) else { return (Found::Other, Vec::new()) };
    buffer.truncate(length);
    let found = match http1::classify(&buffer) {
        Begins::Request(length) => Found::Whole(length),
        Begins::Incomplete => Found::Beginning,
        Begins::Own => Found::Own,
        Begins::Other => Found::Other,
    };
    (found, buffer)
}

fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    // EMFILE, ENFILE.
    matches!(error.raw_os_error(), Some(24 | 23))
}
