//! Parking: the busy keep-alive connections of an old generation are taken over between two requests. The judgement is in
//! [`adieu_core::park`]; this file holds the duplicates and makes the kernel do it.
//!
//! A parked connection has SO_RCVLOWAT raised, so the program is not woken for the next request; a `close` by the program
//! then sends nothing, as we hold a duplicate.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::http1::{self, Begins};
use adieu_core::owed::Sample;
use adieu_core::park::{Action, Found, Parked, Parking};
use adieu_core::switch::{Generation, Phase};
use adieu_linux::diag::{self, Identity};
use adieu_linux::pidfd::Pidfd;
use adieu_linux::{clock, connections, descriptors, sockets};

use crate::carry::{Carry, Lingering};
use crate::drain::OPEN;
use crate::supervisor::Supervisor;

/// Higher than any request that is taken; the kernel wakes the program when this much waits.
const LOW_WATER: i32 = 64 * 1024;
const BUSY_EVERY: Duration = Duration::from_millis(1);
const IDLE_EVERY: Duration = Duration::from_millis(5);
/// Connections that stay silent are kept for so long after their program has gone.
const KEPT_AFTER_END: Duration = Duration::from_secs(30);
/// Duplicates that may be held at once.
const MOST_PARKED: usize = 8192;

/// The connections of one old generation.
#[derive(Debug)]
pub(crate) struct Lot {
    pub(crate) generation: Generation,
    pub(crate) next: Timestamp,
    connections: HashMap<u64, Identity>,
    parking: Parking,
    held: HashMap<u64, OwnedFd>,
    /// Where the processes have their sockets: inode to process and descriptor.
    places: HashMap<u64, (i32, i32)>,
    /// The connections of the last sample.
    known: HashMap<u64, Known>,
    /// Since that sample: the threads that wait to read, by process; looked for when first needed.
    readers: HashMap<i32, HashMap<i32, i32>>,
    gone_since: Option<Timestamp>,
    taken: u64,
    /// Taken, and not answered yet.
    carrying: HashSet<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    inode: u64,
    local: SocketAddr,
    bytes_received: u64,
}

impl Lot {
    pub(crate) fn is_settled(&self, cookie: u64) -> bool {
        self.parking.is_settled(cookie)
    }

    pub(crate) fn carries(&self) -> bool {
        self.parking.counts().1 > 0
    }

    /// Whether raising the mark of a connection keeps its program from reading it and can be undone.
    fn can_be_kept_from_reading(&mut self, fd: BorrowedFd<'_>, (pid, theirs): (i32, i32)) -> bool {
        if sockets::is_nonblocking(fd) {
            return true;
        }
        let readers = self.readers.entry(pid).or_insert_with(|| descriptors::waiting_readers(pid).unwrap_or_default());
        readers.get(&theirs).is_some_and(|tid| descriptors::waits_to_read(pid, *tid) == Some(theirs))
    }

    /// The program is gone: ends the connections that nobody will answer on any more, as its end would have done.
    fn let_go(&mut self, now: Timestamp, lingering: &mut Vec<Lingering>) {
        let parking = &self.parking;
        let over = self.held.extract_if(|cookie, _| !parking.awaits_request(*cookie));
        lingering.extend(over.map(|(_, fd)| Lingering::new(fd, now)));
    }

    fn give_back_all(&mut self) {
        for fd in self.held.values() {
            drop(connections::set_low_water(fd.as_fd(), 1));
        }
        self.held.clear();
    }
}

impl Supervisor {
    /// Begins to park these connections, where duplicating them is permitted.
    pub(crate) fn open_lot(&mut self, generation: Generation, connections: &[diag::Socket]) {
        if self.may_duplicate != Some(false)
            && self.options.sockets != crate::options::Sockets::Off
            && !connections.is_empty()
        {
            let places = self.places_of(generation);
            self.lots.push(Lot {
                generation,
                next: clock::now(),
                connections: connections.iter().map(|socket| (socket.cookie, socket.identity)).collect(),
                parking: Parking::new(),
                held: HashMap::new(),
                places,
                known: HashMap::new(),
                readers: HashMap::new(),
                gone_since: None,
                taken: 0,
                carrying: HashSet::new(),
            });
        }
    }

