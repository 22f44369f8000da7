//! For unit tests: a machine that is told what the test wants, and a process table that answers what the test says.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use adieu_core::Timestamp;
use adieu_core::ids::Pid;
use adieu_core::outcome::Outcome;
use adieu_core::restart::Restart;
use adieu_core::switch::{Action, Event, Generation, Switch};
use adieu_linux::clock;

use crate::options::{Options, ReadyWhen, Sockets};
use crate::process_table::ProcessTable;
use crate::processes::Processes;
use crate::view::View;

/// The options of a run for which nothing was said.
pub(crate) fn options() -> Options {
    Options {
        name: None,
        grace: Duration::from_secs(30),
        drain_timeout: None,
        drain_quiet: Duration::from_secs(2),
        settle: Duration::from_secs(2),
        linger: Duration::ZERO,
        stop_signal: None,
        rewrite: Vec::new(),
        map_exit: Vec::new(),
        listen: Vec::new(),
        ready: ReadyWhen::Auto,
        ready_timeout: Duration::from_secs(60),
        overlap: true,
        pre_stop: None,
        post_stop: None,
        restart: Restart::default(),
        backlog: None,
        sockets: Sockets::Auto,
        json_log: false,
        command: vec!["true".into()],
    }
}

/// What a part is lent: the machine is driven by the test, and the time is what the test makes it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) options: Options,
    switch: Switch,
    pub(crate) now: Timestamp,
}

impl World {
    /// Nothing has been started yet.
    pub(crate) fn new(options: Options) -> Self {
        let policy = options.policy();
        Self { options, switch: Switch::new(policy), now: clock::now() }
    }

    /// Generation 1 starts.
    pub(crate) fn starting() -> Self {
        let mut world = Self::new(options());
        world.tell(Event::Start);
        world
    }

    /// Generation 1 serves.
    pub(crate) fn serving() -> Self {
        let mut world = Self::starting();
        world.tell(Event::Ready(Generation::FIRST));
        world
    }

    /// Generation 1 serves, and generation 2 starts beside it.
    pub(crate) fn reloading() -> Self {
        let mut world = Self::serving();
        world.tell(Event::Reload(adieu_core::switch::RequestId::FIRST));
        world
    }

    /// Generation 2 has the new connections, and generation 1 can still take over.
    pub(crate) fn settling() -> Self {
        let mut world = Self::reloading();
        world.tell(Event::Ready(Generation::new(2)));
        world.tell(Event::Switched(Generation::new(2)));
        world
    }

    /// Generation 1 drains beside generation 2.
    pub(crate) fn draining() -> Self {
        let mut world = Self::settling();
        world.tell(Event::QueuesEmpty(Generation::FIRST));
        world.pass(Duration::from_secs(3));
        world
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { options: &self.options, switch: &self.switch, now: self.now }
    }

    /// Tells the machine something; what it says is to be done.
    pub(crate) fn tell(&mut self, event: Event) -> Vec<Action> {
        self.switch.handle(self.now, event);
        std::iter::from_fn(|| self.switch.poll_action()).collect()
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, duration: Duration) -> Vec<Action> {
        self.now = self.now + duration;
        self.tell(Event::Timeout)
    }
}

/// One generation, as the test has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) members: Vec<Pid>,
    pub(crate) main: Option<Pid>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) started: Timestamp,
    pub(crate) keeper: Option<Pid>,
    pub(crate) command: Vec<OsString>,
    /// `None`: read from `/proc`, of `members`. An empty answer of the system: `Some(None)`.
    pub(crate) inodes: Option<Option<HashSet<u64>>>,
    /// `None`: what the kernel says of `main`.
    pub(crate) still_there: Option<bool>,
}

/// A process table that says what the test wants. What is not said is asked of the kernel: the test's own process can be a
/// caller.
#[derive(Debug, Default)]
pub(crate) struct FakeTable {
    pub(crate) entries: BTreeMap<Generation, Entry>,
    pub(crate) may_duplicate: Option<bool>,
    /// Descriptors cannot be duplicated, as in a default container.
    pub(crate) refuses_duplicates: bool,
    /// Memory cannot be read.
    pub(crate) refuses_memory: bool,
    /// What is polled by epoll.
    pub(crate) polled: HashSet<i32>,
    /// The inodes that were asked for, by descriptor.
    pub(crate) asked: RefCell<Vec<i32>>,
}

impl FakeTable {
    /// A generation whose only process is the test itself.
    pub(crate) fn with_us(generation: Generation) -> Self {
        let own = adieu_linux::process::own_pid();
        let entry = Entry { members: vec![own], main: Some(own), started: clock::now(), ..Entry::default() };
        Self { entries: BTreeMap::from([(generation, entry)]), ..Self::default() }
    }

