//! Parking: the busy keep-alive connections of an old generation are taken over between two requests. The judgement is in
//! [`adieu_core::park`]; this file holds the duplicates and makes the kernel do it.
//!
//! A parked connection has SO_RCVLOWAT raised, so the program is not woken for the next request; a `close` by the program
//! then sends nothing, as we hold a duplicate.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::http1::{self, Begins};
use adieu_core::owed::Sample;
use adieu_core::park::{Action, Found, Parked, Parking};
use adieu_core::switch::{Generation, Phase};
use adieu_linux::pidfd::Pidfd;
use adieu_linux::{clock, connections, descriptors, sockets};

use crate::carry::Carry;
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
    ports: Vec<u16>,
    cookies: HashSet<u64>,
    parking: Parking,
    held: HashMap<u64, OwnedFd>,
    /// Where the processes have their sockets: inode to process and descriptor.
    places: HashMap<u64, (i32, i32)>,
    /// The connections of the last sample.
    known: HashMap<u64, Known>,
    gone_since: Option<Timestamp>,
    taken: u64,
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

    fn give_back_all(&mut self) {
        for fd in self.held.values() {
            drop(connections::set_low_water(fd.as_fd(), 1));
        }
        self.held.clear();
    }
}

impl Supervisor {
    /// Begins to park the connections with these cookies, where duplicating them is permitted.
    pub(crate) fn open_lot(&mut self, generation: Generation, ports: Vec<u16>, cookies: HashSet<u64>) {
        if self.may_duplicate != Some(false)
            && self.options.sockets != crate::options::Sockets::Off
            && !cookies.is_empty()
        {
            let places = self.places_of(generation);
            self.lots.push(Lot {
                generation,
                next: clock::now(),
                ports,
                cookies,
                parking: Parking::new(),
                held: HashMap::new(),
                places,
                known: HashMap::new(),
                gone_since: None,
                taken: 0,
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
                    let since = *lot.gone_since.get_or_insert(now);
                    if self.switch.is_stopping() || now - since >= KEPT_AFTER_END {
                        self.lingering.extend(lot.held.drain().map(|(_, fd)| crate::carry::Lingering::new(fd, now)));
                    } else {
                        self.advance_lot(lot, now);
                    }
                }
            }
        }
    }

    fn advance_lot(&mut self, mut lot: Lot, now: Timestamp) {
        let samples = self.sample_lot(&mut lot);
        lot.parking.handle_samples(now, &samples);
        lot.held.retain(|cookie, _| lot.known.contains_key(cookie));
        while let Some(action) = lot.parking.poll_action() {
            match action {
                Action::Park(cookie) => {
                    let parked = park(&mut lot, cookie);
                    lot.parking.parked(cookie, parked);
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
            let mine = lot.cookies.remove(cookie);
            if mine {
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

    fn sample_lot(&self, lot: &mut Lot) -> Vec<Sample> {
        let mut samples = Vec::new();
        lot.known.clear();
        for port in &lot.ports {
            for socket in crate::drain::established(*port) {
                // Once its program is gone, a connection has no owner but us.
                if lot.cookies.contains(&socket.cookie) {
                    let bytes_received = socket.info.map_or(0, |info| info.bytes_received);
                    let known = Known { inode: socket.inode, local: socket.local, bytes_received };
                    lot.known.insert(socket.cookie, known);
                    samples.push(crate::drain::sample(&socket));
                }
            }
        }
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
        self.carries.push(carry);
        Found::Taken
    }
}

/// Holds a duplicate and keeps the program from being woken.
fn park(lot: &mut Lot, cookie: u64) -> Parked {
    if !lot.held.contains_key(&cookie) {
        let place = lot.known.get(&cookie).and_then(|known| lot.places.get(&known.inode));
        let (Some((pid, fd)), true) = (place, lot.held.len() < MOST_PARKED) else { return Parked::Never };
        let Ok(duplicate) = Pidfd::open(*pid).and_then(|pidfd| pidfd.get_fd(*fd)) else { return Parked::Never };
        // The number may have been used again since it was looked up.
        if connections::cookie(duplicate.as_fd()).ok() != Some(cookie) {
            return Parked::Never;
        }
        lot.held.insert(cookie, duplicate);
    }
    let (Some(fd), Some(known)) = (lot.held.get(&cookie), lot.known.get(&cookie)) else { return Parked::Never };
    let untouched = || {
        sockets::is_nonblocking(fd.as_fd())
            && connections::bytes_received(fd.as_fd()).ok() == Some(known.bytes_received)
    };
    if !untouched() {
        return Parked::NotNow;
    }
    if connections::set_low_water(fd.as_fd(), LOW_WATER).is_err() {
        return Parked::Never;
    }
    // What has come before the mark was raised may be about to be read.
    if untouched() {
        return Parked::Done;
    }
    drop(connections::set_low_water(fd.as_fd(), 1));
    Parked::NotNow
}
