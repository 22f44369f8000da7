//! The lot: the connections of one old generation that are parked, or are to be. It looks at them, holds the duplicates and
//! makes the kernel do what [`adieu_core::park`] has judged.
//!
//! A parked connection has SO_RCVLOWAT raised, so the program is not woken for the next request; a `close` by the program
//! then sends nothing, as we hold a duplicate. Of all other connections no duplicate is kept: their close is the program's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::http1::{self, Begins};
use adieu_core::ids::Pid;
use adieu_core::outcome::Outcome;
use adieu_core::park::{Found, Parked, Parking, Seen};
use adieu_core::switch::Generation;
use adieu_linux::blocked::{self, Blocked};
use adieu_linux::diag::{self, state};
use adieu_linux::pidfd::Pidfd;
use adieu_linux::{connections, descriptors, errno, sockets};

use super::handoff::Lingering;

/// Higher than any request that is taken; the kernel wakes the program when this much waits.
const LOW_WATER: i32 = 64 * 1024;
/// Duplicates that may be held at once, and never more than half of the descriptors that we may have.
const MOST_PARKED: usize = 8192;

/// The connections of one old generation.
#[derive(Debug)]
pub(super) struct Lot {
    pub(super) generation: Generation,
    pub(super) parking: Parking,
    /// The program's descriptor of each of them, by cookie.
    pub(super) descriptors: BTreeMap<u64, ProgramFd>,
    /// Those of which no descriptor is known: another process may have them by now. What they are owed is not known here.
    lost: HashSet<u64>,
    processes: HashMap<Pid, Pidfd>,
    /// Duplicates of those that are parked or passed.
    pub(super) held: HashMap<u64, OwnedFd>,
    most: usize,
    /// Those whose answers are held back by us, and not by their program.
    corked: HashSet<u64>,
    /// Since the last look: what the threads of each process wait for; looked for when first needed.
    waiting: HashMap<Pid, Blocked>,
    /// Whether its program has ended by itself, once it has ended.
    pub(super) ended: Option<bool>,
    pub(super) next: Timestamp,
    pub(super) gone_since: Option<Timestamp>,
    /// Requests that the next generation has answered.
    pub(super) answered: u64,
}

/// A connection as the program has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProgramFd {
    process: Pid,
    fd: i32,
    pub(super) local: SocketAddr,
    seen: Option<Seen>,
}

impl Lot {
    /// The lot of `generation`, whose `members` have these connections.
    pub(super) fn new(
        generation: Generation,
        drain_quiet: Duration,
        members: &[Pid],
        all: &[diag::Socket],
        now: Timestamp,
    ) -> Self {
        let mut found = HashMap::new();
        for pid in members {
            let sockets = descriptors::sockets(*pid).unwrap_or_default();
            found.extend(sockets.into_iter().map(|(fd, inode)| (inode, (*pid, fd))));
        }
        let of_program = |socket: &diag::Socket| {
            let (process, fd) = *found.get(&socket.inode)?;
            Some((socket.cookie, ProgramFd { process, fd, local: socket.local, seen: None }))
        };
        let descriptors: BTreeMap<u64, ProgramFd> = all.iter().filter_map(of_program).collect();
        let cookies = all.iter().map(|socket| socket.cookie);
        Self {
            generation,
            next: now,
            parking: Parking::new(drain_quiet),
            lost: cookies.filter(|cookie| !descriptors.contains_key(cookie)).collect(),
            descriptors,
            processes: HashMap::new(),
            held: HashMap::new(),
            most: MOST_PARKED.min(descriptors::limit() / 2),
            corked: HashSet::new(),
            waiting: HashMap::new(),
            ended: None,
            gone_since: None,
            answered: 0,
        }
    }

    /// No more duplicates than this may be held.
    #[cfg(test)]
    pub(super) fn hold_at_most(&mut self, most: usize) {
        self.most = most;
    }

    pub(super) fn is_settled(&self, cookie: u64) -> bool {
        !self.lost.contains(&cookie) && self.parking.is_settled(cookie)
    }

    /// Whether requests of its connections are on their way to the next generation.
    pub(super) fn hands_off(&self) -> bool {
        self.parking.carrying() > 0
    }

    /// How its program has ended.
    pub(super) fn program_ended(&mut self, outcome: Outcome) {
        let by_itself = matches!(outcome, Outcome::Exited(_));
        self.ended = Some(by_itself);
        self.parking.program_ended(by_itself);
    }

    pub(super) fn look(&mut self) -> Vec<Seen> {
        self.waiting.clear();
        let cookies: Vec<u64> = self.descriptors.keys().copied().collect();
        let mut all = Vec::with_capacity(cookies.len());
        for cookie in cookies {
            match self.look_at(cookie) {
                Some(seen) => all.push(seen),
                None => {
                    self.descriptors.remove(&cookie);
                    if self.held.remove(&cookie).is_none() {
                        self.lost.insert(cookie);
                    }
                    self.corked.remove(&cookie);
                }
            }
        }
        all
    }

