//! The supervisor: one thread, one poll loop. Collect what happened, tell the machine, do what it says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;

use adieu_core::Timestamp;
use adieu_core::outcome::{Cause, Outcome, code};
use adieu_core::signal::Signal;
use adieu_core::switch::{self, Action, Event, Generation, Phase, Switch};
use adieu_core::timeline::{Timeline, What};
use adieu_linux::signals::SignalFd;
use adieu_linux::{clock, process};

use crate::carry::{Carry, Lingering};
use crate::compare::Unseen;
use crate::control::Client;
use crate::drain::{OwedWatch, QueueWatch};
use crate::groups::Groups;
use crate::hooks::HookRun;
use crate::launch::{Change, Spec};
use crate::log::Log;
use crate::losses::Looks;
use crate::options::{Options, Sockets};
use crate::park::Lot;
use crate::paths::Paths;
use crate::place::Place;
use crate::probe::Probe;
use crate::running::{Root, Running, kill_all, signal_each};
use crate::terminal::Terminal;
use crate::upstream::Upstream;

const TIMELINE_ENTRIES: usize = 4096;

/// Everything that one run knows.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) options: Options,
    pub(crate) name: String,
    pub(crate) instance_id: String,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) started: Timestamp,
    pub(crate) log: Log,
    pub(crate) switch: Switch,
    pub(crate) timeline: Timeline,
    pub(crate) signals: SignalFd,
    pub(crate) ignored_hangup: bool,
    pub(crate) terminal: Option<Terminal>,
    pub(crate) place: Option<Place>,
    pub(crate) clients: Vec<Client>,
    pub(crate) upstream: Upstream,
    pub(crate) running: BTreeMap<Generation, Running>,
    pub(crate) groups: Groups,
    pub(crate) paths: Paths,
    /// Sockets that we were started with (LISTEN_FDS); every generation gets them.
    pub(crate) inherited: crate::passed::Inherited,
    /// The command in force, and those that reloads have asked for.
    pub(crate) spec: Spec,
    pub(crate) asked: HashMap<switch::Request, Change>,
    pub(crate) next_request: switch::Request,
    pub(crate) probe: Option<Probe>,
    pub(crate) unseen_wanted: Unseen,
    /// A generation that ends before the next one starts, which gets its listeners.
    pub(crate) inherited_from: Option<Generation>,
    pub(crate) queue_watches: Vec<QueueWatch>,
    pub(crate) owed_watches: Vec<OwedWatch>,
    /// Connections of old generations that are taken over, requests under way from them, and what is left to close.
    pub(crate) lots: Vec<Lot>,
    pub(crate) carries: Vec<Carry>,
    pub(crate) carried: Vec<(Generation, u64)>,
    pub(crate) lingering: Vec<Lingering>,
    /// What the connections of living generations looked like, for the case that one dies.
    pub(crate) looks: Looks,
    pub(crate) hooks: Vec<HookRun>,
    pub(crate) notes: Vec<String>,
    noted: HashSet<String>,
    pub(crate) stop_signal: Signal,
    /// The command whose generation has sent READY=1 last: others with the same are waited for to do so too.
    pub(crate) says_ready: Option<Vec<OsString>>,
    /// Programs are told that nobody listens on the Unix sockets of the generation before: see [`crate::alone`].
    pub(crate) alone_at_paths: bool,
    /// Whether `pidfd_getfd` works here; decided before the first keeper.
    pub(crate) may_duplicate: Option<bool>,
    pub(crate) launch_failure: Option<String>,
    pub(crate) launch_code: Option<i32>,
    pub(crate) last_end: Option<Signal>,
    /// The final stop took force.
    pub(crate) forced: bool,
    pub(crate) exit: Option<i32>,
    /// We had no children at all when we last reaped, and have started none since.
    pub(crate) childless: bool,
    pub(crate) next_look: Timestamp,
    pub(crate) rest_at: Option<Timestamp>,
    /// While nobody serves: how long clients wait for it.
    pub(crate) unserved_until: Option<Timestamp>,
}