    fn entry(&self, generation: Generation) -> Option<&Entry> {
        self.entries.get(&generation)
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::PermissionDenied.into())
}

impl ProcessTable for FakeTable {
    fn generations(&self) -> Vec<Generation> {
        self.entries.keys().copied().collect()
    }

    fn members(&self, generation: Generation) -> Vec<Pid> {
        self.entry(generation).map(|entry| entry.members.clone()).unwrap_or_default()
    }

    fn living_main(&self, generation: Generation) -> Option<Pid> {
        let entry = self.entry(generation)?;
        entry.main.filter(|_| entry.outcome.is_none())
    }

    fn outcome(&self, generation: Generation) -> Option<Outcome> {
        self.entry(generation)?.outcome
    }

    fn command(&self, generation: Generation) -> Option<&[OsString]> {
        self.entry(generation).map(|entry| entry.command.as_slice())
    }

    fn started(&self, generation: Generation) -> Option<Timestamp> {
        self.entry(generation).map(|entry| entry.started)
    }

    fn keeper(&self, generation: Generation) -> Option<Pid> {
        self.entry(generation)?.keeper
    }

    fn may_duplicate(&self) -> Option<bool> {
        self.may_duplicate
    }

    fn is_still_there(&self, generation: Generation) -> bool {
        let Some(entry) = self.entry(generation) else { return false };
        entry.still_there.unwrap_or_else(|| self.is_alive(generation))
    }

    fn is_about_to_end(&self, generation: Generation) -> bool {
        self.is_alive(generation) && !self.is_still_there(generation)
    }

    fn own_inodes(&self, generation: Generation) -> Option<HashSet<u64>> {
        if let Some(said) = self.entry(generation).and_then(|entry| entry.inodes.clone()) {
            return said;
        }
        let of = |pid: Pid| adieu_linux::descriptors::sockets(pid).unwrap_or_default();
        Some(self.members(generation).into_iter().flat_map(of).map(|(_, inode)| inode).collect())
    }

    fn memory(&self, thread: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
        if self.refuses_memory { refused() } else { adieu_linux::memory::read(thread, address, length) }
    }

    fn duplicate(&self, process: Pid, fd: i32) -> io::Result<OwnedFd> {
        self.asked.borrow_mut().push(fd);
        if self.refuses_duplicates {
            return refused();
        }
        adieu_linux::pidfd::Pidfd::open(process).and_then(|pidfd| pidfd.get_fd(fd))
    }

    fn is_polled(&self, _process: Pid, fd: i32) -> bool {
        self.polled.contains(&fd)
    }
}

mod alone;

pub(crate) use self::alone::{alone, alone_on_terminal, alone_with};

/// The processes of a run of `command` without a terminal, whoever runs the test.
pub(crate) fn processes(command: &[&str]) -> Processes {
    let command: Vec<OsString> = command.iter().map(OsString::from).collect();
    let mut processes = Processes::new("web", &command, false, clock::now());
    drop(processes.take_terminal());
    processes
}

/// Waits until `happens` has something to say. The limit is for a test that fails; nothing is judged by how long it takes.
pub(crate) fn eventually<T>(what: &str, mut happens: impl FnMut() -> Option<T>) -> T {
    let since = clock::now();
    loop {
        if let Some(answer) = happens() {
            return answer;
        }
        assert!(clock::now() - since < Duration::from_secs(60), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// As [`eventually`], for what has only to be so.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}

/// How many tests count on it that what they close is closed.
static CLOSING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Tests of one process share its descriptors, and a child has them all until it executes its program: what somebody closes
/// meanwhile stays open. Whoever counts on a close keeps one of these; whoever starts children does so in [`start_alone`].
#[derive(Debug)]
pub(crate) struct Closing(());

impl Closing {
    pub(crate) fn new() -> Self {
        *CLOSING.0.lock().expect("nobody panics with it") += 1;
        Self(())
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        *CLOSING.0.lock().expect("nobody panics with it") -= 1;
        CLOSING.1.notify_all();
    }
}

/// Starts children while nobody counts on a close. Not for whoever keeps a [`Closing`] of his own: he would wait for himself.
pub(crate) fn start_alone<T>(start: impl FnOnce() -> T) -> T {
    let count = CLOSING.0.lock().expect("nobody panics with it");
    let alone = CLOSING.1.wait_while(count, |count| *count > 0).expect("nobody panics with it");
    let started = start();
    drop(alone);
    started
}