    /// `None` when there is nothing left to do with it.
    fn look_at(&mut self, cookie: u64) -> Option<Seen> {
        let program = self.duplicate(cookie);
        let of_program = self.descriptors.get_mut(&cookie)?;
        let (owned, program) = match program {
            Ok(program) => (program.is_some(), program),
            // Out of descriptors: nothing new is known of it.
            Err(_) => return of_program.seen,
        };
        let fd = self.held.get(&cookie).or(program.as_ref())?;
        let counters = match connections::counters(fd.as_fd()) {
            Ok(counters) => counters,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return of_program.seen,
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
        of_program.seen = Some(seen);
        Some(seen)
    }

    /// A duplicate of the program's own descriptor; `None` when it has closed it.
    fn duplicate(&mut self, cookie: u64) -> std::io::Result<Option<OwnedFd>> {
        let Some(of_program) = self.descriptors.get(&cookie) else { return Ok(None) };
        let process = match self.processes.get(&of_program.process) {
            Some(process) => process,
            None => match Pidfd::open(of_program.process) {
                Ok(process) => self.processes.entry(of_program.process).or_insert(process),
                Err(error) if is_out_of_descriptors(&error) => return Err(error),
                Err(_) => return Ok(None),
            },
        };
        match process.get_fd(of_program.fd) {
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
    pub(super) fn park(&mut self, cookie: u64) -> Parked {
        let Some(of_program) = self.descriptors.get(&cookie).copied() else { return Parked::Never };
        let fd = match self.held.remove(&cookie) {
            Some(fd) => fd,
            None if self.held.len() >= self.most => return Parked::Never,
            None => match self.duplicate(cookie) {
                Ok(Some(fd)) => fd,
                Ok(None) | Err(_) => return Parked::NotNow,
            },
        };
        if !self.can_be_kept_from_reading(fd.as_fd(), &of_program) {
            return Parked::Blocking;
        }
        if connections::set_low_water(fd.as_fd(), LOW_WATER).is_err() {
            return Parked::Never;
        }
        // What came before that has woken the program.
        let read = of_program.seen.map(|seen| seen.read);
        let untouched = connections::counters(fd.as_fd()).is_ok_and(|now| (Some(now.read), now.unread) == (read, 0));
        if !untouched || !self.can_be_kept_from_reading(fd.as_fd(), &of_program) {
            drop(connections::set_low_water(fd.as_fd(), 1));
            return Parked::NotNow;
        }
        self.held.insert(cookie, fd);
        self.let_go(cookie);
        Parked::Done
    }

    /// Whether raising the mark of a connection keeps its program from reading it and can be undone.
    fn can_be_kept_from_reading(&mut self, fd: BorrowedFd<'_>, of_program: &ProgramFd) -> bool {
        if sockets::is_nonblocking(fd) {
            return true;
        }
        let process = of_program.process;
        let found = || blocked::threads_of(process).unwrap_or_default();
        let waiting = self.waiting.entry(process).or_insert_with(found);
        match waiting.readers.get(&of_program.fd) {
            Some(tid) => blocked::reads_from(process, *tid) == Some(of_program.fd),
            // As it was at the last look; the thread may have gone on.
            None if waiting.is_read_when_told(of_program.fd) => found().is_read_when_told(of_program.fd),
            None => false,
        }
    }

    /// The connections that some thread works on: they are read without O_NONBLOCK, and nobody waits for more from them.
    pub(super) fn worked_on(&mut self) -> HashSet<u64> {
        let mut processes: HashMap<Pid, Option<Blocked>> = HashMap::new();
        let mut busy = HashSet::new();
        for (cookie, ProgramFd { process, fd, .. }) in self.descriptors.clone() {
            if self.with(cookie, sockets::is_nonblocking) == Some(false) {
                let waiting = processes.entry(process).or_insert_with(|| blocked::threads_of(process).ok());
                busy.extend(waiting.as_ref().is_some_and(|waiting| !waiting.may_be_for(fd)).then_some(cookie));
            }
        }
        busy
    }

    pub(super) fn give_back(&mut self, cookie: u64) {
        self.let_go(cookie);
        if let Some(fd) = self.held.remove(&cookie) {
            drop(connections::set_low_water(fd.as_fd(), 1));
        }
    }

    pub(super) fn give_back_all(&mut self) {
        let mut all: HashSet<u64> = self.held.keys().copied().collect();
        all.extend(&self.corked);
        for cookie in all {
            self.give_back(cookie);
        }
    }

    pub(super) fn hold_back(&mut self, cookie: u64) {
        let corked = self.with(cookie, |fd| !connections::is_corked(fd) && connections::set_cork(fd, true).is_ok());
        if corked == Some(true) {
            self.corked.insert(cookie);
        }
    }

    pub(super) fn let_go(&mut self, cookie: u64) {
        if self.corked.remove(&cookie) {
            self.with(cookie, |fd| connections::set_cork(fd, false));
        }
    }

    /// Lets the program have one whole request, and the client not yet the end of its answer.
    pub(super) fn pass(&mut self, cookie: u64) -> Found {
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

    pub(super) fn close(&mut self, cookie: u64, now: Timestamp) -> Option<Lingering> {
        self.let_go(cookie);
        self.descriptors.remove(&cookie);
        self.held.remove(&cookie).map(|fd| Lingering::new(fd, now))
    }
}

/// What waits unread, and its bytes.
pub(super) fn peek(fd: BorrowedFd<'_>) -> (Found, Vec<u8>) {
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
    matches!(error.raw_os_error(), Some(errno::EMFILE | errno::ENFILE))
}