    fn places_of(&self, generation: Generation) -> HashMap<u64, (i32, i32)> {
        let members = self.members(generation);
        let of = |pid: i32| {
            descriptors::sockets(pid).unwrap_or_default().into_iter().map(move |(fd, inode)| (inode, (pid, fd)))
        };
        members.into_iter().flat_map(of).collect()
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
                    if lot.gone_since.is_none() {
                        lot.let_go(now, &mut self.lingering);
                    }
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
        let samples = Self::sample_lot(&mut lot);
        lot.parking.handle_samples(now, &samples);
        lot.held.retain(|cookie, _| lot.known.contains_key(cookie));
        while let Some(action) = lot.parking.poll_action() {
            match action {
                Action::Park(cookie) => {
                    let parked = park(&mut lot, cookie);
                    lot.parking.parked(cookie, parked);
                }
                // There is nobody to give it back to.
                Action::GiveBack(cookie) if lot.gone_since.is_some() => {
                    self.lingering.extend(lot.held.remove(&cookie).map(|fd| Lingering::new(fd, now)));
                }
                Action::GiveBack(cookie) => {
                    // The duplicate stays: it may be parked again a moment later.
                    if let Some(fd) = lot.held.get(&cookie) {
                        drop(connections::set_low_water(fd.as_fd(), 1));
                    }
                }
                Action::Look(cookie) => {
                    let found = self.look(&mut lot, cookie);
                    lot.parking.looked(now, cookie, found);
                }
            }
        }
        self.carried.retain(|cookie| {
            let mine = lot.carrying.remove(cookie);
            if mine {
                lot.connections.remove(cookie);
                lot.parking.carried(*cookie);
            }
            !mine
        });
        let cost = clock::now() - now;
        let pace = if lot.gone_since.is_some() { IDLE_EVERY } else { BUSY_EVERY };
        lot.next = now + pace.max(cost * 3);
        if lot.known.is_empty() && !lot.carries() {
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

    fn sample_lot(lot: &mut Lot) -> Vec<Sample> {
        let mut samples = Vec::new();
        lot.known.clear();
        lot.readers.clear();
        // Once its program is gone, a connection has no owner but us.
        for socket in diag::look_up(lot.connections.values().copied()).unwrap_or_default() {
            if OPEN.contains(&socket.state) {
                let bytes_received = socket.info.map_or(0, |info| info.bytes_received);
                let known = Known { inode: socket.inode, local: socket.local, bytes_received };
                lot.known.insert(socket.cookie, known);
                samples.push(crate::drain::sample(&socket));
            }
        }
        let (known, carrying) = (&lot.known, &lot.carrying);
        lot.connections.retain(|cookie, _| known.contains_key(cookie) || carrying.contains(cookie));
        samples
    }

    fn look(&mut self, lot: &mut Lot, cookie: u64) -> Found {
        let (Some(fd), Some(known)) = (lot.held.get(&cookie), lot.known.get(&cookie)) else { return Found::Other };
        let mut buffer = vec![0; http1::LONGEST + 1];
        let Ok(length) = connections::receive_now(fd.as_fd(), &mut buffer, true) else { return Found::Other };
        let peeked = buffer.get(..length).unwrap_or_default().to_vec();
        match http1::classify(&peeked) {
            Begins::Incomplete => return Found::Beginning,
            Begins::Other => return Found::Other,
            Begins::Request(_) => {}
        }
        let Ok(client) = fd.as_fd().try_clone_to_owned() else { return Found::Other };
        let Some(carry) =
            Carry::connect(cookie, client, known.local, http1::as_last(&peeked), clock::now() + self.options.grace)
        else {
            return Found::Other;
        };
        let taken = buffer.get_mut(..length).and_then(|into| connections::receive_now(fd.as_fd(), into, false).ok());
        if taken != Some(length) || buffer.get(..length) != Some(peeked.as_slice()) {
            // The program was faster: what we got, if anything, is missing there.
            if taken.is_some() {
                self.note(format!(
                    "generation {}: a request was read half by the program and half here",
                    lot.generation
                ));
            }
            return Found::Other;
        }
        lot.held.remove(&cookie);
        lot.taken += 1;
        lot.carrying.insert(cookie);
        self.carries.push(carry);
        Found::Taken
    }
}

/// Holds a duplicate and keeps the program from being woken.
fn park(lot: &mut Lot, cookie: u64) -> Parked {
    let known = lot.known.get(&cookie).copied();
    let Some((known, place)) = known.and_then(|known| Some((known, *lot.places.get(&known.inode)?))) else {
        return Parked::Never;
    };
    let duplicate = match lot.held.remove(&cookie) {
        Some(held) => held,
        None if lot.held.len() >= MOST_PARKED => return Parked::Never,
        None => match Pidfd::open(place.0).and_then(|pidfd| pidfd.get_fd(place.1)) {
            // The number may have been used again since it was looked up.
            Ok(fd) if connections::cookie(fd.as_fd()).ok() == Some(cookie) => fd,
            _ => return Parked::Never,
        },
    };
    let fd = duplicate.as_fd();
    let mut untouched = || {
        lot.can_be_kept_from_reading(fd, place) && connections::bytes_received(fd).ok() == Some(known.bytes_received)
    };
    let parked = if !untouched() {
        Parked::NotNow
    } else if connections::set_low_water(fd, LOW_WATER).is_err() {
        Parked::Never
    } else if untouched() {
        Parked::Done
    } else {
        // What has come before the mark was raised may be about to be read.
        drop(connections::set_low_water(fd, 1));
        Parked::NotNow
    };
    lot.held.insert(cookie, duplicate);
    parked
}