impl Supervisor {
    pub(crate) fn new(
        options: Options,
        place: Option<Place>,
        name: String,
        signals: SignalFd,
        ignored_hangup: bool,
    ) -> Self {
        let now = clock::now();
        let policy = switch::Policy {
            grace: options.grace,
            drain_timeout: options.drain_timeout(),
            settle: options.settle,
            linger: options.linger,
            ready_timeout: options.ready_timeout,
            // A plain init knows nothing of sockets: two at once would fight over them.
            overlap: options.overlap && options.sockets != Sockets::Off,
            restart: options.restart,
            pre_stop: options.pre_stop.is_some(),
        };
        let spec = Spec { command: options.command.clone(), environment: BTreeMap::new() };
        Self {
            log: Log::new(options.json_log, &name),
            instance_id: format!("{name}-{}-{}", process::own_pid(), clock::wall().as_secs()),
            name,
            directory: crate::launch::working_directory(),
            started: now,
            switch: Switch::new(policy),
            timeline: Timeline::new(TIMELINE_ENTRIES),
            signals,
            ignored_hangup,
            terminal: Terminal::take(),
            place,
            clients: Vec::new(),
            upstream: Upstream::from_environment(),
            running: BTreeMap::new(),
            groups: Groups::default(),
            paths: Paths::default(),
            inherited: crate::passed::Inherited::default(),
            spec,
            asked: HashMap::new(),
            next_request: 1,
            probe: None,
            unseen_wanted: Unseen::default(),
            inherited_from: None,
            queue_watches: Vec::new(),
            owed_watches: Vec::new(),
            lots: Vec::new(),
            carries: Vec::new(),
            carried: Vec::new(),
            lingering: Vec::new(),
            looks: Looks::default(),
            hooks: Vec::new(),
            notes: Vec::new(),
            noted: HashSet::new(),
            stop_signal: options.stop_signal.unwrap_or(Signal::TERM),
            says_ready: None,
            alone_at_paths: false,
            may_duplicate: None,
            launch_failure: None,
            launch_code: None,
            last_end: None,
            forced: false,
            exit: None,
            childless: false,
            next_look: now,
            rest_at: None,
            unserved_until: None,
            options,
        }
    }

    /// Runs until everything has ended; returns the exit code.
    pub(crate) fn run(&mut self) -> i32 {
        #[cfg(feature = "pauses")]
        crate::pause::prepare(&self.name, &self.switch);
        self.tell(Event::Start);
        loop {
            if let Some(code) = self.exit
                && self.hooks.is_empty()
            {
                self.answer_all_at_end(code);
                #[cfg(feature = "pauses")]
                crate::pause::record(&self.timeline, code);
                return code;
            }
            self.wait_and_dispatch();
            self.advance_paths();
            self.advance_probe();
            self.advance_queue_watches();
            self.advance_carries();
            self.advance_lots();
            self.advance_owed_watches();
            self.advance_hooks();
            self.look_at_connections();
            self.look_around();
            self.look_for_unseen();
            self.keep_time();
            self.bound_the_wait();
            self.say_unready();
            self.let_clients_go();
            self.rest();
        }
    }

    /// Tells the machine what happened and does what it says.
    pub(crate) fn tell(&mut self, event: Event) {
        let now = clock::now();
        // The timeline keeps microseconds: the machine gets the same, so that it replays exactly.
        let now = Timestamp::from_origin(std::time::Duration::from_micros(
            u64::try_from(now.since_origin().as_micros()).unwrap_or(u64::MAX),
        ));
        self.timeline.record(now, What::Input(event));
        self.switch.handle(now, event);
        let mut actions = Vec::new();
        while let Some(action) = self.switch.poll_action() {
            self.timeline.record(now, What::Output(action));
            actions.push(action);
        }
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        #[cfg(feature = "pauses")]
        crate::pause::at("before", action);
        match action {
            Action::Spawn(generation, request) => {
                self.secure_paths();
                self.spawn(generation, request);
            }
            Action::Switch(generation) => self.switch_to(generation),
            Action::Serving(generation) => self.serving(generation),
            Action::Hold(generation) => self.hold(generation),
            Action::WatchQueues(generation) => self.watch_queues(generation, false),
            Action::WatchOwed(generation) => self.watch_owed(generation),
            Action::RunPreStop(generation, budget) => self.run_pre_stop(generation, budget),
            Action::AskMain(generation) => self.ask_main(generation),
            Action::AskRest(generation) => signal_each(&self.members(generation), self.stop_signal),
            Action::Kill(generation) => self.kill(generation),
            Action::Retire(generation, outcome, cause) => self.retire(generation, outcome, cause),
            Action::Progress(request, step) => self.progress(request, step),
            Action::Exit(code) => self.finish(code),
        }
        #[cfg(feature = "pauses")]
        crate::pause::at("after", action);
    }

    fn serving(&mut self, generation: Generation) {
        if let Some(terminal) = &self.terminal
            && let Some(running) = self.running.get(&generation)
        {
            terminal.give_to(running.main);
        }
        if let Some(running) = self.running.get_mut(&generation).filter(|running| running.root != Root::Direct) {
            running.look_at_memory();
        }
        // Until a generation serves, the command of the one before it is the one in force.
        if let Some(running) = self.running.get(&generation) {
            self.spec = running.spec.clone();
        }
        self.upstream.ready();
        // What was kept for this generation and not taken: it does not listen there any more.
        self.close_held();
        self.answer_failed(true);
    }

    fn ask_main(&mut self, generation: Generation) {
        self.end_owed_watch(generation);
        self.refuse_waiting_listens(generation);
        let signal = self.stop_signal;
        if self.switch.is_stopping() {
            // Nothing will be switched any more: what the program closes shall be closed.
            self.groups.release(generation);
            self.paths.release(generation);
        }
        if let Some(running) = self.running.get(&generation)
            && let Err(error) = running.signal_main(signal)
        {
            self.note(format!("generation {generation}: cannot send {signal}: {error}"));
        }
    }

    fn kill(&mut self, generation: Generation) {
        let members = self.members(generation);
        if !members.is_empty() && !self.noted.contains(&format!("killed {generation}")) {
            self.noted.insert(format!("killed {generation}"));
            let names: Vec<String> = members
                .iter()
                .filter_map(|pid| process::stat(*pid).ok())
                .map(|s| format!("{} ({})", s.pid, s.comm))
                .collect();
            self.note(format!("generation {generation}: the grace period is spent, killing {}", names.join(", ")));
        }
        let main = self.running.get(&generation).map_or(0, |running| running.main);
        kill_all(main, || self.members(generation));
        match self.running.get(&generation).map(|running| running.root) {
            // A keeper that somebody has stopped could not say that it is over.
            Some(Root::Keeper(keeper)) => signal_each(&[keeper], Signal::CONT),
            Some(Root::Direct) => self.check_tree(generation),
            None => {}
        }
    }

    fn retire(&mut self, generation: Generation, outcome: Outcome, cause: Cause) {
        self.retire_sockets(generation);
        for lot in self.lots.iter_mut().filter(|lot| lot.generation == generation) {
            lot.program_ended(outcome);
        }
        let Some(running) = self.running.remove(&generation) else { return };
        self.rest_soon();
        let cause =
            if outcome == Outcome::Signaled(Signal::KILL) && running.was_oom_killed() { Cause::Oom } else { cause };
        if let Outcome::Signaled(signal) = outcome {
            self.last_end = Some(signal);
        }
        self.forced |= cause == Cause::Forced && self.switch.is_stopping();
        if !matches!(cause, Cause::Exit) {
            // The timeline has it already, without the memory's part in it.
            let text = format!("generation {generation} is gone: {outcome}, cause {}", cause.name());
            if cause == Cause::Oom { self.note(text) } else { self.log.say(clock::now(), &text) }
        }
        self.run_post_stop(generation, running.main, running.started, outcome, cause);
    }

    fn finish(&mut self, code: i32) {
        let code = self.launch_code.unwrap_or(code);
        let mapped = self.options.map_exit.iter().find(|(from, _)| *from == code).map_or(code, |(_, to)| *to);
        self.exit = Some(mapped);
    }

    fn answer_all_at_end(&mut self, exit: i32) {
        self.answer_failed(false);
        let (answer, how) = if self.forced { (code::FORCED, "ended by force") } else { (code::DONE, "stopped") };
        for client in self.clients.iter_mut().filter(|client| client.waits_for_end) {
            client.done(answer, Some(format!("{how}, exit code {exit}")), Vec::new());
        }
    }

    /// Begins the stop of everything; `signal` is what the program gets.
    pub(crate) fn stop(&mut self, signal: Signal) {
        if !self.switch.is_stopping() {
            self.stop_signal = signal;
            self.upstream.stopping();
        }
        self.tell(Event::Stop);
    }

    /// Whether it drains, or is about to be asked to stop.
    pub(crate) fn is_leaving(&self, generation: Generation) -> bool {
        let leaves = |phase| matches!(phase, Phase::Draining | Phase::Ending);
        self.switch.statuses().any(|status| status.generation == generation && leaves(status.phase))
    }

    /// Says something and keeps it in the timeline.
    pub(crate) fn note(&mut self, text: String) {
        let now = clock::now();
        self.log.say(now, &text);
        self.timeline.record(now, What::Note(text));
    }

    /// As [`Self::note`], once per text; also shown by `adieu status`.
    pub(crate) fn note_once(&mut self, text: String) {
        if self.noted.insert(text.clone()) {
            if self.notes.len() < 32 {
                self.notes.push(text.clone());
            }
            self.note(text);
        }
    }

    /// Kept for `adieu status` and the timeline; not worth a line at every start.
    pub(crate) fn quiet_note_once(&mut self, text: &str) {
        if self.noted.insert(text.to_owned()) {
            self.notes.push(text.to_owned());
            self.timeline.record(clock::now(), What::Note(text.to_owned()));
        }
    }
}
